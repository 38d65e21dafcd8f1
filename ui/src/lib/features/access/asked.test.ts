import { describe, expect, it } from 'vitest';
import { endAt, exposeOf, limitOf, wrongWith } from './asked';

describe('who may come in', () => {
	it('begins with the own address where the cluster is open, and with what is there where it is not', () => {
		expect(limitOf({ name: 'demo', allowlist: [] }, '192.0.2.7').entries).toEqual([{ cidr: '192.0.2.7' }]);
		expect(limitOf({ name: 'demo', allowlist: [] }, null).entries).toEqual([]);
		expect(limitOf({ name: 'demo', allowlist: [{ cidr: '::1' }] }, '192.0.2.7').entries).toEqual([{ cidr: '::1' }]);
	});
	it('turns a length into a moment, and for good into none', () => {
		expect(endAt('', 0)).toBeNull();
		expect(endAt('7d', Date.parse('2026-11-29T12:00:00Z'))).toBe('2026-12-06T12:00:00.000Z');
	});
	it('finds what is wrong with one entry only', () => {
		const blockers = [{ code: 'not-an-address', text: 'no', pointer: '/entries/1/cidr' }];
		expect(wrongWith(blockers, 1, 'cidr')).toEqual(['no']);
		expect(wrongWith(blockers, 0, 'cidr')).toEqual([]);
		expect(wrongWith(blockers, 1, 'comment')).toEqual([]);
	});
	it('opens at the first address there is, and goes on from where it is open', () => {
		expect(exposeOf('demo', { exposure: null, addresses: ['192.0.2.7', '::7'] })).toMatchObject({ on: '192.0.2.7', port: null });
		expect(exposeOf('demo', { exposure: { on: '::7', port: 7000 }, addresses: ['192.0.2.7'] })).toMatchObject({ on: '::7', port: 7000 });
		expect(exposeOf('demo', { exposure: { on: null, port: 7000 }, addresses: [] })).toMatchObject({ on: null, port: 7000 });
	});
});
