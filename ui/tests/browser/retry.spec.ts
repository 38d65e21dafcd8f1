// A deletion that the system does not let finish: it says why, stays half done, and is taken up again from the page.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accessible } from './accessible';
import { expect, type Serve, signIn, test } from './serve';

const root = process.getuid?.() === 0;

/** Puts something into each folder of a machine that its owner cannot remove; the result lets it go again. */
function nail(serve: Serve): (() => void) | null {
	const machines = join(serve.home, 'machines');
	for (const machine of readdirSync(machines)) {
		const folder = join(machines, machine, 'nailed');
		mkdirSync(folder);
		writeFileSync(join(folder, 'file'), '');
	}
	// The folders are renamed on their way out, so they are looked for again.
	const each = (act: (folder: string) => void): void => readdirSync(machines).forEach((machine) => act(join(machines, machine, 'nailed')));
	try {
		if (root) each((folder) => execFileSync('chattr', ['+i', folder], { stdio: 'ignore' }));
		else each((folder) => chmodSync(folder, 0o500));
	} catch {
		return null;
	}
	return () =>
		each((folder) => {
			try {
				if (root) execFileSync('chattr', ['-i', folder], { stdio: 'ignore' });
				else chmodSync(folder, 0o700);
			} catch {
				// This one has gone already.
			}
		});
}

test('a deletion that fails half-way says so everywhere and is finished from the page', async ({ page, serve }) => {
	test.setTimeout(180_000);
	serve.cli('cluster', 'create', 'web', '--service', 'redis', '--topology', 'single', '--plan', 'NANO-1C-256M', '--yes');
	const release = nail(serve);
	test.skip(release === null, 'this file system lets root remove everything');
	try {
		await signIn(page, serve);
		await page.getByTestId('cluster-row').click();
		await page.getByTestId('cluster-delete').click();
		await page.getByTestId('change-typed').fill('web');
		await page.getByTestId('change-confirm').dblclick();
		await expect(page.getByTestId('operation-retry')).toBeVisible({ timeout: 30_000 });
		await expect(page.locator('[data-testid=step][data-state=failed]')).toHaveCount(1);
		await accessible(page, 'an operation that failed');

		// Closed, the cluster says that it is half deleted, and where to go on.
		await page.getByTestId('change-close').click();
		await expect(page.getByTestId('half-deleted')).toBeVisible();
		await accessible(page, 'a half-deleted cluster');
		await page.getByTestId('half-deleted').getByRole('link').click();
		await page.getByTestId('operation-row').first().click();

		// Nothing was solved: it fails again, at the same step.
		await page.getByTestId('operation-retry').click();
		await expect(page.getByTestId('operation-retry')).toBeEnabled();
		await expect(page.locator('[data-testid=step][data-state=failed]')).toHaveCount(1);
		release?.();
		await page.getByTestId('operation-retry').click();
		await expect(page.locator('[data-testid=step]:not([data-state=succeeded])')).toHaveCount(0, { timeout: 30_000 });
		await expect(page.getByTestId('operation-retry')).toHaveCount(0);
	} finally {
		release?.();
	}
	await page.getByTestId('nav-clusters').click();
	await expect(page.getByTestId('deploy-first')).toBeVisible();
});
