// Reads `text/event-stream` (WHATWG HTML, 9.2.6) from pieces of text as they arrive.
import type { StreamEvent } from './transport';

/** One event larger than this is dropped: the buffer of a broken stream must not grow without end. */
const MAX_PENDING = 4 * 1024 * 1024;

export class EventReader {
	#pending = '';
	#event = '';
	#id: string | null = null;
	#data: string[] = [];
	#size = 0;

	constructor(private readonly onEvent: (event: StreamEvent) => void) {}

	push(text: string): void {
		this.#pending += text;
		for (;;) {
			const end = this.#pending.search(/\r\n|\n|\r/);
			if (end < 0) break;
			// A lone \r at the very end may be the first half of \r\n.
			if (this.#pending[end] === '\r' && end === this.#pending.length - 1) break;
			const width = this.#pending.startsWith('\r\n', end) ? 2 : 1;
			this.#line(this.#pending.slice(0, end));
			this.#pending = this.#pending.slice(end + width);
		}
		if (this.#pending.length > MAX_PENDING) this.#pending = '';
	}

	#line(line: string): void {
		if (line === '') return this.#dispatch();
		if (line.startsWith(':')) return;
		const colon = line.indexOf(':');
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
		if (field === 'event') this.#event = value;
		else if (field === 'id') this.#id = value;
		else if (field === 'data') {
			this.#size += value.length;
			if (this.#size <= MAX_PENDING) this.#data.push(value);
		}
	}

	#dispatch(): void {
		if (this.#data.length > 0 || this.#event !== '') {
			this.onEvent({ event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') });
		}
		this.#event = '';
		this.#data = [];
		this.#size = 0;
	}
}
