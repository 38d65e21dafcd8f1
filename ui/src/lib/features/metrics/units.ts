// How a metric's numbers are written on an axis and in a legend.
import type { Metric, Unit } from '$lib/api/types';
import { bytes, count, percent } from '$lib/format';

const UNITS: Record<Metric, Unit> = {
	'cpu-percent': 'percent', 'memory-bytes': 'bytes', 'disk-bytes': 'bytes', 'network-in-bytes-per-second': 'bytes-per-second', 'network-out-bytes-per-second': 'bytes-per-second',
	'operations-per-second': 'per-second', clients: 'count', 'hit-rate-percent': 'percent', 'lag-bytes': 'bytes'
};

export const unitOf = (metric: Metric): Unit => UNITS[metric];

export function written(metric: Metric, value: number | null | undefined): string {
	switch (UNITS[metric]) {
		case 'percent': return percent(value);
		case 'bytes': return bytes(value);
		case 'bytes-per-second': return value == null ? '–' : `${bytes(value)}/s`;
		case 'per-second': return value == null ? '–' : `${count(value)}/s`;
		case 'count': return count(value);
	}
}

/** Steps of a byte axis are powers of two, so that its labels are round. */
export const BYTE_STEPS: number[] = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** From zero to a little above the largest value; a percentage of a whole is shown as such. */
export function heightOf(metric: Metric, max: number | null): [number, number] {
	if (metric === 'hit-rate-percent') return [0, 100];
	if (metric === 'cpu-percent') return [0, Math.max(10, (max ?? 0) * 1.15)];
	const floor = UNITS[metric] === 'bytes' || UNITS[metric] === 'bytes-per-second' ? 1024 : 5;
	return [0, Math.max(floor, (max ?? 0) * 1.15)];
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const CLOCK_S = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** A time on the axis, as short as the span allows. */
export function clockText(at: number, span: number): string {
	if (span <= 3 * 60_000) return CLOCK_S.format(at);
	if (span <= 36 * 3_600_000) return CLOCK.format(at);
	return DAY.format(at);
}
