// The transport of a browser against `clusterdeck serve`. The session is an HttpOnly cookie; changing requests carry a
// header that another site's form cannot send.
import { EventReader } from './event-reader';
import { StreamRefused, type Answer, type Request, type StreamRequest, type Transport } from './transport';

const TEXTUAL = /^(text\/|application\/([\w.+-]*\+)?json)/;

export function httpTransport(): Transport {
	return { kind: 'http', request, stream };
}

async function request({ method, path, headers, body, signal }: Request): Promise<Answer> {
	const response = await fetch(path, {
		method,
		headers: { Accept: 'application/json', ...(method === 'GET' ? {} : { 'X-Clusterdeck': '1' }), ...headers },
		body,
		signal,
		credentials: 'same-origin',
		cache: 'no-store'
	});
	const answer: Answer = { status: response.status, headers: Object.fromEntries(response.headers), text: '' };
	if (TEXTUAL.test(response.headers.get('content-type') ?? 'text/plain')) answer.text = await response.text();
	else answer.bytes = new Uint8Array(await response.arrayBuffer());
	return answer;
}

async function stream({ path, headers, signal, onEvent, onOpen }: StreamRequest): Promise<void> {
	const response = await fetch(path, {
		headers: { Accept: 'text/event-stream', ...headers },
		signal,
		credentials: 'same-origin',
		cache: 'no-store'
	});
	if (!response.ok || !response.body) throw new StreamRefused(response.status, await response.text());
	onOpen();
	const reader = response.body.getReader();
	const decoder = new TextDecoder();
	const events = new EventReader(onEvent);
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		events.push(decoder.decode(value, { stream: true }));
	}
}
