// Who may come in: a list from the page, one that shuts its author out, kept and taken back in time.
import { createConnection } from 'node:net';
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';

/** Whether somebody from this address gets an answer at the endpoint. */
function comesIn(host: string, port: number, from: string): Promise<boolean> {
	return new Promise((done) => {
		const socket = createConnection({ host, port, localAddress: from });
		const end = (answered: boolean): void => {
			socket.destroy();
			done(answered);
		};
		socket.on('connect', () => socket.write('PING\r\n'));
		socket.on('data', () => end(true));
		socket.on('error', () => end(false));
		socket.on('close', () => done(false));
	});
}

// A home of its own: others count on one without a cluster. Made where it is used, since this file is read by more than one process.
let serve: Serve;
test.beforeAll(async () => {
	serve = new Serve();
	await serve.start();
});
test.afterAll(async () => {
	serve.cli('cluster', 'delete', 'web', '--yes', '--confirm', 'web', '--discard-backups');
	await serve.stop();
	serve.remove();
});

test('access is limited from the page, tried when it shuts its author out, kept, taken back, and opened again', async ({ page }) => {
	test.setTimeout(180_000);
	serve.cli('cluster', 'create', 'web', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
	const endpoints = JSON.parse(serve.cli('--json', 'cluster', 'endpoints', 'web')) as { items: { host: string; port: number }[] };
	const { host, port } = endpoints.items[0] ?? { host: '', port: 0 };
	await signIn(page, serve);
	await page.getByTestId('cluster-row').click();
	const card = page.getByTestId('access-card');
	await expect(card).toHaveAttribute('data-open', 'true');
	await expect(page.getByTestId('access-you')).toContainText('127.0.0.1');
	expect(await comesIn(host, port, '127.9.9.9')).toBe(true);

	// An open cluster: the list begins with the address of whoever asks.
	await page.getByTestId('access-change').click();
	await expect(page.getByTestId('access-cidr')).toHaveValue('127.0.0.1');
	await page.getByTestId('access-comment').fill('this desk');
	await page.getByTestId('access-add').click();
	await page.getByTestId('access-cidr').nth(1).fill('10.1.2.3/99');
	await expect(page.getByTestId('change-blockers')).toContainText('/99 cannot be');
	await page.getByTestId('access-cidr').nth(1).fill('127.8.1.1/16');
	await expect(page.getByTestId('change-effects')).toContainText('is taken as 127.8.0.0/16');
	await accessible(page, 'the list of addresses in the dialog');
	await page.getByTestId('change-confirm').click();
	await expect(page.locator('[data-testid=step]:not([data-state=succeeded])')).toHaveCount(0, { timeout: 30_000 });
	await page.getByTestId('change-close').click();
	await expect(page.getByTestId('access-entry')).toHaveCount(2);
	await expect(page.locator('[data-testid=access-way][data-enforced=true]')).toHaveCount(1);
	await accessible(page, 'a cluster with a list');
	expect(await comesIn(host, port, '127.9.9.9')).toBe(false);
	expect(await comesIn(host, port, '127.8.8.8')).toBe(true);

	// A list without its author is tried. Taken back at once, it never was.
	const shutOut = async (): Promise<void> => {
		await page.getByTestId('access-change').click();
		await page.getByTestId('access-remove').first().click();
		await expect(page.getByTestId('change-warnings')).toContainText('127.0.0.1');
		await page.getByTestId('change-typed').fill('web');
		await page.getByTestId('change-confirm').click();
		await expect(page.getByTestId('change-dialog').getByTestId('trial-keep')).toBeVisible({ timeout: 30_000 });
		expect(await comesIn(host, port, '127.0.0.1')).toBe(false);
	};
	await shutOut();
	await accessible(page, 'a list that is being tried');
	await page.getByTestId('change-dialog').getByTestId('trial-revert').click();
	await expect(page.getByTestId('change-dialog').getByTestId('trial-keep')).toHaveCount(0, { timeout: 30_000 });
	await expect.poll(() => comesIn(host, port, '127.0.0.1')).toBe(true);
	await page.getByTestId('change-close').click();
	await expect(page.getByTestId('access-entry')).toHaveCount(2);

	// Kept, it stays.
	await shutOut();
	await page.getByTestId('change-dialog').getByTestId('trial-keep').click();
	await expect(page.locator('[data-testid=step]:not([data-state=succeeded])')).toHaveCount(0, { timeout: 30_000 });
	await page.getByTestId('change-close').click();
	await expect(page.getByTestId('access-entry')).toHaveCount(1);
	await expect(page.getByTestId('access-you')).toContainText('does not come in');
	expect(await comesIn(host, port, '127.0.0.1')).toBe(false);

	// And an empty list is open.
	await page.getByTestId('access-change').click();
	await page.getByTestId('access-remove').click();
	await expect(page.getByTestId('change-warnings')).toContainText('An empty list is open');
	await page.getByTestId('change-confirm').click();
	await expect(page.locator('[data-testid=step]:not([data-state=succeeded])')).toHaveCount(0, { timeout: 30_000 });
	await page.getByTestId('change-close').click();
	await expect(card).toHaveAttribute('data-open', 'true');
	expect(await comesIn(host, port, '127.9.9.9')).toBe(true);
});

test('letting other computers in is previewed with its ports and confirmed by name, and nothing is open before', async ({ page }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').click();
	await expect(page.getByTestId('reach')).toHaveAttribute('data-open', 'false');
	await page.getByTestId('expose-change').click();
	await expect(page.getByTestId('change-warnings')).toContainText('may try passwords');
	await expect(page.getByTestId('change-typed')).toBeVisible();
	await accessible(page, 'the dialog that lets other computers in');
	await page.getByTestId('expose-port').fill('80');
	await expect(page.getByTestId('expose-form')).toContainText('A port is a number from 1024');
	await page.getByTestId('expose-port').fill('21379');
	await expect(page.getByTestId('change-effects')).toContainText(':21379');
	await page.getByTestId('change-cancel').click();
	await expect(page.locator('[data-testid=endpoint][data-exposed=true]')).toHaveCount(0);
	await accessible(page, 'the endpoints with who reaches them');
});
