// A home of its own with `clusterdeck serve` on a free port, and a page that has signed in to it.
import { test as base, type Page } from '@playwright/test';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const target = process.env.CARGO_TARGET_DIR ?? resolve(import.meta.dirname, '../../../target');
const program = process.env.CLUSTERDECK_PROGRAM ?? join(target, 'debug/clusterdeck');

export class Serve {
	readonly home = mkdtempSync(join(tmpdir(), 'cdw-'));
	url = '';
	private child: ChildProcess | undefined;
	private readonly env: NodeJS.ProcessEnv;

	constructor() {
		const key = join(this.home, 'key');
		writeFileSync(key, 'a key for tests that is long enough, 0123456789abcdef\n');
		chmodSync(key, 0o600);
		this.env = { ...process.env, CLUSTERDECK_HOME: this.home, CLUSTERDECK_VAULT_KEY_FILE: key };
	}

	async start(): Promise<void> {
		if (this.running()) return;
		const port = this.url ? Number(new URL(this.url).port) : await freePort();
		this.url = `http://127.0.0.1:${String(port)}`;
		this.child = spawn(program, ['serve', '--listen', `127.0.0.1:${String(port)}`], {
			env: this.env,
			stdio: ['ignore', 'ignore', 'inherit']
		});
		const deadline = Date.now() + 20_000;
		for (;;) {
			const answer = await fetch(this.url).catch(() => undefined);
			if (answer?.ok) return;
			if (Date.now() > deadline) throw new Error(`${program} serve did not answer on ${this.url}`);
			await new Promise((done) => setTimeout(done, 50));
		}
	}

	private running(): boolean {
		return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
	}

	async stop(): Promise<void> {
		const child = this.child;
		if (!child || !this.running()) return;
		const ended = new Promise((done) => child.once('exit', done));
		child.kill('SIGTERM');
		await ended;
	}

	/** Runs the command line against this home; returns what it printed. */
	cli(...words: string[]): string {
		return execFileSync(program, words, { env: this.env, encoding: 'utf8', timeout: 90_000 });
	}

	token(): string {
		return this.cli('serve', '--token-only').trim().split('\n').at(-1) ?? '';
	}

	remove(): void {
		rmSync(this.home, { recursive: true, force: true });
	}
}

async function freePort(): Promise<number> {
	return new Promise((done, failed) => {
		const server = createServer();
		server.once('error', failed);
		server.listen(0, '127.0.0.1', () => {
			const address = server.address();
			server.close(() => {
				if (address && typeof address === 'object') done(address.port);
				else failed(new Error('no port'));
			});
		});
	});
}

export async function signIn(page: Page, serve: Serve): Promise<void> {
	await page.goto(serve.url);
	await page.getByTestId('signin-token').fill(serve.token());
	await page.getByTestId('signin-submit').click();
	await page.getByTestId('nav-clusters').waitFor();
}

export const test = base.extend<object, { serve: Serve }>({
	serve: [
		async ({}, use) => {
			const serve = new Serve();
			await serve.start();
			await use(serve);
			for (const name of ['web', 'redis-1', 'wiz-pg', 'wiz-maria', 'wiz-keys']) {
				try {
					serve.cli('cluster', 'delete', name, '--yes', '--confirm', name);
				} catch {
					// It is gone already, which is what this is for.
				}
			}
			await serve.stop();
			serve.remove();
		},
		{ scope: 'worker' }
	]
});

export { expect } from '@playwright/test';
