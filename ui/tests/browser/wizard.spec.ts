// The creation wizard on real servers: a family with a vote, one without, one that is missing, by keyboard alone, and while
// the API fails or takes its time.
import type { Page, Route } from '@playwright/test';
import { accessible } from './accessible';
import { expect, type Serve, signIn, test } from './serve';

async function openWizard(page: Page, serve: Serve): Promise<void> {
	await signIn(page, serve);
	await page.goto(`${serve.url}/deploy`);
	await expect(page.getByTestId('wizard-details')).toBeVisible();
}

/** Waits for the cluster, or for the step that fails. */
async function running(page: Page): Promise<void> {
	const failed = page.locator('[data-testid=step][data-state=failed]');
	await page.locator('[data-testid=cluster-header][data-state=running]').or(failed).first().waitFor({ timeout: 150_000 });
	await expect(failed).toHaveCount(0);
}

/** Creates what is chosen and waits until it runs; it is removed again. */
async function create(page: Page, serve: Serve, name: string): Promise<{ service_name: string; nodes: unknown[]; auto_failover: { enabled: boolean } }> {
	await expect(page.getByTestId('wizard-create')).toBeEnabled();
	await page.getByTestId('wizard-create').click();
	await running(page);
	const made = JSON.parse(serve.cli('cluster', 'show', name, '--json'));
	serve.cli('cluster', 'delete', name, '--yes', '--confirm', name);
	return made;
}

/** The smallest plan, since three of the usual one may not fit the disk; then the last step. */
async function smallest(page: Page): Promise<void> {
	await page.getByTestId('wizard-step-2').click();
	await page.locator('[data-testid^=wizard-plan-]').first().click();
	await page.getByTestId('wizard-step-3').click();
}

/** The lines of a service that are installed on this computer. */
function installed(serve: Serve, service: string): string[] {
	const told = JSON.parse(serve.cli('service', 'show', service, '--json')) as { places: { provider: string; ready: boolean; versions: { line: string; installed: boolean }[] }[] };
	return told.places.filter((p) => p.provider === 'local' && p.ready).flatMap((p) => p.versions.filter((v) => v.installed).map((v) => v.line));
}

test('PostgreSQL is made with what the wizard starts with', async ({ page, serve }) => {
	test.setTimeout(240_000);
	test.skip(!installed(serve, 'postgresql').length, 'PostgreSQL is not installed here');
	await openWizard(page, serve);
	await page.getByTestId('wizard-service-postgresql').click();
	await expect(page.getByTestId('wizard-place-local')).toContainText('Installed');
	await smallest(page);
	await page.getByTestId('wizard-name').fill('wiz-pg');
	await expect(page.getByTestId('wizard-summary')).toContainText(/PostgreSQL \d+\.\d+/);
	await page.getByText('Advanced options').click();
	await expect(page.getByTestId('wizard-auto-failover')).toHaveAttribute('aria-checked', 'true');
	const made = await create(page, serve, 'wiz-pg');
	expect([made.service_name, made.auto_failover.enabled]).toEqual(['PostgreSQL', true]);
});

test('MariaDB is found by its name and made with what the wizard starts with', async ({ page, serve }) => {
	test.setTimeout(240_000);
	test.skip(installed(serve, 'mysql')[0] !== 'MariaDB', 'MariaDB is not installed here');
	await openWizard(page, serve);
	await page.getByTestId('wizard-search').fill('mariadb');
	await expect(page.locator('[data-testid^=wizard-service-]')).toHaveCount(1);
	await page.getByTestId('wizard-service-mysql').click();
	await expect(page.getByTestId('wizard-summary')).toContainText(/MariaDB \d+\.\d+/);
	await smallest(page);
	await page.getByTestId('wizard-name').fill('wiz-maria');
	// Nobody votes: the switch is not offered, and two nodes get no third one.
	await page.getByText('Advanced options').click();
	await expect(page.getByTestId('wizard-failover')).toContainText('MariaDB’s replication has no vote of its own');
	await expect(page.getByTestId('wizard-auto-failover')).toHaveCount(0);
	await page.getByTestId('wizard-nodes-fewer').click();
	await expect(page.getByText('only votes')).toHaveCount(0);
	const made = await create(page, serve, 'wiz-maria');
	expect([made.service_name, made.nodes.length, made.auto_failover.enabled]).toEqual(['MariaDB', 2, false]);
});

test('a service that is missing says what it lacks and where it can be had, and is looked for again', async ({ page, serve }) => {
	test.skip(installed(serve, 'timescaledb').length > 0, 'TimescaleDB is installed here');
	await openWizard(page, serve);
	const card = page.getByTestId('wizard-service-timescaledb');
	await card.click();
	await expect(card).toHaveAttribute('aria-pressed', 'false');
	const missing = page.getByTestId('wizard-missing');
	await expect(missing).toContainText('This computer: software is missing');
	await expect(missing).toContainText("Its makers' repository");
	await accessible(page, 'wizard, missing service');
	const asked = new Set<string>();
	page.on('request', (request) => asked.add(new URL(request.url()).pathname));
	await missing.getByTestId('wizard-recheck').click();
	for (const path of ['/v1/services', '/v1/providers', '/v1/providers/local/regions', '/v1/providers/local/plans']) await expect.poll(() => asked.has(path)).toBe(true);
});

test('a provider that cannot be used shows its cure beside the choice', async ({ page, serve }) => {
	const containers = (JSON.parse(serve.cli('provider', 'list', '--json')) as { items: { id: string; usable: boolean; missing: { install: string }[] }[] }).items.find((p) => !p.usable);
	test.skip(!containers, 'every provider can be used here');
	await openWizard(page, serve);
	await page.getByTestId('wizard-next').click();
	const id = containers?.id ?? '';
	await expect(page.getByTestId(`wizard-provider-${id}`)).toBeDisabled();
	const why = page.getByTestId(`wizard-why-${id}`);
	await why.locator('summary').click();
	await expect(why.locator('code')).toHaveText(containers?.missing[0]?.install ?? '');
	await expect(why.getByRole('button', { name: /^Copy/ })).toBeVisible();
	await accessible(page, 'wizard, place');
});

test('what fails or takes its time says so, can be tried again, and the button says why it waits', async ({ page, serve }) => {
	test.setTimeout(240_000);
	const broken = { status: 500, contentType: 'application/problem+json', body: JSON.stringify({ code: 'internal', title: 'it broke', status: 500 }) };
	const fails = (route: Route): Promise<void> => route.fulfill(broken);
	let release = (): void => undefined;
	const held = new Promise<void>((done) => (release = done));
	await signIn(page, serve);
	await page.route('**/v1/providers/*/plans*', fails);
	await page.route('**/v1/providers/*/regions*', async (route) => (await held, route.continue()));
	await page.goto(`${serve.url}/deploy`);
	await page.getByTestId('wizard-next').click();
	await expect(page.getByTestId('wizard-why-not')).toHaveText('Looking for regions');
	await expect(page.getByTestId('wizard-create')).toBeDisabled();
	release();
	await expect(page.getByTestId('error-panel')).toBeVisible({ timeout: 30_000 });
	await expect(page.getByTestId('wizard-why-not')).toContainText('plans could not be listed');
	await accessible(page, 'wizard, plans failed');
	await page.unroute('**/v1/providers/*/plans*');
	await page.getByTestId('error-panel').getByRole('button').click();
	await page.locator('[data-testid^=wizard-plan-]').first().click();
	await expect(page.getByTestId('wizard-create')).toBeEnabled();
	await expect(page.getByTestId('wizard-why-not')).toHaveText('');

	await page.route(/\/v1\/providers(\?|$)/, fails);
	await page.reload();
	await expect(page.getByTestId('error-panel')).toBeVisible({ timeout: 30_000 });
	await expect(page.getByTestId('wizard-why-not')).toContainText('providers could not be listed');
});

/** Goes on with the Tab key until this has the focus. */
async function tabTo(page: Page, testid: string): Promise<void> {
	for (let n = 0; n < 80; n++) {
		await page.keyboard.press('Tab');
		if (await page.evaluate((id) => document.activeElement?.getAttribute('data-testid') === id, testid)) return;
	}
	throw new Error(`${testid} is not reached with the Tab key`);
}

test('a cluster is made with the keyboard alone', async ({ page, serve }) => {
	test.setTimeout(180_000);
	await openWizard(page, serve);
	await tabTo(page, 'wizard-search');
	await page.keyboard.type('redis');
	await tabTo(page, 'wizard-service-redis');
	await page.keyboard.press('Enter');
	await tabTo(page, 'wizard-next');
	await page.keyboard.press('Enter');
	await tabTo(page, 'wizard-plan-SMALL-1C-1G');
	await page.keyboard.press('ArrowUp');
	await expect(page.getByTestId('wizard-summary')).not.toContainText('SMALL-1C-1G');
	await tabTo(page, 'wizard-next');
	await page.keyboard.press('Enter');
	await tabTo(page, 'wizard-name');
	await page.keyboard.type('wiz-keys');
	await tabTo(page, 'wizard-topology-primary-replica');
	await page.keyboard.press('ArrowUp');
	await expect(page.getByTestId('wizard-topology-single')).toBeChecked();
	// Until the answer to the last change is there, nothing can be made of it.
	await expect(page.getByTestId('wizard-create')).toBeEnabled();
	await tabTo(page, 'wizard-create');
	await page.keyboard.press('Enter');
	await running(page);
	serve.cli('cluster', 'delete', 'wiz-keys', '--yes', '--confirm', 'wiz-keys');
});
