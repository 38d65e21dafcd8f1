// A stream that opens again by itself. Used by the event feed, live metrics and followed logs.
import { isAbort } from './problem';
import { StreamRefused, transport, type StreamEvent } from './transport';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export interface Subscription {
	/** Asked again at each attempt, so that a resumed stream can name where it was. */
	path: () => string;
	headers?: () => Record<string, string>;
	onEvent: (event: StreamEvent) => void;
	/** Open (true), or waiting to try again (false). */
	onState?: (open: boolean) => void;
	/** The other side said no and would again; the stream is not tried any more. */
	onRefused?: (refusal: StreamRefused) => void;
}

/** Opens the stream and keeps it open; call the result to close it. */
export function subscribe(subscription: Subscription): () => void {
	const closing = new AbortController();
	void keepOpen(subscription, closing.signal);
	return () => closing.abort(new DOMException('the view is gone', 'AbortError'));
}

async function keepOpen({ path, headers, onEvent, onState, onRefused }: Subscription, signal: AbortSignal): Promise<void> {
	let wait = FIRST_WAIT_MS;
	while (!signal.aborted) {
		try {
			const way = await transport();
			await way.stream({
				path: path(),
				headers: headers?.(),
				signal,
				onEvent: (event) => {
					if (!signal.aborted) onEvent(event);
				},
				onOpen: () => {
					wait = FIRST_WAIT_MS;
					onState?.(true);
				}
			});
		} catch (error) {
			if (signal.aborted || isAbort(error)) return;
			if (error instanceof StreamRefused && error.status < 500 && error.status !== 429) {
				onState?.(false);
				onRefused?.(error);
				return;
			}
		}
		if (signal.aborted) return;
		onState?.(false);
		await pause(wait, signal);
		wait = Math.min(wait * 2, LONGEST_WAIT_MS);
	}
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((done) => {
		const timer = setTimeout(done, ms);
		signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
	});
}
