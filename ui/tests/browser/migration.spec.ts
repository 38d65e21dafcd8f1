// A server outside comes in: what is wrong with it is told check by check, then it is copied, and both sides are shown.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';

test.describe.configure({ mode: 'serial' });
const PASSWORD = 'outside-of-it';
let home: Serve;
let source: ChildProcess;
let dir: string;
let port: number;
let tlsPort: number;

const free = (): Promise<number> =>
	new Promise((done, failed) => {
		const server = createServer();
		server.once('error', failed);
		server.listen(0, '127.0.0.1', () => {
			const address = server.address();
			server.close(() => (address && typeof address === 'object' ? done(address.port) : failed(new Error('no port'))));
		});
	});
const ask = (...words: string[]): string =>
	execFileSync('redis-cli', ['-p', String(port), '-a', PASSWORD, '--no-auth-warning', ...words], { encoding: 'utf8' });

test.beforeAll(async () => {
	home = new Serve();
	await home.start();
	dir = mkdtempSync(join(tmpdir(), 'outside-'));
	port = await free();
	tlsPort = await free();
	const made = (name: string, ...words: string[]): void => {
		execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', join(dir, `${name}.key`), '-out', join(dir, `${name}.pem`), ...words], { stdio: 'ignore' });
	};
	made('ca');
	made('other');
	made('server', '-CA', join(dir, 'ca.pem'), '-CAkey', join(dir, 'ca.key'), '-extensions', 'v3_req', '-addext', 'subjectAltName=IP:127.0.0.1');
	const tls = ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', '--tls-cert-file', join(dir, 'server.pem'), '--tls-key-file', join(dir, 'server.key')];
	source = spawn('redis-server', [...tls, '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--requirepass', PASSWORD, '--dir', dir], { stdio: 'ignore' });
	await expect.poll(() => { try { return ask('ping').trim(); } catch { return ''; } }).toBe('PONG');
	ask('eval', "for i = 1, 500 do redis.call('SET', 'key:' .. i, i) end", '0');
	home.cli('cluster', 'create', 'shop', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
});
test.afterAll(async () => {
	source.kill('SIGKILL');
	home.cli('cluster', 'delete', 'shop', '--discard-backups', '--confirm', 'shop');
	await home.stop();
	home.remove();
	rmSync(dir, { recursive: true, force: true });
});

test('a migration is checked, follows its source, is cut over, and both sides are shown', async ({ page }) => {
	await signIn(page, home);
	await page.goto(`${home.url}/clusters/shop`);
	await page.getByTestId('migrate').click();
	await expect(page.getByTestId('migration-wizard')).toHaveAttribute('data-step', '1');
	await accessible(page, 'where the data is');
	const check = (id: string) => page.locator(`[data-testid=migration-check][data-check=${id}]`);

	await page.getByTestId('migration-from').fill(`redis://127.0.0.1:${String(port)}`);
	await page.getByTestId('migration-password').fill('not-it');
	await page.getByTestId('migration-validate').click();
	await expect(check('reachable')).toHaveAttribute('data-state', 'passed');
	await expect(check('credentials')).toHaveAttribute('data-state', 'failed');
	await expect(page.getByTestId('migration-begin')).toBeDisabled();
	await accessible(page, 'a check that failed');

	await page.getByTestId('migration-password').fill(PASSWORD);
	await page.getByTestId('migration-validate').click();
	await expect(check('size')).toHaveAttribute('data-state', 'passed');
	await expect(page.getByTestId('migration-way')).toHaveAttribute('data-way', 'online');
	await page.getByTestId('migration-begin').click();
	await expect(page.getByTestId('change-effects')).toContainText('The source is only read');
	await page.getByTestId('change-confirm').click();
	await expect(page.getByTestId('step-list')).toContainText('Following the source', { timeout: 30_000 });
	await page.getByTestId('change-close').click();

	ask('set', 'late', 'one');
	await page.goto(`${home.url}/clusters/shop`);
	await expect(page.getByTestId('migration-lag')).toContainText('behind');
	await page.getByTestId('cut-over').click();
	await expect(page.getByTestId('change-warnings')).toContainText('does not come along');
	await page.getByTestId('change-confirm').click();
	await expect(page.getByTestId('change-dialog').getByRole('status').first()).toHaveText('Done', { timeout: 30_000 });
	await page.getByTestId('change-close').click();

	await page.getByTestId('migration-logs').click();
	await expect(page.getByTestId('migration-compared')).toContainText('the same');
	await expect(page.getByText('Cut over: the cluster had everything')).toBeVisible();
	await accessible(page, 'both sides');
	expect(home.cli('node', 'shell', 'shop-1', '--', 'get', 'late')).toContain('one');
});

test('a source is verified by an authority that is given, and a private key is not kept', async ({ page }) => {
	await signIn(page, home);
	await page.goto(`${home.url}/clusters/shop/migrate`);
	const field = page.getByTestId('migration-ca');
	const certificate = page.locator('[data-testid=migration-check][data-check=certificate]');
	await page.getByTestId('migration-from').fill(`redis://127.0.0.1:${String(tlsPort)}`);
	await page.getByTestId('migration-password').fill(PASSWORD);

	await field.fill(readFileSync(join(dir, 'ca.key'), 'utf8'));
	await expect(field).toHaveValue('');
	await expect(field).toHaveAttribute('aria-invalid', 'true');
	await expect(page.getByText('That was a private key')).toBeVisible();
	await accessible(page, 'a private key was given');

	await field.fill('no certificate');
	await expect(page.getByText('That was a private key')).toHaveCount(0);
	await page.getByTestId('migration-validate').click();
	await expect(page.getByText('holds no certificate')).toBeVisible();
	await expect(page.getByTestId('error-panel')).toHaveCount(0);

	const choose = page.getByTestId('migration-ca-file');
	await choose.setInputFiles(join(dir, 'other.pem'));
	await page.getByTestId('migration-validate').click();
	await expect(certificate).toHaveAttribute('data-state', 'failed');
	await expect(certificate).toContainText('CN=other');
	await expect(page.getByTestId('migration-begin')).toBeDisabled();

	await choose.setInputFiles(join(dir, 'ca.pem'));
	await expect(certificate).toHaveCount(0);
	await page.getByTestId('migration-validate').click();
	await expect(certificate).toHaveAttribute('data-state', 'passed');
	await expect(certificate).toContainText('signed by CN=ca');
	await accessible(page, 'an authority that was given');
});
