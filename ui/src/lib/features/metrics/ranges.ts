// Spans of time a chart can show, and how finely it is asked for.

export type RangeId = '5m' | '15m' | '1h' | '6h' | '24h' | '7d' | '30d';

const S = 1_000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

/** Each span with a step that gives 150 to 360 points. */
export const RANGES: { id: RangeId; span: number; step: number }[] = [
	{ id: '5m', span: 5 * M, step: 2 * S },
	{ id: '15m', span: 15 * M, step: 5 * S },
	{ id: '1h', span: H, step: 15 * S },
	{ id: '6h', span: 6 * H, step: 2 * M },
	{ id: '24h', span: D, step: 5 * M },
	{ id: '7d', span: 7 * D, step: 30 * M },
	{ id: '30d', span: 30 * D, step: 2 * H }
];
const STEPS = [2 * S, 5 * S, 10 * S, 15 * S, 30 * S, M, 2 * M, 5 * M, 10 * M, 15 * M, 30 * M, H, 2 * H, 6 * H, D];
const POINTS = 300;
/** Narrower than this there is nothing between the samples. */
export const NARROWEST = 30 * S;

export interface Span {
	from: number;
	to: number;
	step: number;
}

/** A preset that ends now, on whole steps, so that two questions in the same step are the same question. */
export function preset(id: RangeId, now: number): Span {
	const { span, step } = RANGES.find((r) => r.id === id) ?? { span: H, step: 15 * S };
	const to = (Math.floor(now / step) + 1) * step;
	return { from: to - span, to, step };
}

/** A span somebody dragged or moved to; never wider than a month, never narrower than can be measured. */
export function zoomed(from: number, to: number, now: number): Span {
	let [start, end] = from < to ? [from, to] : [to, from];
	if (end - start < NARROWEST) {
		const middle = (start + end) / 2;
		start = middle - NARROWEST / 2;
		end = middle + NARROWEST / 2;
	}
	if (end - start > 30 * D) start = end - 30 * D;
	if (end > now) {
		start -= end - now;
		end = now;
	}
	const step = STEPS.find((s) => (end - start) / s <= POINTS) ?? D;
	return { from: Math.floor(start / step) * step, to: Math.ceil(end / step) * step, step };
}

/** Short spans follow the samples as they come; long ones are asked again now and then. */
export function isLive(id: RangeId): boolean {
	return id === '5m' || id === '15m' || id === '1h';
}
