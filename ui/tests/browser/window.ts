// The page as the window has it: its two commands, answered here by the local socket of a home, which is the very router
// the window asks. Only the way there is ours; connections, copies and refusals are the real ones.
import type { Page } from '@playwright/test';
import { request as ask, type ClientRequest } from 'node:http';
import { join } from 'node:path';
import type { Serve } from './serve';

interface Asked {
	method?: string;
	path: string;
	headers?: Record<string, string>;
	body?: string | null;
}
interface Told {
	status: number;
	headers: Record<string, string>;
	body: string;
	binary: boolean;
}

/** Opens the page as the window does: no sign-in, and a home that may know other servers. */
export async function openWindow(page: Page, serve: Serve): Promise<void> {
	const socket = join(serve.home, 'api.sock');
	const open = new Map<string, ClientRequest>();
	await page.exposeFunction('__ask', (asked: Asked): Promise<Told> => {
		const stream = /^\/v1\/streams\/(.+)$/.exec(asked.path)?.[1];
		if (stream !== undefined) {
			open.get(stream)?.destroy();
			open.delete(stream);
			return Promise.resolve({ status: 204, headers: {}, body: '', binary: false });
		}
		return once(socket, asked);
	});
	await page.exposeFunction('__follow', (asked: Asked, channel: number): Promise<string | Told> => follow(page, socket, asked, channel, open));
	await page.addInitScript(shim);
	await page.goto(serve.url);
	await page.getByTestId('nav-clusters').waitFor();
}

function once(socketPath: string, asked: Asked): Promise<Told> {
	return new Promise((done, failed) => {
		const sent = ask({ socketPath, path: asked.path, method: asked.method ?? 'GET', headers: { host: 'localhost', ...asked.headers } }, (answer) => {
			const parts: Buffer[] = [];
			answer.on('data', (part: Buffer) => parts.push(part));
			answer.on('end', () => done({ status: answer.statusCode ?? 0, headers: headersOf(answer.headers), body: Buffer.concat(parts).toString('utf8'), binary: false }));
			answer.on('error', failed);
		});
		sent.on('error', failed);
		sent.end(asked.body ?? undefined);
	});
}

/** Passes each event on to the page's channel, in order, and at the end says that it has ended. */
function follow(page: Page, socketPath: string, asked: Asked, channel: number, open: Map<string, ClientRequest>): Promise<string | Told> {
	return new Promise((done, failed) => {
		const id = `s${String(channel)}`;
		let index = 0;
		const tell = (message: unknown): void =>
			void page.evaluate(([to, i, what]) => (window as unknown as { __tell: (to: number, i: number, what: unknown) => void }).__tell(to, i, what), [channel, index++, message] as const).catch(() => undefined);
		const sent = ask({ socketPath, path: asked.path, headers: { host: 'localhost', accept: 'text/event-stream', ...asked.headers } }, (answer) => {
			answer.setEncoding('utf8');
			let rest = '';
			if (answer.statusCode !== 200) {
				answer.on('data', (part: string) => (rest += part));
				answer.on('end', () => done({ status: answer.statusCode ?? 0, headers: {}, body: rest, binary: false }));
				return;
			}
			done(id);
			answer.on('data', (part: string) => {
				const blocks = (rest + part).split('\n\n');
				rest = blocks.pop() ?? '';
				for (const block of blocks) {
					const field = (name: string): string[] => block.split('\n').filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).trimStart());
					const data = field('data').join('\n');
					if (data !== '') tell({ event: field('event')[0] ?? 'message', id: field('id')[0] ?? null, data });
				}
			});
			const end = (): void => tell({ event: 'stream-end', id: null, data: '' });
			answer.on('end', end);
			answer.on('error', end);
		});
		sent.on('error', failed);
		open.set(id, sent);
		sent.end();
	});
}

const headersOf = (headers: NodeJS.Dict<string | string[]>): Record<string, string> =>
	Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]));

/** Runs in the page, before it: what Tauri puts there. */
function shim(): void {
	interface Channel {
		id: number;
	}
	const page = window as unknown as {
		__TAURI_INTERNALS__: unknown;
		__ask: (asked: unknown) => Promise<unknown>;
		__follow: (asked: unknown, channel: number) => Promise<unknown>;
		__tell: (to: number, index: number, message: unknown) => void;
	};
	const callbacks = new Map<number, (raw: unknown) => void>();
	let next = 1;
	page.__tell = (to, index, message) => callbacks.get(to)?.({ index, message });
	page.__TAURI_INTERNALS__ = {
		transformCallback: (callback: (raw: unknown) => void) => (callbacks.set(next, callback), next++),
		unregisterCallback: (id: number) => callbacks.delete(id),
		invoke: async (command: string, given: { request: unknown; channel?: Channel }) => {
			if (command === 'request') return page.__ask(given.request);
			const answer = await page.__follow(given.request, given.channel?.id ?? 0);
			// A refused stream rejects with the answer, as the command does.
			if (typeof answer !== 'string') throw answer as Error;
			return answer;
		}
	};
}
