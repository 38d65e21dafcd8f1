import { expect, test } from 'vitest';
import { compared, versionsFor } from './versions';

test('an upgrade is offered what is newer and of the same line', () => {
	const lines = ['11.8', '10.11', '9.7', '8.4'];
	const found = ['8.4.1', '10.11.9', '10.11.19', '10.11.14', '11.8.2', '10.11.19'];
	expect(versionsFor(lines, found, '10.11.14')).toEqual(['10.11.19', '10.11.14']);
	expect(versionsFor(lines, found, '8.4.9')).toEqual([]);
	expect(versionsFor(['18', '17'], ['17.11', '18.1', '16.2'], '17.9')).toEqual(['17.11']);
	expect(versionsFor(['18', '17'], ['17.11', '18.1', '16.2'], '16.1'), 'a line that nobody listed').toEqual(['16.2']);
});

test('ten is more than nine', () => {
	expect(compared('10.11.19', '10.11.9')).toBeGreaterThan(0);
	expect(compared('7.0', '7.0.15')).toBeLessThan(0);
	expect(compared('7.0.15-rc1', '7.0.15')).toBe(0);
});
