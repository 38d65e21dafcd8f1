import { expect, test } from 'vitest';
import { progressText, shareOf } from './progress';

test('bytes are told as bytes, and things as a number', () => {
	expect(progressText({ done: 84_200_000, total: 201_300_000, unit: 'bytes' })).toBe('80.3 MiB of 192 MiB');
	expect(progressText({ done: 1200, total: 16_384, unit: 'count' })).toBe('1200 of 16.4 k');
});

test('while the whole is unknown there is no share of it', () => {
	expect([shareOf({ done: 5, total: 0, unit: 'bytes' }), progressText({ done: 2048, total: 0, unit: 'bytes' })]).toEqual([null, '2 KiB']);
	expect([shareOf({ done: 1, total: 4, unit: 'count' }), shareOf({ done: 9, total: 4, unit: 'count' })]).toEqual([25, 100]);
});
