import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import config from './svelte.config.js';

export default ts.config(
	{ ignores: ['src/lib/api/schema.d.ts', 'build/', '.svelte-kit/', 'node_modules/', 'static/'] },
	...ts.configs.recommended,
	...svelte.configs.recommended,
	{
		languageOptions: { globals: { ...globals.browser, ...globals.node } },
		rules: {
			'@typescript-eslint/no-explicit-any': 'error',
			'@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
			eqeqeq: ['error', 'smart'],
			// There is no base path: the page lives at the root of its address everywhere.
			'svelte/no-navigation-without-resolve': 'off'
		}
	},
	{
		files: ['**/*.svelte', '**/*.svelte.ts'],
		languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig: config } }
	},
	{
		// Only the transport may know that there is a window around the page.
		files: ['src/**'],
		ignores: ['src/lib/api/**'],
		rules: { 'no-restricted-imports': ['error', { patterns: [{ group: ['@tauri-apps/*'], message: 'only src/lib/api may import @tauri-apps' }] }] }
	}
);
