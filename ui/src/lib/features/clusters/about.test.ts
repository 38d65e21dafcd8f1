import { expect, test } from 'vitest';
import type { Node } from '$lib/api/types';
import { cautionOf, licenceOf, placeName } from './about';

const nodes = (...facts: Node['facts']): { nodes: Node[] } => ({ nodes: [{ facts }, { facts }] as Node[] });

test('the licence is told with the edition that the servers name, once', () => {
	const edition = nodes({ id: 'edition', name: 'Licence edition', value: 'apache' });
	expect(licenceOf(edition, { licence: 'Apache-2.0' })).toBe('Apache-2.0 (edition: apache)');
	expect(licenceOf(nodes(), { licence: 'Apache-2.0' })).toBe('Apache-2.0');
	expect([licenceOf(edition, undefined), licenceOf(nodes(), undefined)]).toEqual(['edition: apache', null]);
});

test('what nobody maintains any more says so, by the catalogue or by its servers', () => {
	expect(cautionOf(nodes(), { caution: 'No longer maintained by its makers.' })).toBe('No longer maintained by its makers.');
	expect(cautionOf(nodes({ id: 'maintenance', name: 'Maintenance', value: 'its makers no longer maintain it' }), undefined)).toBe('Its makers no longer maintain it');
	expect(cautionOf(nodes(), { caution: null })).toBe(null);
});

test('a place is called by its name, and by its id only when there is no name', () => {
	const known = [{ id: 'engine-1a2b3c4d', name: 'Podman on this computer' }];
	expect(placeName('engine-1a2b3c4d', { data: known, isPending: false })).toBe('Podman on this computer');
	expect(placeName('engine-1a2b3c4d', { isPending: true })).toBe(null);
	expect(placeName('gone', { data: known, isPending: false })).toBe('gone');
});
