// The transport of the desktop window: the same router, in-process. `request`, `stream` and `save` are the window's only commands.
import { Channel, invoke } from '@tauri-apps/api/core';
import { StreamRefused, type Answer, type Request, type StreamEvent, type StreamRequest, type Transport } from './transport';

interface IpcAnswer {
	status: number;
	headers: Record<string, string>;
	body: string;
	binary: boolean;
}

export function tauriTransport(): Transport {
	return { kind: 'tauri', request, stream: (asked) => follow('stream', 'text/event-stream', asked), save: (asked) => follow('save', '*/*', asked) };
}

async function request({ method, path, headers = {}, body, signal }: Request): Promise<Answer> {
	signal?.throwIfAborted();
	const answer = await invoke<IpcAnswer>('request', {
		request: { method, path, headers: { accept: 'application/json', ...headers }, body: body ?? null, connection: connectionOf(headers) }
	});
	signal?.throwIfAborted();
	const lower = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name.toLowerCase(), value]));
	return answer.binary
		? { status: answer.status, headers: lower, text: '', bytes: Uint8Array.from(atob(answer.body), (c) => c.charCodeAt(0)) }
		: { status: answer.status, headers: lower, text: answer.body };
}

async function follow(command: 'stream' | 'save', accept: string, { path, headers = {}, signal, onEvent, onOpen }: StreamRequest): Promise<void> {
	signal.throwIfAborted();
	const channel = new Channel<StreamEvent>();
	const opened = invoke<string>(command, {
		request: { path, headers: { accept, ...headers }, connection: connectionOf(headers) },
		channel
	});
	try {
		await new Promise<void>((end, fail) => {
			signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true });
			channel.onmessage = (event) => {
				// The shell says how a stream ended, since a channel has no end of its own.
				if (event.event === 'stream-end') end();
				else onEvent(event);
			};
			opened.then(onOpen, (refusal: unknown) => fail(asRefusal(refusal)));
		});
	} finally {
		channel.onmessage = () => {};
		// Also when the view went before the shell had answered: what it then opens is closed.
		opened.then(drop, () => undefined);
	}
}

async function drop(id: string): Promise<void> {
	await request({ method: 'DELETE', path: `/v1/streams/${encodeURIComponent(id)}` }).catch(() => undefined);
}

/** The command refuses with an answer; anything else is passed on as it is. */
function asRefusal(error: unknown): Error {
	if (typeof error === 'object' && error !== null && 'status' in error) {
		const told = error as { status: number; body?: string };
		return new StreamRefused(told.status, told.body ?? '');
	}
	return error instanceof Error ? error : new Error(String(error));
}

function connectionOf(headers: Record<string, string>): string | null {
	return headers['X-Clusterdeck-Connection'] ?? null;
}
