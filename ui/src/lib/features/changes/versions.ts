// Which versions an upgrade is offered. Whether one can be had is for the preview to say; here only what can make sense.

const numbers = (version: string): number[] => (/^[\d.]+/.exec(version)?.[0] ?? '').split('.').map(Number);
const belongs = (version: string, line: string): boolean => version === line || version.startsWith(`${line}.`);

/** Negative when `a` is older than `b`: 10.11.9 before 10.11.19. */
export function compared(a: string, b: string): number {
	const [of, to] = [numbers(a), numbers(b)];
	for (let i = 0; i < Math.max(of.length, to.length); i++) {
		const difference = (of[i] ?? 0) - (to[i] ?? 0);
		if (difference !== 0) return difference;
	}
	return 0;
}

/** Of the versions `found`, those of the release line (of `lines`) that a cluster has, newest first; what is older than it is left out. */
export function versionsFor(lines: string[], found: string[], version: string): string[] {
	const theirs = lines.filter((line) => belongs(version, line)).sort((a, b) => b.length - a.length);
	const line = theirs[0] ?? version.split('.')[0] ?? version;
	const offered = found.filter((v) => belongs(v, line) && compared(v, version) >= 0);
	return [...new Set(offered)].sort((a, b) => compared(b, a));
}
