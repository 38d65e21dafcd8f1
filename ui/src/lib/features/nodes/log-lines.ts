// The lines of a followed log: the newest stay, the oldest go.

export const KEPT_LINES = 2_000;

export interface Line {
	n: number;
	text: string;
}

/** Adds lines and drops what is over the bound. Numbers go on, so that a list keyed by them moves and does not redraw. */
export function addLines(lines: Line[], added: string[], kept = KEPT_LINES): Line[] {
	if (added.length === 0) return lines;
	let n = (lines.at(-1)?.n ?? 0) + Math.max(0, added.length - kept);
	const fresh = added.slice(-kept).map((text) => ({ n: ++n, text }));
	return [...lines, ...fresh].slice(-kept);
}
