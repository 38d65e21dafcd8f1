import { expect, test } from 'vitest';
import { ago, bytes, count, day, duration, money, percent, until } from './format';

test('sizes carry a binary unit and no false precision', () => {
	expect([0, 512, 1536, 10 * 1024 ** 2, 123.4 * 1024 ** 2, 2 ** 30, 1006 * 1024 ** 2].map((v) => bytes(v))).toEqual([
		'0 B', '512 B', '1.5 KiB', '10 MiB', '123 MiB', '1 GiB', '0.98 GiB'
	]);
});

test('what was not measured is a dash and never zero', () => {
	expect([bytes(null), count(undefined), percent(null), duration(null)]).toEqual(['–', '–', '–', '–']);
});

test('durations take the two largest units', () => {
	expect([6.7, 850, 12_400, 200_000, 7_500_000, 90_000_000].map((v) => duration(v))).toEqual([
		'6.7 ms', '850 ms', '12 s', '3 min 20 s', '2 h 5 min', '1 d 1 h'
	]);
});

test('a time says how long ago it was', () => {
	const now = Date.parse('2026-11-22T12:00:00Z');
	expect(ago('2026-11-22T11:59:58Z', now)).toBe('just now');
	expect(ago('2026-11-22T11:57:00Z', now)).toBe('3 min ago');
	expect(ago('2026-11-19T12:00:00Z', now)).toBe('3 d ago');
});

test('large counts are shortened and prices keep their cents', () => {
	expect([count(7), count(9999), count(12_345), count(3_400_000)]).toEqual(['7', '9999', '12.3 k', '3.4 M']);
	expect(money(730 * 0.0125, 2)).toBe('$9.13');
});

test('what is to come says in how long, and when it has come says nothing', () => {
	const now = Date.parse('2026-11-22T12:00:00Z');
	const all = ['2026-11-22T12:00:20Z', '2026-11-22T12:29:40Z', '2026-11-22T14:50:00Z', '2026-11-29T12:00:00Z'].map((at) => until(at, now));
	expect(all).toEqual(['in 20 s', 'in 30 min', 'in 3 h', 'in 7 d']);
	expect([until('2026-11-22T12:00:00Z', now), until('2026-11-22T11:00:00Z', now)]).toEqual([null, null]);
	expect(day('2026-12-14T12:00:00Z')).toBe('14 Dec 2026');
});
