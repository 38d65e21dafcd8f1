import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

// `npm run dev` talks to a running `clusterdeck serve` (or whatever answers there).
const server = process.env.CLUSTERDECK_URL ?? 'http://127.0.0.1:7600';

export default defineConfig({
	plugins: [tailwindcss(), sveltekit()],
	// Data URLs would be refused by the content security policy.
	build: { assetsInlineLimit: 0, target: ['es2022', 'safari16.4'] },
	server: { proxy: { '/v1': server, '/signin': server } },
	test: { include: ['src/**/*.test.ts'], environment: 'node' }
});
