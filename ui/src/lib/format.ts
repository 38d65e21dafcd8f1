// Numbers and times as people read them. A number has a unit; a time says how long ago.

const KIB = 1024;
const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const NONE = '–';

export function bytes(value: number | null | undefined, digits = 1): string {
	if (value == null || !Number.isFinite(value)) return NONE;
	let size = 0;
	let rest = Math.abs(value);
	// From 1000 on the next unit is used, so that no size takes more than three digits.
	while (rest >= (size === 0 ? KIB : 1000) && size < SIZES.length - 1) {
		rest /= KIB;
		size++;
	}
	const text = size === 0 || rest >= 100 ? rest.toFixed(0) : trimmed(rest, rest < 1 ? 2 : digits);
	return `${value < 0 ? '-' : ''}${text} ${SIZES[size] ?? 'B'}`;
}

export function count(value: number | null | undefined): string {
	if (value == null || !Number.isFinite(value)) return NONE;
	const abs = Math.abs(value);
	if (abs >= 1e9) return `${trimmed(value / 1e9, 1)} G`;
	if (abs >= 1e6) return `${trimmed(value / 1e6, 1)} M`;
	if (abs >= 1e4) return `${trimmed(value / 1e3, 1)} k`;
	return abs >= 100 || Number.isInteger(value) ? value.toFixed(0) : trimmed(value, 1);
}

export function percent(value: number | null | undefined): string {
	if (value == null || !Number.isFinite(value)) return NONE;
	return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

/** A length of time, at most two units: `850 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(ms: number | null | undefined): string {
	if (ms == null || !Number.isFinite(ms)) return NONE;
	if (ms < 10) return `${trimmed(ms, 1)} ms`;
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 60_000) return `${trimmed(ms / 1000, ms < 10_000 ? 1 : 0)} s`;
	const minutes = Math.floor(ms / 60_000);
	if (minutes < 60) return pair(minutes, 'min', Math.floor((ms % 60_000) / 1000), 's');
	const hours = Math.floor(minutes / 60);
	if (hours < 24) return pair(hours, 'h', minutes % 60, 'min');
	return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

export function ago(then: string | number, now: number): string {
	const ms = now - (typeof then === 'number' ? then : Date.parse(then));
	if (!Number.isFinite(ms)) return NONE;
	if (ms < 5_000) return 'just now';
	if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`;
	if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
	if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`;
	return `${Math.floor(ms / 86_400_000)} d ago`;
}

/** How long until then, to the nearest of its unit; null once it has come. */
export function until(then: string | number, now: number): string | null {
	const ms = (typeof then === 'number' ? then : Date.parse(then)) - now;
	if (!Number.isFinite(ms)) return NONE;
	if (ms <= 0) return null;
	const [size, unit] = ms < 90_000 ? [1_000, 's'] : ms < 90 * 60_000 ? [60_000, 'min'] : ms < 36 * 3_600_000 ? [3_600_000, 'h'] : [86_400_000, 'd'];
	return `in ${Math.max(1, Math.round(ms / size))} ${unit}`;
}

const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });

export function day(then: string | number): string {
	const at = new Date(then);
	return Number.isNaN(at.getTime()) ? NONE : DAY.format(at);
}

const EXACT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function exact(then: string | number): string {
	const at = new Date(then);
	return Number.isNaN(at.getTime()) ? NONE : EXACT.format(at);
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' });

/** To the millisecond, for what happens several times in a second. */
export function timeOfDay(then: string | number): string {
	const at = new Date(then);
	return Number.isNaN(at.getTime()) ? NONE : CLOCK.format(at);
}

export function money(value: number, digits: number): string {
	return `$${value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

function trimmed(value: number, digits: number): string {
	return value.toFixed(digits).replace(/\.0+$/, '');
}
function pair(a: number, unitA: string, b: number, unitB: string): string {
	return b === 0 ? `${a} ${unitA}` : `${a} ${unitA} ${b} ${unitB}`;
}
