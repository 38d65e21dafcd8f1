import { expect, test } from 'vitest';
import type { Cluster, Node } from '$lib/api/types';
import { shownClusters, total } from './filter';

const cluster = (name: string, state: Cluster['state'], address = '127.20.1.1'): Cluster =>
	({ name, state, service: 'redis', region: 'this-computer', provider: 'local', nodes: [{ name: `${name}-1`, address }], endpoints: [] }) as unknown as Cluster;
const all = [cluster('demo-10', 'running'), cluster('demo-2', 'running', '127.20.7.1'), cluster('shop', 'degraded'), cluster('old', 'down')];
const names = (filter: Partial<Parameters<typeof shownClusters>[1]>): string[] =>
	shownClusters(all, { text: '', state: '', service: '', ...filter }).map((c) => c.name);

test('what needs attention comes first, the rest by name with numbers as numbers', () => {
	expect(names({})).toEqual(['old', 'shop', 'demo-2', 'demo-10']);
});

test('every word must match, in the name, the service or an address', () => {
	expect(names({ text: 'redis demo' })).toEqual(['demo-2', 'demo-10']);
	expect(names({ text: '127.20.7' })).toEqual(['demo-2']);
	expect(names({ text: 'nothing' })).toEqual([]);
});

test('state and service narrow the list', () => {
	expect(names({ state: 'down' })).toEqual(['old']);
	expect(names({ service: 'postgresql' })).toEqual([]);
});

test('a sum of nothing measured is unknown and not zero', () => {
	expect(total([], () => 1)).toBe(null);
	expect(total([{} as Node, {} as Node], () => null)).toBe(null);
	expect(total([{} as Node, {} as Node], () => 2)).toBe(4);
});
