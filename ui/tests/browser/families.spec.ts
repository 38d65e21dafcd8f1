// What the screens say of families other than Redis, on real servers: a PostgreSQL cluster and a single MariaDB.
import type { Page, Route } from '@playwright/test';
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';

test.describe.configure({ mode: 'serial' });
// Made where it is used: this file is read by more than one process, and each would leave a home behind.
let house: Serve;

test.beforeAll(async () => {
	test.setTimeout(240_000);
	house = new Serve();
	await house.start();
	house.cli('cluster', 'create', 'shop', '--service', 'postgresql', '--topology', 'primary-replica', '--nodes', '3', '--plan', 'NANO-1C-256M', '--yes');
	house.cli('cluster', 'create', 'till', '--service', 'mysql', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
});
test.afterAll(async () => {
	for (const name of ['shop', 'till']) {
		try {
			house.cli('cluster', 'delete', name, '--yes', '--confirm', name);
		} catch {
			// It was never made, and the test that needs it has said so.
		}
	}
	await house.stop();
	house.remove();
});

async function open(page: Page, cluster: string, tab: string): Promise<void> {
	await signIn(page, house);
	await page.goto(`${house.url}/clusters/${cluster}${tab}`);
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-state', 'running');
}

/** Answers as a server that cannot. */
const refuse = (route: Route): Promise<void> =>
	route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ title: 'the keyring is locked', status: 503, code: 'keyring-locked' }) });

test('the nodes of a PostgreSQL cluster stand in the table, and one of them in the panel', async ({ page }) => {
	await open(page, 'shop', '/nodes');
	await expect(page.getByTestId('node-row')).toHaveCount(3);
	await expect(page.locator('[data-testid=node-row][data-health=healthy]')).toHaveCount(3, { timeout: 30_000 });
	await expect(page.locator('[data-testid=node-row][data-role=primary]')).toHaveCount(1);
	const replica = page.locator('[data-testid=node-row][data-role=replica]').first();
	const name = (await replica.getAttribute('data-node')) ?? '';
	await replica.locator('th button').click();
	const panel = page.getByTestId('node-panel');
	await expect(panel).toHaveAttribute('data-node', name);
	await expect(panel.locator('[data-fact=timeline]')).toContainText('1');
	await panel.getByTestId('node-tab-checks').click();
	await expect(panel.locator('[data-check=replication]')).toContainText('follows shop-');
	await accessible(page, 'node panel');
	await page.keyboard.press('Escape');
	await expect(panel).toHaveCount(0);
});

test('two facts of one name do not break the panel, and a long one is read and copied without a mouse', async ({ page, context }) => {
	await context.grantPermissions(['clipboard-read', 'clipboard-write']);
	const cure = '2.19.3 is installed and app has 2.19.2: run `ALTER EXTENSION sample UPDATE;` as the first command of a new session in app';
	await page.route('**/v1/clusters/shop', async (route) => {
		const answer = await route.fetch();
		const cluster = (await answer.json()) as { nodes: { facts: object[] }[] };
		cluster.nodes[0]?.facts.push({ id: 'extension', name: 'sample', value: '2.19.2' }, { id: 'extension-update', name: 'sample', value: cure });
		await route.fulfill({ response: answer, json: cluster });
	});
	await open(page, 'shop', '/nodes?node=shop-1');
	const fact = page.locator('[data-fact=extension-update]');
	await expect(fact).toContainText('ALTER EXTENSION sample UPDATE;');
	await expect(page.locator('[data-fact=extension]')).toContainText('2.19.2');
	const cut = await fact.locator('dd span').first().evaluate((e) => e.scrollWidth > e.clientWidth + 1);
	expect(cut, 'nothing is cut off').toBe(false);
	await fact.getByRole('button').focus();
	await page.keyboard.press('Enter');
	expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('ALTER EXTENSION sample UPDATE;');
});

test('a connection command waits for the name of the user, and says why when there is none', async ({ page }) => {
	let release = (): void => undefined;
	const held = new Promise<void>((done) => (release = done));
	await page.route('**/v1/clusters/shop/credentials', async (route) => {
		await held;
		await refuse(route);
	});
	await open(page, 'shop', '');
	await expect(page.getByTestId('connection-waits')).toBeVisible();
	await expect(page.getByTestId('connection-string')).toHaveCount(0);
	release();
	await expect(page.getByTestId('connection-fault')).toContainText(/keyring is locked/i);
	await expect(page.getByTestId('connection-string')).toHaveCount(0);
	await accessible(page, 'no connection command');
	await page.unroute('**/v1/clusters/shop/credentials');
	await page.getByTestId('connection-fault').getByRole('button').click();
	await expect(page.getByTestId('connection-string')).toContainText(/^PGPASSWORD="\$PASSWORD" psql -h [\d.]+ -p \d+ -U app app$/);
});

test('the command of a terminal is that of the makers of its servers', async ({ page }) => {
	await open(page, 'till', '');
	await expect(page.getByTestId('connection-string')).toContainText(/^MYSQL_PWD="\$PASSWORD" mariadb -h [\d.]+ -P \d+ -u app app$/);
});

test('a parameter can be emptied, edits stay while another tab is looked at, and an old list says so', async ({ page }) => {
	test.setTimeout(180_000);
	await open(page, 'shop', '/parameters');
	const row = page.locator('[data-testid=parameter][data-name=log_line_prefix]');
	const draft = page.getByTestId('parameter-draft');
	await row.getByTestId('parameter-field').fill('');
	await expect(draft).toContainText('1 edit');
	await page.getByTestId('cluster-tab-nodes').click();
	await expect(page.getByTestId('node-row')).toHaveCount(3);
	await page.getByTestId('cluster-tab-parameters').click();
	await expect(draft).toContainText('1 edit');
	await expect(row.getByTestId('parameter-field')).toHaveValue('');

	// A number that was emptied is no value yet: it is told, and can be undone.
	// Few rows: axe looks at each twice.
	await page.getByTestId('parameter-search').fill('work_mem');
	const work = page.locator('[data-testid=parameter][data-name=work_mem]');
	await work.getByTestId('parameter-field').fill('');
	await expect(page.getByTestId('parameter-ask')).toBeDisabled();
	await accessible(page, 'parameters with edits');
	await work.getByTestId('parameter-undo').click();
	await page.getByTestId('parameter-search').fill('log_line_prefix');
	await page.getByTestId('parameter-ask').click();
	await expect(page.getByTestId('change-effects')).toContainText('log_line_prefix goes from');
	await expect(page.getByTestId('change-effects')).toContainText('to an empty text');
	await page.route('**/v1/clusters/shop/parameters*', refuse);
	await page.getByTestId('change-confirm').click();
	await expect(page.getByTestId('parameters-old')).toContainText('could not be read again', { timeout: 60_000 });
	await page.getByTestId('change-close').click();
	await page.unroute('**/v1/clusters/shop/parameters*');
	await page.getByTestId('parameters-old').getByRole('button').click();
	await expect(page.getByTestId('parameters-old')).toHaveCount(0);
	await expect(row).toContainText('Set');
	await expect(draft).toHaveCount(0);
	await row.getByTestId('parameter-reset').click();
	await expect(draft).toContainText('1 edit');
	await page.getByTestId('parameter-discard').click();
	await expect(draft).toHaveCount(0);
});

test('an upgrade offers the versions that were found, and what it asks for is judged', async ({ page }) => {
	let found: string | undefined;
	await page.route('**/v1/services*', async (route) => {
		const answer = await route.fetch();
		type Place = { provider: string; versions: { version: string; line: string; installed: boolean }[] };
		const list = (await answer.json()) as { items: { id: string; places: Place[] }[] };
		const here = list.items.find((s) => s.id === 'postgresql')?.places.find((p) => p.provider === 'local');
		const newest = here?.versions[0];
		found = newest?.version;
		if (here && newest) here.versions.unshift({ ...newest, version: `${newest.version.split('.')[0]}.9999` });
		await route.fulfill({ response: answer, json: list });
	});
	await open(page, 'shop', '');
	await page.getByTestId('cluster-menu').click();
	await page.getByTestId('cluster-upgrade').click();
	await page.getByTestId('change-version').click();
	await expect(page.getByRole('option')).toHaveCount(3);
	await page.getByRole('option', { name: '.9999' }).last().click();
	await expect(page.getByTestId('change-blockers')).toContainText('is not found');
	await page.getByTestId('change-version').click();
	await page.getByRole('option', { name: 'What it has now' }).click();
	await expect(page.getByTestId('change-same-version')).toContainText(`runs ${found ?? '?'} already`);
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await accessible(page, 'upgrade dialog');
});

test('the palette reaches parameters and switches', async ({ page }) => {
	await open(page, 'shop', '');
	await page.keyboard.press('Control+k');
	await page.getByTestId('palette-input').fill('parameters shop');
	await page.getByTestId('palette-item').first().click();
	await expect(page.getByTestId('parameter').first()).toBeVisible();
	await page.keyboard.press('Control+k');
	await page.getByTestId('palette-input').fill('switch on synchronous shop');
	await page.getByTestId('palette-item').first().click();
	await expect(page.getByTestId('change-effects')).toBeVisible();
	await page.getByTestId('change-cancel').click();
});

test('where a person replaces a dead primary there is nothing to switch, and the card says so', async ({ page }) => {
	await page.route('**/v1/clusters/till', async (route) => {
		const answer = await route.fetch();
		const cluster = (await answer.json()) as object;
		await route.fulfill({ response: answer, json: { ...cluster, topology: 'primary-replica' } });
	});
	await open(page, 'till', '');
	const safety = page.getByTestId('failover-reason').locator('..');
	await expect(safety).toContainText('By hand');
	await expect(page.getByTestId('failover-switch')).toHaveCount(0);
	await expect(page.getByTestId('resync')).toBeVisible();
	await page.goto(`${house.url}/clusters/shop`);
	await expect(page.getByTestId('failover-switch')).toBeVisible();
});
