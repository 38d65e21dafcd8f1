// Backups on a real cluster: made and proven, the key kept, restored, scheduled, found damaged, and a deleted cluster brought back.
import type { Page } from '@playwright/test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accessible } from './accessible';
import { expect, Serve, signIn, test } from './serve';

test.describe.configure({ mode: 'serial' });
// Made where it is used: this file is read by more than one process, and each would leave a home behind.
let home: Serve;
const shots = process.env.CLUSTERDECK_SHOTS;

test.beforeAll(async () => {
	home = new Serve();
	await home.start();
	home.cli('cluster', 'create', 'shop', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
});
test.afterAll(async () => {
	for (const name of ['shop', 'shop-restored']) {
		try {
			home.cli('cluster', 'delete', name, '--yes', '--confirm', name);
		} catch {
			// It is gone already, which is what this is for.
		}
	}
	await home.stop();
	home.remove();
});

async function openTab(page: Page): Promise<void> {
	await signIn(page, home);
	await page.goto(`${home.url}/clusters/shop/backups`);
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-state', 'running');
}

/** Confirms what the dialog shows, waits for its end, and closes it. */
async function confirm(page: Page): Promise<void> {
	await expect(page.getByTestId('change-confirm')).toBeEnabled();
	await page.getByTestId('change-confirm').click();
	// Each step says for itself that it is done; the whole says so first.
	await expect(page.getByTestId('change-dialog').getByRole('status').first()).toHaveText('Done', { timeout: 30_000 });
	await page.getByTestId('change-close').click();
}

test('a cluster without a backup says so, and the first one is proven', async ({ page }) => {
	await openTab(page);
	await expect(page.getByTestId('backup-proof')).toHaveAttribute('data-proof', 'none');
	await expect(page.locator('[data-testid=backup-kind][data-kind=borg]')).toContainText('set up yet');
	await accessible(page, 'no backups yet');
	await page.getByTestId('back-up-now').click();
	await expect(page.getByTestId('change-effects')).toContainText('throw-away machine');
	await confirm(page);
	const row = page.getByTestId('backup-row');
	await expect(row).toHaveAttribute('data-state', 'verified');
	await expect(row).toContainText('Verified');
	await expect(page.getByTestId('backup-proof')).toHaveAttribute('data-proof', 'fresh');
	await row.getByTestId('backup-open').click();
	await expect(page.getByTestId('backup-sealed-for')).toContainText(/^age1/);
	await expect(page.getByTestId('backup-part')).toContainText('shop-1');
	await accessible(page, 'a backup and its panel');
	await page.keyboard.press('Escape');
	await expect(page.getByTestId('backup-panel')).toHaveCount(0);
});

test('a backup is fetched as a file, and why there is no other format is told', async ({ page }) => {
	await openTab(page);
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-download').click();
	await expect(page.getByTestId('download-why-not')).toContainText('There is no logical dump of Redis');
	await expect(page.getByTestId('download-format-logical')).toHaveCount(0);
	await accessible(page, 'download dialog');
	if (shots) await page.screenshot({ path: join(shots, 'download-redis.png') });
	const downloading = page.waitForEvent('download');
	await page.getByTestId('download-begin').click();
	const file = await downloading;
	expect(file.suggestedFilename()).toMatch(/^shop-\d{8}T\d{6}Z\.tar$/);
	expect(readFileSync(await file.path(), 'utf8')).toContain('A backup of shop: Redis');
	await expect(page.getByTestId('download-dialog')).toHaveCount(0);
	// Where there is a choice.
	const offers = [{ format: 'copy', file: 'shop-1.tar', why_not: null }, { format: 'logical', file: 'shop-1.sql.zst', why_not: null }];
	await page.route(/\/v1\/backups\/[^/]+\/formats/, (route) => route.fulfill({ json: { items: offers, next_cursor: null } }));
	await page.reload();
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-download').click();
	await page.getByTestId('download-format-logical').click();
	await expect(page.getByTestId('download-dialog')).toContainText('throw-away machine first');
	await expect(page.getByTestId('download-begin')).toHaveAttribute('href', /\/v1\/backups\/bak_\w+\/download\?format=logical$/);
	await accessible(page, 'download dialog with a choice');
	if (shots) {
		for (const scheme of ['light', 'dark'] as const) {
			await page.emulateMedia({ colorScheme: scheme });
			for (const width of [1280, 400]) {
				await page.setViewportSize({ width, height: 700 });
				await page.screenshot({ path: join(shots, `download-${scheme}-${width}.png`) });
			}
		}
	}
});

test('one that nobody tried is not shown as good', async ({ page }) => {
	home.cli('backup', 'now', 'shop', '--no-verify', '--yes');
	await openTab(page);
	const untried = page.locator('[data-testid=backup-row][data-state=stored]');
	await expect(untried).toContainText('not yet tried');
	await untried.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-delete').click();
	await expect(page.getByTestId('change-effects')).toContainText('erased');
	await confirm(page);
	await expect(untried).toHaveCount(0);
});

test('snapshots lie beside the data, say what they take together, and go without the others', async ({ page }) => {
	await openTab(page);
	const section = page.locator('[data-testid=backup-kind][data-kind=snapshot]');
	await expect(section).toContainText('lost with that disk');
	for (const n of [1, 2]) {
		await section.getByTestId('snapshot-take').click();
		await expect(page.getByTestId('change-effects')).toContainText('lost with that disk');
		await confirm(page);
		await expect(section.getByTestId('backup-row')).toHaveCount(n);
	}
	await expect(section.locator('[data-state=verified]')).toHaveCount(2);
	await expect(section.getByTestId('snapshots-on-disk')).toContainText(/together: .* on the disk, .* free/);
	await section.getByTestId('backup-open').first().click();
	await expect(page.getByTestId('backup-panel')).toContainText('Added to the vault');
	await accessible(page, 'a snapshot and its panel');
	await page.keyboard.press('Escape');
	await section.getByTestId('snapshot-schedule').click();
	await expect(page.getByTestId('change-effects')).toContainText('every hour into the vault snapshots');
	if (shots) {
		await page.screenshot({ path: join(shots, 'snapshot-schedule.png') });
		await page.getByTestId('change-cancel').click();
		for (const scheme of ['light', 'dark'] as const) {
			await page.emulateMedia({ colorScheme: scheme });
			for (const width of [1280, 400]) {
				await page.setViewportSize({ width, height: 900 });
				await section.scrollIntoViewIfNeeded();
				await page.screenshot({ path: join(shots, `snapshots-${scheme}-${width}.png`) });
			}
		}
		await page.setViewportSize({ width: 1280, height: 720 });
	} else await page.getByTestId('change-cancel').click();
	for (const left of [1, 0]) {
		await section.getByTestId('backup-menu').first().click();
		await page.getByTestId('backup-action-delete').click();
		await expect(page.getByTestId('change-effects')).toContainText('the others stay whole');
		await confirm(page);
		await expect(section.getByTestId('backup-row')).toHaveCount(left);
	}
	// What cannot be used says why, and offers nothing.
	const folder = join(home.home, 'vault', 'snapshots');
	rmSync(folder, { recursive: true });
	writeFileSync(folder, '');
	await page.reload();
	await expect(section.getByTestId('vault-problem')).toContainText('The vault snapshots cannot be used');
	await expect(section.getByTestId('snapshot-take')).toHaveCount(0);
	if (shots) await page.screenshot({ path: join(shots, 'snapshots-failed.png') });
	rmSync(folder);
});

test('the key is asked for until somebody has kept it, and comes back', async ({ page }) => {
	await openTab(page);
	await page.getByTestId('key-keep').click();
	await expect(page.getByTestId('key-shown')).toHaveAttribute('data-shown', 'false');
	await expect(page.getByTestId('key-secret')).toHaveCount(0);
	await page.getByTestId('key-show').click();
	await expect(page.getByTestId('key-secret')).toContainText(/^AGE-SECRET-KEY-1/);
	await expect(page.getByTestId('key-shown')).toHaveAttribute('data-shown', 'true');
	await accessible(page, 'settings with the key');
	const downloading = page.waitForEvent('download');
	await page.getByTestId('key-download').click();
	const file = readFileSync(await (await downloading).path(), 'utf8');
	expect(file).toMatch(/^# opens the backups .* age1\w+\nAGE-SECRET-KEY-1\w+\n$/);
	await page.getByTestId('key-show').click();
	await expect(page.getByTestId('key-secret')).toHaveCount(0);

	await page.getByTestId('key-bring').click();
	await page.getByTestId('key-field').fill('no key at all');
	await page.getByTestId('key-submit').click();
	await expect(page.getByTestId('error-panel')).toContainText('no key of backups');
	await accessible(page, 'bring a key back');
	await page.getByTestId('key-field').fill(file);
	await page.getByTestId('key-submit').click();
	await expect(page.getByTestId('key-dialog')).toHaveCount(0);
	await page.goto(`${home.url}/clusters/shop/backups`);
	await expect(page.getByTestId('backup-row')).toHaveCount(1);
	await expect(page.getByTestId('key-banner')).toHaveCount(0);
});

test('a backup becomes another cluster, with a name that is free', async ({ page }) => {
	await openTab(page);
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-restore').click();
	await expect(page.getByTestId('restore-name')).toHaveValue('shop-restored');
	await expect(page.getByTestId('restore-plan')).toContainText('NANO-1C-256M');
	await expect(page.getByTestId('change-effects')).toContainText('passwords are new ones');
	await accessible(page, 'restore dialog');
	// A name that cannot be is told, and the form stays.
	await page.getByTestId('restore-name').fill('shop');
	await expect(page.getByTestId('change-blockers')).toBeVisible();
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await page.getByTestId('restore-name').fill('shop-restored');
	await expect(page.getByTestId('change-blockers')).toHaveCount(0);
	await confirm(page);
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-name', 'shop-restored');
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-state', 'running');
	await expect(page.getByTestId('backups-card')).toContainText('No backup that was proven');
});

test('a moment is chosen on a line, by keyboard, or written in a time zone', async ({ page }) => {
	// What is on the line is this test's; what the engine says of the moment is its own: this family keeps no log.
	const range = {
		on: true, vault: 'local', behind_ms: 20_000, waiting_bytes: 0, waiting_most_bytes: 1, stored_bytes: 1, problem: null,
		ranges: [{ from: '2026-11-29T08:00:00.5Z', to: '2026-11-29T10:00:00Z' }, { from: '2026-11-29T11:00:00Z', to: '2026-11-29T12:00:00.7Z' }],
		bases: [{ backup: 'bak_1', at: '2026-11-29T08:00:00.5Z', verified: true }, { backup: 'bak_2', at: '2026-11-29T11:00:00Z', verified: true }]
	};
	await page.route('**/v1/backups/*/range', (route) => route.fulfill({ json: range }));
	await openTab(page);
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-restore').click();
	await expect(page.getByTestId('restore-moment')).toBeVisible();
	await expect(page.getByTestId('restore-at')).toHaveCount(0);
	await page.getByTestId('restore-at-on').click();
	await page.getByTestId('restore-zone').fill('Europe/Berlin');
	await expect(page.getByTestId('restore-at')).toHaveValue('2026-11-29 13:00:00');
	await expect(page.getByTestId('restore-line')).toHaveAttribute('data-parts', '2');
	await page.getByTestId('restore-at-line').focus();
	await page.keyboard.press('ArrowLeft');
	await expect(page.getByTestId('restore-at')).toHaveValue('2026-11-29 12:59:59');
	await expect(page.getByTestId('change-blockers')).toContainText('cannot be brought back to a moment');
	await page.getByTestId('restore-at').fill('2026-11-29 11:30:00');
	await expect(page.getByTestId('restore-moment')).toContainText('The log has a hole here');
	await page.getByTestId('restore-at').fill('2026-11-29');
	await expect(page.getByTestId('restore-moment')).toContainText('A moment reads');
	await page.getByTestId('restore-at').fill('2026-11-29 12:30:00');
	await accessible(page, 'restore dialog with a moment');
	if (process.env.CLUSTERDECK_SHOTS) await page.screenshot({ path: join(process.env.CLUSTERDECK_SHOTS, 'restore-moment.png') });
	await page.getByTestId('restore-at-on').click();
	await expect(page.getByTestId('change-blockers')).toHaveCount(0);
});

test('backups are made by themselves at the hours of a place, and no longer', async ({ page }) => {
	await openTab(page);
	await page.getByTestId('schedule-create').click();
	await expect(page.getByTestId('change-effects')).toContainText('at once');
	await page.getByTestId('schedule-mode-cron').click();
	await page.getByTestId('schedule-cron').fill('often');
	await expect(page.getByTestId('change-blockers')).toContainText('often');
	await page.getByTestId('schedule-cron').fill('0 3 * * MON-FRI');
	await expect(page.getByTestId('schedule-form')).toContainText('Every day from Monday to Friday at 03:00');
	await page.getByTestId('schedule-zone').fill('Europe/Berlin');
	await page.getByTestId('schedule-keep-monthly-more').click();
	await expect(page.getByTestId('change-effects')).toContainText('1 month');
	await accessible(page, 'schedule dialog');
	await confirm(page);
	await expect(page.getByTestId('schedule')).toContainText('Every day from Monday to Friday at 03:00, Europe/Berlin');
	await expect(page.getByTestId('schedule-next')).toContainText(/^in \d+ (h|d|min)$/);
	await expect(page.getByTestId('backup-next')).toContainText(/^in \d+ /);
	await accessible(page, 'backups with a schedule');
	await page.getByTestId('schedule-off').click();
	await confirm(page);
	await expect(page.getByTestId('schedule')).toHaveCount(0);
	await expect(page.getByTestId('schedule-create')).toBeVisible();
});

test('a damaged backup says what is wrong and is not restored', async ({ page }) => {
	await openTab(page);
	const id = (await page.getByTestId('backup-row').getAttribute('data-id')) ?? '';
	const file = join(home.home, 'vault', 'backups', id, 'data.zst.age');
	const data = readFileSync(file);
	data.writeUInt8((data.at(-1) ?? 0) ^ 1, data.length - 1);
	writeFileSync(file, data);
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-verify').click();
	await page.getByTestId('change-confirm').click();
	await expect(page.locator('[data-testid=step][data-state=failed]')).toHaveCount(1);
	await page.getByTestId('change-close').click();
	await expect(page.getByTestId('backup-row')).toHaveAttribute('data-state', 'damaged');
	await expect(page.getByTestId('backup-error')).toContainText('damaged');
	await expect(page.getByTestId('backup-proof')).toHaveAttribute('data-proof', 'none');
	await page.getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-restore').click();
	await expect(page.getByTestId('change-blockers')).toContainText('cannot be relied on');
	await expect(page.getByTestId('way-out')).toBeVisible();
	await page.getByTestId('change-cancel').click();
	await accessible(page, 'a damaged backup');
});

test('a deleted cluster is found among the recently deleted and recovered with its name', async ({ page }) => {
	await openTab(page);
	await page.getByTestId('cluster-delete').click();
	await expect(page.getByTestId('change-effects')).toContainText('15 days');
	await page.getByTestId('change-discard').click();
	await expect(page.getByTestId('change-warnings')).toContainText('nothing can be brought back');
	await page.getByTestId('change-discard').click();
	await expect(page.getByTestId('change-effects')).toContainText('15 days');
	await accessible(page, 'delete dialog');
	await page.getByTestId('change-typed').fill('shop');
	await confirm(page);
	await page.getByTestId('nav-backups').click();
	const gone = page.getByTestId('deleted-row');
	await expect(gone).toHaveAttribute('data-name', 'shop');
	await expect(gone).toContainText('until');
	await page.getByTestId('backups-filter-state').click();
	await page.getByRole('option', { name: 'Damaged' }).click();
	await expect(page.getByTestId('backup-row')).toHaveCount(1);
	await accessible(page, 'all backups');
	await gone.getByTestId('recover').click();
	await expect(page.getByTestId('restore-name')).toHaveValue('shop');
	await confirm(page);
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-name', 'shop');
	await expect(page.getByTestId('cluster-header')).toHaveAttribute('data-state', 'running');
});

test('a backup takes the place of what its cluster holds, which is backed up first, when the name is typed', async ({ page }) => {
	await openTab(page);
	// The one that came back has none of its own yet; those of the one that was deleted are among all.
	await page.getByTestId('nav-backups').click();
	const proven = page.locator('[data-testid=backup-row][data-state=verified]');
	await expect(proven.first()).toBeVisible();
	const before = await proven.count();
	await proven.first().getByTestId('backup-menu').click();
	await page.getByTestId('backup-action-restore-in-place').click();
	await expect(page.getByTestId('change-effects')).toContainText('backed up first, proven, and kept for 15 days');
	await expect(page.getByTestId('change-downtime')).toContainText('up to');
	await expect(page.getByTestId('change-confirm')).toBeDisabled();
	await accessible(page, 'restore in place dialog');
	await page.getByTestId('change-typed').fill('shop');
	await confirm(page);
	await expect(proven).toHaveCount(before + 1);
	await expect(page.getByTestId('backup-row').first()).toContainText('Before a restore');
});

test('where no cluster is left, the list says which can be recovered', async ({ page }) => {
	for (const name of ['shop', 'shop-restored']) home.cli('cluster', 'delete', name, '--yes', '--confirm', name);
	await signIn(page, home);
	await expect(page.getByTestId('deploy-first')).toBeVisible();
	await expect(page.getByTestId('clusters-recoverable')).toContainText('3');
	await accessible(page, 'no clusters, some to recover');
	await page.getByTestId('clusters-recoverable').click();
	await expect(page.getByTestId('deleted-row')).toHaveCount(3);
});
