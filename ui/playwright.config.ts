// The page in the system's Chromium against a real `clusterdeck serve` with real servers. One worker: the tests tell one story.
import { defineConfig } from '@playwright/test';

export default defineConfig({
	testDir: 'tests/browser',
	workers: 1,
	fullyParallel: false,
	retries: 0,
	timeout: 90_000,
	expect: { timeout: 15_000 },
	globalTimeout: 900_000,
	outputDir: '../target/playwright',
	use: {
		viewport: { width: 1280, height: 800 },
		launchOptions: {
			executablePath: process.env.CLUSTERDECK_CHROMIUM ?? '/usr/bin/chromium',
			// No sandbox: CI runs as root. The rest keeps the browser from calling anybody.
			args: [
				'--no-sandbox',
				'--disable-gpu',
				'--disable-quic',
				'--no-first-run',
				'--disable-background-networking',
				'--disable-component-update',
				'--disable-sync'
			]
		}
	}
});
