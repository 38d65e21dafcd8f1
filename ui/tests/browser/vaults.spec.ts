// Vaults in the window: tried, added, found away and told as one alert, back again, removed. Their secrets never come back.
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';

test.describe.configure({ mode: 'serial' });
// Made where it is used: this file is read by more than one process, and each would leave a home behind.
let home: Serve;

test.beforeAll(async () => {
	home = new Serve();
	await home.start();
	home.cli('cluster', 'create', 'shop', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
});
test.afterAll(async () => {
	home.cli('cluster', 'delete', 'shop', '--yes', '--confirm', 'shop', '--discard-backups');
	await home.stop();
	home.remove();
});

test('a folder is tried without being made, then added', async ({ page }) => {
	const nas = join(home.home, 'nas');
	await signIn(page, home);
	await page.goto(`${home.url}/settings`);
	await expect(page.getByTestId('vault-row')).toHaveCount(2);
	for (const always of ['local', 'snapshots']) await expect(page.locator(`[data-testid=vault-row][data-id=${always}]`).getByTestId('vault-remove')).toHaveCount(0);
	await page.getByTestId('vault-add').click();
	await expect(page.getByTestId('vault-try')).toBeDisabled();
	await page.getByTestId('vault-path').fill('nas');
	await page.getByTestId('vault-try').click();
	await expect(page.getByTestId('vault-dialog')).toContainText('from the root on');
	await page.getByTestId('vault-path').fill(nas);
	await page.getByTestId('vault-try').click();
	await expect(page.getByTestId('vault-good')).toContainText('It can be made there');
	expect(existsSync(nas)).toBe(false);
	await page.getByTestId('vault-name').fill('nas');
	await accessible(page, 'a vault is added');
	await page.getByTestId('vault-submit').click();
	const row = page.locator('[data-testid=vault-row][data-id=nas]');
	await expect(row).toHaveAttribute('data-usable', 'true');
	await expect(row.getByTestId('vault-holds')).toContainText(/No backups, .* free/);
	expect(existsSync(nas)).toBe(true);
	await accessible(page, 'settings with vaults');
});

test('a Borg repository wants its passphrase, which never comes back', async ({ page }) => {
	test.slow();
	const repository = join(home.home, 'repository');
	await signIn(page, home);
	await page.goto(`${home.url}/settings`);
	const answers: string[] = [];
	page.on('response', (answer) => {
		if (answer.url().includes('/v1/vault')) void answer.text().then((text) => answers.push(text), () => undefined);
	});
	await page.getByTestId('vault-add').click();
	await page.getByTestId('vault-kind-borg').click();
	await page.getByTestId('vault-name').fill('borg');
	await page.getByTestId('vault-repository').fill(repository);
	await expect(page.getByTestId('vault-submit')).toBeDisabled();
	await page.getByTestId('vault-secret').fill('a passphrase for tests');
	await page.getByTestId('vault-try').click();
	await expect(page.getByTestId('vault-good')).toContainText('It can be made there');
	expect(existsSync(repository)).toBe(false);
	await page.getByTestId('vault-submit').click();
	// Borg starts four times for it, which takes its time on a busy computer.
	await expect(page.locator('[data-testid=vault-row][data-id=borg]')).toHaveAttribute('data-usable', 'true', { timeout: 60_000 });
	// The dialog forgets it, and another passphrase does not open what is there.
	await page.getByTestId('vault-add').click();
	await page.getByTestId('vault-kind-borg').click();
	await expect(page.getByTestId('vault-secret')).toHaveValue('');
	await page.getByTestId('vault-repository').fill(repository);
	await page.getByTestId('vault-secret').fill('another one');
	await page.getByTestId('vault-try').click();
	await expect(page.getByTestId('error-panel')).toHaveAttribute('data-code', 'vault-refused', { timeout: 60_000 });
	await accessible(page, 'a vault that refuses');
	await page.keyboard.press('Escape');
	// Somebody gives the repository another passphrase: the old one does not open it, a wrong one is not kept, the new one is.
	const env = { ...process.env, BORG_BASE_DIR: join(home.home, 'borg-of-the-test'), BORG_PASSPHRASE: 'a passphrase for tests', BORG_NEW_PASSPHRASE: 'its next passphrase' };
	execFileSync('borg', ['key', 'change-passphrase', repository], { env, stdio: 'ignore' });
	const row = page.locator('[data-testid=vault-row][data-id=borg]');
	await row.getByTestId('vault-check').click();
	await expect(row).toHaveAttribute('data-usable', 'false', { timeout: 60_000 });
	await row.getByTestId('vault-secret-change').click();
	await page.getByTestId('vault-new-secret').fill('a wrong passphrase');
	await page.getByTestId('vault-secret-submit').click();
	await expect(page.getByTestId('error-panel')).toHaveAttribute('data-code', 'vault-refused', { timeout: 60_000 });
	await accessible(page, 'a secret that is refused');
	await page.getByTestId('vault-new-secret').fill('its next passphrase');
	await page.getByTestId('vault-secret-submit').click();
	await expect(row).toHaveAttribute('data-usable', 'true', { timeout: 60_000 });
	await expect(page.getByTestId('vault-secret-dialog')).toHaveCount(0);
	await page.locator('[data-testid=vault-row][data-id=borg]').getByTestId('vault-remove').click();
	await page.getByTestId('vault-remove-confirm').click();
	await expect(page.locator('[data-testid=vault-row][data-id=borg]')).toHaveCount(0);
	expect(existsSync(repository)).toBe(true);
	expect(answers.length).toBeGreaterThan(3);
	for (const secret of ['passphrase for tests', 'next passphrase', 'wrong passphrase']) expect(answers.join('\n')).not.toContain(secret);
});

test('a vault that is away says what to do, is one alert, and is over when it answers', async ({ page }) => {
	const nas = join(home.home, 'nas');
	await signIn(page, home);
	await page.getByTestId('nav-alerts').click();
	await expect(page.getByRole('heading', { name: 'Nothing is wrong' })).toBeVisible();
	await accessible(page, 'no alerts');
	renameSync(nas, `${nas}-away`);
	await page.goto(`${home.url}/settings`);
	const row = page.locator('[data-testid=vault-row][data-id=nas]');
	await row.getByTestId('vault-check').click();
	await expect(row).toHaveAttribute('data-usable', 'false');
	await expect(row).toContainText('Cannot be reached');
	await expect(row).toContainText('mount the disk');
	// A schedule meets it, by itself.
	home.cli('backup', 'schedule', 'shop', '--every', '6h', '--keep', '7', '--to', 'nas', '--yes');
	const badge = page.getByTestId('alerts-badge');
	await expect(badge).toContainText('1', { timeout: 30_000 });
	await page.getByTestId('nav-alerts').click();
	const alert = page.getByTestId('alert-row');
	await expect(alert).toHaveAttribute('data-kind', 'vault-unreachable');
	await expect(alert).toHaveAttribute('data-open', 'true');
	await expect(alert).toContainText('The vault nas cannot be reached');
	await accessible(page, 'an alert');
	expect(home.cli('alert', 'list', '--open')).toContain('The vault nas cannot be reached');
	renameSync(`${nas}-away`, nas);
	await alert.getByRole('link', { name: 'Vault nas' }).click();
	await row.getByTestId('vault-check').click();
	await expect(row).toHaveAttribute('data-usable', 'true');
	await expect(badge).toHaveCount(0);
	await page.getByTestId('nav-alerts').click();
	await expect(alert).toHaveAttribute('data-open', 'false');
	await expect(page.getByTestId('alerts-none')).toBeVisible();
	await accessible(page, 'an alert that is over');
});
