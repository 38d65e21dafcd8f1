// Short notices at the corner of the window. At most a few at a time; the audit trail keeps what matters.

export interface Toast {
	id: number;
	level: 'info' | 'warning' | 'error';
	text: string;
	href?: string;
}

const SHOWN = 4;
const STAYS_MS = 8_000;

class Toasts {
	items = $state<Toast[]>([]);
	#next = 1;

	add(level: Toast['level'], text: string, href?: string): void {
		const id = this.#next++;
		this.items = [...this.items, { id, level, text, href }].slice(-SHOWN);
		// An error waits for somebody to dismiss it.
		if (level !== 'error') setTimeout(() => this.dismiss(id), STAYS_MS);
	}
	dismiss(id: number): void {
		this.items = this.items.filter((t) => t.id !== id);
	}
}

export const toasts = new Toasts();
