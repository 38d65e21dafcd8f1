// A second server as a connection of the window: added, used, lost, seen from a copy, and forgotten.
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';
import { openWindow } from './window';

test.describe.configure({ mode: 'serial' });
// Made where it is used: this file is read by more than one process, and each would leave a home behind.
let office: Serve;

test.beforeAll(async () => {
	office = new Serve();
	await office.start();
	office.cli('cluster', 'create', 'office-cache', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
});
test.afterAll(async () => {
	await office.start().catch(() => undefined);
	office.cli('cluster', 'delete', 'office-cache', '--yes', '--confirm', 'office-cache');
	await office.stop();
	office.remove();
});

test('a second server is added, its clusters show, and without it a copy shows with its age', async ({ page, serve }) => {
	test.setTimeout(240_000);
	await openWindow(page, serve);
	await expect(page.getByTestId('deploy-first')).toBeVisible();
	await expect(page.getByTestId('connection-switcher')).toContainText('This computer');

	// A wrong token is told at its field, and the dialog stays with what was typed.
	await page.getByTestId('connection-switcher').click();
	await page.getByTestId('connection-add').click();
	await page.getByTestId('connection-form-name').fill('office');
	await page.getByTestId('connection-form-url').fill(office.url);
	await page.getByTestId('connection-form-token').fill('f'.repeat(64));
	await page.getByTestId('connection-form-submit').click();
	await expect(page.getByTestId('connection-dialog')).toContainText('does not know this token');
	await accessible(page, 'add a server');
	await page.getByTestId('connection-form-token').fill(office.token());
	await page.getByTestId('connection-form-submit').click();

	await expect(page.getByTestId('connection-switcher')).toContainText('office');
	await expect(page.getByTestId('cluster-row')).toHaveAttribute('data-name', 'office-cache');
	await page.getByTestId('cluster-row').click();
	await expect(page.getByTestId('topology-node')).toHaveCount(1);
	await page.getByTestId('connection-switcher').click();
	await accessible(page, 'connections');
	await page.keyboard.press('Escape');

	// It goes away: what was seen stays, says how old it is, and nothing can be changed.
	await office.stop();
	await page.getByTestId('nav-clusters').click();
	await expect(page.getByTestId('offline-banner')).toContainText(/as of|copy/, { timeout: 30_000 });
	await expect(page.getByTestId('cluster-row')).toHaveAttribute('data-name', 'office-cache');
	await accessible(page, 'a copy of a list');
	await page.getByTestId('cluster-row').click();
	await expect(page.getByTestId('cluster-header')).toBeVisible();
	await accessible(page, 'a copy of a cluster');
	await page.getByTestId('cluster-delete').click();
	await expect(page.getByTestId('change-dialog').getByTestId('error-panel')).toHaveAttribute('data-code', 'offline');
	await page.getByTestId('change-cancel').click();

	// It comes back, and so does what is true now.
	await office.start();
	await page.getByTestId('nav-clusters').click();
	await expect(page.getByTestId('offline-banner')).toHaveCount(0, { timeout: 30_000 });

	await page.getByTestId('connection-switcher').click();
	await page.getByTestId('connection-this-computer').click();
	await expect(page.getByTestId('deploy-first')).toBeVisible();
	await page.getByTestId('connection-switcher').click();
	await page.getByTestId('connection-remove-office').click();
	await accessible(page, 'remove a connection');
	await page.getByTestId('connection-remove-confirm').click();
	await expect(page.getByTestId('connection-remove-confirm')).toHaveCount(0);
	await page.getByTestId('connection-switcher').click();
	await expect(page.getByTestId('connection-this-computer')).toBeVisible();
	await expect(page.getByTestId('connection-office')).toHaveCount(0);
});

test('a browser is offered no connections: it is signed in to one server only', async ({ page, serve }) => {
	await signIn(page, serve);
	// The benchmark reads when the list could first be used; the empty state counts, and coming back does not.
	await page.getByTestId('nav-settings').click();
	await page.getByTestId('nav-clusters').click();
	await expect(page.getByTestId('deploy-first')).toBeVisible();
	expect(await page.evaluate(() => performance.getEntriesByName('clusterdeck:list').length)).toBe(1);
	await page.getByTestId('connection-switcher').click();
	await expect(page.getByTestId('connection-add')).toHaveCount(0);
	await page.getByTestId('nav-settings').click();
	await expect(page.getByTestId('settings-save')).toBeVisible();
	await expect(page.getByTestId('settings-tray')).toHaveCount(0);
});
