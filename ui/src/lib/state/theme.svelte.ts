// The theme in force. The settings are the truth; the copy in localStorage only spares the first paint a flash (static/theme.js).
import { untrack } from 'svelte';
import type { Theme } from '$lib/api/types';

const KEY = 'clusterdeck.theme';

class ThemeState {
	/** Grows whenever colours change, so that canvases can repaint. */
	revision = $state(0);

	constructor() {
		if (typeof matchMedia === 'undefined') return;
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.revision++);
	}
	get dark(): boolean {
		const chosen = document.documentElement.dataset.theme;
		return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	}
	apply(theme: Theme): void {
		if (theme === 'system') delete document.documentElement.dataset.theme;
		else document.documentElement.dataset.theme = theme;
		try {
			localStorage.setItem(KEY, theme);
		} catch {
			// No storage: the first paint uses the system's theme.
		}
		// Counting up reads too: an effect that applies the theme must not wait for itself.
		untrack(() => this.revision++);
	}
}

export const theme = new ThemeState();

/** The value of a colour token as the canvas understands it: `light-dark()` resolved. */
export function colour(token: string): string {
	const probe = document.createElement('span');
	probe.style.color = `var(--color-${token})`;
	probe.style.display = 'none';
	document.body.append(probe);
	const value = getComputedStyle(probe).color;
	probe.remove();
	return value;
}
