// Images of one's own as people type them: a line each, `service:release-line image`.

/** What stands in the field for these. */
export function typed(own: Record<string, string>): string {
	return Object.entries(own).map(([name, image]) => `${name} ${image}`).join('\n');
}

/** What was typed; null when a line is not a name and an image. */
export function understood(text: string): Record<string, string> | null {
	const own: Record<string, string> = {};
	for (const line of text.split('\n').map((l) => l.trim()).filter(Boolean)) {
		const [name, image, ...rest] = line.split(/\s+/);
		if (!name || !image || rest.length > 0 || !/^[^:]+:[^:]+$/.test(name)) return null;
		own[name] = image;
	}
	return own;
}
