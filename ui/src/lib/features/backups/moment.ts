// Moments as people write them, in a time zone, and where they lie on a line.
import type { PointInTime } from '$lib/api/types';

const FORM = /^(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))?$/;

/** How far the clocks of a zone are ahead of UTC at this moment. */
function ahead(at: number, zone: string): number {
	const parts = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' }).formatToParts(at);
	const of = (type: string): number => Number(parts.find((p) => p.type === type)?.value);
	return Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second')) - Math.floor(at / 1000) * 1000;
}

/** `2026-11-29 12:00:00` as the clocks of the zone showed it. */
export function written(at: string, zone: string): string {
	const ms = Date.parse(at);
	return new Date(ms + ahead(ms, zone)).toISOString().slice(0, 19).replace('T', ' ');
}

/** The moment that was written, to the second; null where it is none. Of an hour that came twice, the first. */
export function read(text: string, zone: string): string | null {
	const found = FORM.exec(text.trim());
	if (!found) return null;
	const [year, month, day, hour, minute, second] = found.slice(1).map((n) => Number(n ?? 0)) as [number, number, number, number, number, number];
	const shown = Date.UTC(year, month - 1, day, hour, minute, second);
	const at = new Date(shown);
	if (at.getUTCMonth() !== month - 1 || at.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) return null;
	const moments = [ahead(shown - 86_400_000, zone), ahead(shown + 86_400_000, zone)].map((offset) => shown - offset).filter((ms) => ms + ahead(ms, zone) === shown);
	const first = moments.length > 0 ? Math.min(...moments) : null;
	return first === null ? null : new Date(first).toISOString().replace('.000Z', 'Z');
}

export interface Line {
	/** The ends, whole seconds within what can be brought back. */
	from: number;
	to: number;
	/** Parts of the line, each between 0 and 1. */
	parts: { at: number; wide: number }[];
	marks: { at: number; time: string; verified: boolean }[];
}

/** Null where there is nothing to choose. */
export function line(range: PointInTime): Line | null {
	const [first, last] = [range.ranges[0], range.ranges.at(-1)];
	if (!first || !last) return null;
	const from = Math.ceil(Date.parse(first.from) / 1000);
	const to = Math.floor(Date.parse(last.to) / 1000);
	if (to <= from) return null;
	const share = (time: string): number => Math.min(1, Math.max(0, (Date.parse(time) / 1000 - from) / (to - from)));
	return {
		from, to,
		parts: range.ranges.map((r) => ({ at: share(r.from), wide: share(r.to) - share(r.from) })),
		marks: range.bases.map((b) => ({ at: share(b.at), time: b.at, verified: b.verified }))
	};
}

/** Whether a moment can be brought back. */
export function held(at: string, range: PointInTime): boolean {
	const ms = Date.parse(at);
	return range.ranges.some((r) => Date.parse(r.from) <= ms && ms <= Date.parse(r.to));
}
