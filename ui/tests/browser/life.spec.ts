// A newcomer's first quarter of an hour in the browser, on real servers; axe looks at every screen, light and dark.
import type { Page } from '@playwright/test';
import { accessible } from './accessible';
import { expect, signIn, test } from './serve';

/** Types the name where it must be typed, presses the button that names the act, and waits for the end. */
async function confirm(page: Page): Promise<void> {
	const dialog = page.getByTestId('change-dialog');
	await dialog.waitFor();
	const button = page.getByTestId('change-confirm');
	const typed = page.getByTestId('change-typed');
	await expect(page.getByTestId('change-effects')).toBeVisible();
	if (await typed.isVisible()) {
		await expect(button).toBeDisabled();
		await typed.fill((await typed.getAttribute('data-expected')) ?? (await typed.getAttribute('placeholder')) ?? '');
	}
	await expect(button).toBeEnabled();
	await button.click();
}

test.describe.configure({ mode: 'serial' });

test('without a session the page asks for the token and a wrong one is refused', async ({ page, serve }) => {
	await page.goto(serve.url);
	await accessible(page, 'sign in');
	await page.getByTestId('signin-token').fill('wrong');
	await page.getByTestId('signin-submit').click();
	await expect(page.getByTestId('signin-submit')).toBeVisible();
	await signIn(page, serve);
	await expect(page.getByTestId('deploy-first')).toBeVisible();
	await accessible(page, 'no clusters yet');
});

test('three clicks make a three-node Redis cluster that fails over by itself', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('deploy-first').click();
	await expect(page.getByTestId('wizard-service-redis')).toBeVisible();
	await accessible(page, 'wizard, service');
	// What is still coming can be read about but not chosen.
	await page.getByTestId('wizard-service-clickhouse').click();
	await expect(page.getByTestId('wizard-service-clickhouse')).toHaveAttribute('aria-pressed', 'false');
	await page.getByTestId('wizard-service-redis').click();
	await page.getByTestId('wizard-create').click();
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-state', 'running', { timeout: 30_000 });
	await expect(page.getByTestId('topology-node')).toHaveCount(3);
	await expect(page.getByTestId('failover-reason')).toContainText('3 of 3');
	await accessible(page, 'overview');
});

test('every screen of the cluster and of the app is there and accessible', async ({ page, serve }) => {
	// Axe looks at each screen twice, which takes its time on two cores.
	test.setTimeout(300_000);
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	for (const tab of ['nodes', 'metrics', 'backups', 'activity', 'audit']) {
		await page.getByTestId(`cluster-tab-${tab}`).click();
		await expect(page.getByTestId('cluster-header')).toBeVisible();
		await page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => undefined);
		await accessible(page, tab);
	}
	for (const screen of ['clusters', 'activity', 'backups', 'audit', 'settings']) {
		await page.getByTestId(`nav-${screen}`).click();
		await expect(page.getByTestId('error-panel')).toHaveCount(0);
		await accessible(page, screen);
	}
	await page.keyboard.press('Control+k');
	await page.getByTestId('palette-input').fill('metrics');
	await expect(page.getByTestId('palette-item').first()).toBeVisible();
	await accessible(page, 'command palette');
});

test('a replica is promoted from the node table after its name was typed', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	await page.getByTestId('cluster-tab-nodes').click();
	const replica = page.locator('[data-testid=node-row][data-role=replica]').first();
	const name = (await replica.getAttribute('data-node')) ?? '';
	await page.getByTestId(`node-menu-${name}`).click();
	await page.getByTestId('node-action-promote').click();
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await accessible(page, 'change dialog');
	await page.getByTestId('change-typed').fill(name);
	await confirmTyped(page);
	await expect(page.locator(`[data-testid=node-row][data-node="${name}"]`)).toHaveAttribute('data-role', 'primary', {
		timeout: 30_000
	});
});

async function confirmTyped(page: Page): Promise<void> {
	await expect(page.getByTestId('change-confirm')).toBeEnabled();
	await page.getByTestId('change-confirm').click();
	await page.getByTestId('change-close').click({ timeout: 30_000 });
}

test('a cluster gets another plan from its menu, and the one it has is no fault', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	await page.getByTestId('cluster-menu').click();
	await page.getByTestId('cluster-resize').click();
	await expect(page.getByTestId('change-same-plan')).toBeVisible();
	await expect(page.getByTestId('change-blockers')).toHaveCount(0);
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await accessible(page, 'plan dialog');
	await page.getByTestId('change-plan').click();
	await page.getByRole('option', { name: 'NANO-1C-256M' }).click();
	await expect(page.getByTestId('change-effects')).toContainText('hands the writes over');
	await confirmTyped(page);
	// It still runs: what is asked meanwhile waits for it, and goes on by itself.
	await page.getByTestId('protection-switch').click();
	await expect(page.getByTestId('change-blockers')).toContainText('is being changed');
	await expect(page.getByTestId('change-blockers')).toHaveCount(0, { timeout: 60_000 });
	await expect(page.getByTestId('change-confirm')).toBeEnabled();
	await page.getByTestId('change-cancel').click();
	await page.getByTestId('cluster-tab-nodes').click();
	await expect(page.getByText('NANO-1C-256M')).toHaveCount(3);
});

test('protection is switched on and then refuses the deletion', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	await page.getByTestId('protection-switch').click();
	await confirm(page);
	await page.getByTestId('change-close').click({ timeout: 30_000 });
	await page.getByTestId('cluster-delete').click();
	await expect(page.getByTestId('change-blockers')).toBeVisible();
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await page.getByTestId('change-cancel').click();
	serve.cli('cluster', 'protect', 'redis-1', 'off', '--yes');
});

test('the password is shown on purpose only', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	await expect(page.getByTestId('password')).not.toContainText(/[0-9a-f]{32}/);
	await page.getByTestId('reveal-password').click();
	await expect(page.getByTestId('password')).toContainText(/[0-9a-f]{32}/);
	await page.getByTestId('cluster-tab-audit').click();
	await expect(page.getByTestId('audit-row').first()).toContainText(/password/i);
});

test('the page survives its server going away and coming back', async ({ page, serve }) => {
	await signIn(page, serve);
	await expect(page.getByTestId('cluster-row')).toHaveCount(1);
	await serve.stop();
	await page.waitForTimeout(500);
	await expect(page.getByTestId('cluster-row')).toHaveCount(1);
	await serve.start();
	await signIn(page, serve);
	await expect(page.getByTestId('cluster-row')).toHaveCount(1);
});

test('the cluster is deleted by typing its name and nothing is left', async ({ page, serve }) => {
	await signIn(page, serve);
	await page.getByTestId('cluster-row').first().click();
	await page.getByTestId('cluster-delete').click();
	await page.getByTestId('change-typed').fill('redis-1');
	await expect(page.getByTestId('change-confirm')).toBeEnabled();
	await page.getByTestId('change-confirm').click();
	await expect(page.getByTestId('deploy-first')).toBeVisible({ timeout: 30_000 });
	expect(JSON.parse(serve.cli('cluster', 'list', '--json'))).toMatchObject({ items: [] });
});
