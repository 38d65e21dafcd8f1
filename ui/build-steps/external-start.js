// Moves SvelteKit's inline start script into a file of its own, so that a page served with `default-src 'self'`
// (no hash, no nonce, no unsafe-inline for scripts) still starts.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const INLINE = /<script>([\s\S]*?)<\/script>/g;

/**
 * @param {import('@sveltejs/kit').Adapter} adapter
 * @param {string} folder where the adapter writes
 * @returns {import('@sveltejs/kit').Adapter}
 */
export function withExternalStart(adapter, folder) {
	return {
		...adapter,
		async adapt(builder) {
			await adapter.adapt(builder);
			const page = join(folder, 'index.html');
			const html = readFileSync(page, 'utf8').replace(INLINE, (_, code) => {
				const name = `_app/start-${createHash('sha256').update(code).digest('hex').slice(0, 8)}.js`;
				writeFileSync(join(folder, name), code.trim() + '\n');
				return `<script src="/${name}"></script>`;
			});
			if (/<script>/.test(html)) throw new Error('an inline script is left in index.html; the CSP would refuse it');
			writeFileSync(page, html);
		}
	};
}
