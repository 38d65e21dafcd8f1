import staticAdapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';
import { withExternalStart } from './build-steps/external-start.js';

/** @type {import('@sveltejs/kit').Config} */
export default {
	preprocess: vitePreprocess(),
	compilerOptions: { runes: ({ filename }) => (filename.includes('node_modules') ? undefined : true) },
	kit: {
		// One page for every address: the window and `clusterdeck serve` both answer unknown paths with it.
		adapter: withExternalStart(staticAdapter({ pages: 'build', assets: 'build', fallback: 'index.html' }), 'build'),
		paths: { relative: false },
		// One script: the window starts with one read, and an open browser tab never misses a chunk after an upgrade.
		output: { bundleStrategy: 'single' },
		alias: { $features: 'src/lib/features', $components: 'src/lib/components' }
	}
};
