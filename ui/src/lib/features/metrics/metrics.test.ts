import { expect, test } from 'vitest';
import type { NodeMetrics, Sample, Series } from '$lib/api/types';
import { addSample, csvOf, frameOf } from './frame';
import { preset, RANGES, zoomed } from './ranges';

const T0 = 1_800_000_000_000;
const sample = (at: number, node: string, cpu: number | null): Sample => ({ at: new Date(at).toISOString(), nodes: [{ node, metrics: { cpu_percent: cpu } as NodeMetrics }] });
const series = (node: string, ...points: [number, number | null][]): Series => ({ metric: 'cpu-percent', unit: 'percent', node, points: points.map(([at, value]) => ({ at, value })) });

test('every preset asks for 150 to 360 points and ends now', () => {
	for (const { id } of RANGES) {
		const { from, to, step } = preset(id, T0 + 123);
		expect((to - from) / step, id).toBeGreaterThanOrEqual(120);
		expect((to - from) / step, id).toBeLessThanOrEqual(360);
		expect(to).toBeGreaterThan(T0);
		expect(to % step).toBe(0);
	}
});

test('a zoom is never backwards, too narrow to measure, or in the future', () => {
	const tiny = zoomed(T0, T0 + 10, T0 + 3_600_000);
	expect(tiny.to - tiny.from).toBeGreaterThanOrEqual(30_000);
	const back = zoomed(T0 + 600_000, T0, T0 + 3_600_000);
	expect(back.from).toBeLessThan(back.to);
	const ahead = zoomed(T0, T0 + 600_000, T0 + 300_000);
	expect(ahead.to).toBeLessThanOrEqual(T0 + 300_000 + ahead.step);
});

test('series of different times are put on one row of times with gaps between', () => {
	const frame = frameOf([series('a', [0, 1], [2000, 2]), series('b', [2000, 5])], 2000, 10_000);
	expect(frame.times).toEqual([0, 2000]);
	expect(frame.rows.get('cpu-percent')?.get('b')).toEqual([null, 5]);
});

test('live samples do not let a frame grow beyond its span', () => {
	const frame = frameOf([series('a', [T0, 1])], 2000, 20_000);
	for (let i = 1; i < 500; i++) addSample(frame, sample(T0 + i * 2000, 'a', i));
	expect(frame.times.length).toBeLessThanOrEqual(11);
	expect(frame.rows.get('cpu-percent')?.get('a')).toHaveLength(frame.times.length);
	expect(frame.rows.get('cpu-percent')?.get('a')?.at(-1)).toBe(499);
});

test('samples inside one step replace each other and an old one is left out', () => {
	const frame = frameOf([series('a', [T0, 1])], 15_000, 3_600_000);
	addSample(frame, sample(T0 + 15_000, 'a', 2));
	addSample(frame, sample(T0 + 17_000, 'a', 3));
	addSample(frame, sample(T0 - 60_000, 'a', 9));
	expect(frame.rows.get('cpu-percent')?.get('a')).toEqual([1, 3]);
});

test('time without samples is a gap in the line', () => {
	const frame = frameOf([series('a', [T0, 1])], 2000, 600_000);
	addSample(frame, sample(T0 + 60_000, 'a', 2));
	expect(frame.rows.get('cpu-percent')?.get('a')).toEqual([1, null, 2]);
});

test('a node that joins later has no values before', () => {
	const frame = frameOf([series('a', [T0, 1])], 2000, 600_000);
	addSample(frame, sample(T0 + 2000, 'b', 4));
	expect(frame.rows.get('cpu-percent')?.get('b')).toEqual([null, 4]);
	expect(frame.rows.get('cpu-percent')?.get('a')).toEqual([1, null]);
});

test('the table of values has a column for each node and leaves gaps empty', () => {
	const frame = frameOf([series('a', [0, 1], [2000, null]), series('b,c', [0, 0.5], [2000, 2])], 2000, 10_000);
	expect(csvOf(frame, 'cpu-percent')).toBe('time,a,"b,c"\n1970-01-01T00:00:00.000Z,1,0.5\n1970-01-01T00:00:02.000Z,,2\n');
});
