// How a request reaches the router: through the window's IPC or over HTTP. The rest of the page does not know which.

export interface Request {
	method: 'GET' | 'POST' | 'PUT' | 'DELETE';
	/** With its query, from `/v1` on. */
	path: string;
	headers?: Record<string, string>;
	body?: string;
	signal?: AbortSignal;
}
export interface Answer {
	status: number;
	/** Names in lower case. */
	headers: Record<string, string>;
	text: string;
	/** Set for pictures. */
	bytes?: Uint8Array<ArrayBuffer>;
}
export interface StreamEvent {
	event: string;
	id: string | null;
	data: string;
}
export interface StreamRequest {
	path: string;
	headers?: Record<string, string>;
	signal: AbortSignal;
	onEvent: (event: StreamEvent) => void;
	/** The other side has accepted the stream. */
	onOpen: () => void;
}
export interface Transport {
	readonly kind: 'tauri' | 'http';
	request(request: Request): Promise<Answer>;
	/** Ends when the stream ends; rejects with a `StreamRefused` or a network error. The signal closes it. */
	stream(request: StreamRequest): Promise<void>;
	/**
	 * Writes an answer into the downloads folder, which a browser does by itself. Its events: `written` (bytes so far), then `saved` (the
	 * file) or `failed` (a problem). The signal ends it, and nothing is left of it.
	 */
	save?(request: StreamRequest): Promise<void>;
}

/** A stream that was answered with a status instead of events. */
export class StreamRefused extends Error {
	constructor(readonly status: number, readonly body: string) {
		super(`the stream was refused with status ${status}`);
	}
}

let chosen: Promise<Transport> | undefined;

/** The transport of this page, chosen once. */
export function transport(): Promise<Transport> {
	chosen ??= window.__TAURI_INTERNALS__ ? import('./tauri').then((m) => m.tauriTransport()) : import('./http').then((m) => m.httpTransport());
	return chosen;
}
