import { expect, test } from 'vitest';
import type { Plan, Service, TopologyEntry } from '$lib/api/types';
import { choose, creation, EMPTY, price, restore, suggestedName, type Draft, type Offers } from './draft';

const replica: TopologyEntry = { topology: 'primary-replica', min_nodes: 2, max_nodes: 7, default_nodes: 3, default_shards: 0, about: '', options: [] };
const sharded: TopologyEntry = { topology: 'sharded', min_nodes: 3, max_nodes: 60, default_nodes: 6, default_shards: 3, about: '', options: [] };
const service = (id: Service['id'], available: boolean): Service =>
	({ id, name: id, available, coming: !available, topologies: [replica, sharded], installed_versions: ['7.0.15'] }) as unknown as Service;
const plan = (id: string, price_per_hour: number | null): Plan => ({ id, cpus: 1, memory_bytes: 1, disk_bytes: 1, price_per_hour });
const offers: Offers = {
	services: [service('postgresql', false), service('redis', true)],
	providers: [{ id: 'local', name: 'This computer', usable: true, notes: [], missing: [] }],
	regions: [{ id: 'this-computer', name: 'This computer' }],
	plans: [plan('NANO-1C-256M', null), plan('SMALL-1C-1G', null)],
	clusterNames: ['redis-1', 'redis-3']
};
const draft = (over: Partial<Draft>): Draft => ({ ...EMPTY, ...over });

test('nothing chosen is a complete cluster with a free name', () => {
	const change = creation(EMPTY, choose(EMPTY, offers));
	expect(change).toMatchObject({ service: 'redis', name: 'redis-2', topology: 'primary-replica', nodes: 3, plan: 'SMALL-1C-1G', provider: 'local', region: 'this-computer' });
});

test('a sharded cluster keeps its shards even when their number changes', () => {
	const six = choose(draft({ topology: 'sharded' }), offers);
	expect([six.shards, six.nodes]).toEqual([3, 6]);
	const five = choose(draft({ topology: 'sharded', shards: 5, nodes: 10 }), offers);
	expect([five.shards, five.nodes]).toEqual([5, 10]);
	const uneven = choose(draft({ topology: 'sharded', shards: 4, nodes: 6 }), offers);
	expect(uneven.nodes % uneven.shards).toBe(0);
});

test('two data nodes are billed as three machines, because the third votes', () => {
	const chosen = choose(draft({ nodes: 2 }), { ...offers, plans: [plan('SMALL-1C-1G', 0.01)] });
	expect(chosen.machines).toBe(3);
	expect(price(chosen)?.hour).toBeCloseTo(0.03);
	expect(price(chosen)?.month).toBeCloseTo(21.9);
});

test('where nothing is billed there is no price', () => {
	expect(price(choose(EMPTY, offers))).toBe(null);
});

test('a draft survives, and a broken one does not break the wizard', () => {
	expect(restore(JSON.stringify(draft({ step: 3, name: 'shop' })))).toEqual(draft({ step: 3, name: 'shop' }));
	expect(restore('{broken')).toEqual(EMPTY);
	expect(restore('{"step":9}')).toEqual(EMPTY);
	expect(restore(null)).toEqual(EMPTY);
});

test('suggested names count on from those that are taken', () => {
	expect(suggestedName('valkey', [])).toBe('valkey-1');
	expect(suggestedName('redis', ['redis-1', 'redis-2'])).toBe('redis-3');
});

test('a switch that needs another goes off with it, and one the topology lacks is not asked for', () => {
	const entry = { name: '', on: '', off: '', risk: '', from_nodes: 2, default_on: false };
	const options = [{ ...entry, id: 'synchronous' as const, needs: null }, { ...entry, id: 'stop_writes_without_replica' as const, needs: 'synchronous' as const }];
	const postgres = { ...service('postgresql', true), topologies: [{ ...replica, options }, { ...sharded, topology: 'single' as const }] };
	const asked = (wish: Draft['options'], topology: Draft['topology'] = null) => {
		const made = draft({ options: wish, topology });
		return creation(made, choose(made, { ...offers, services: [postgres] }))?.options;
	};
	expect(asked({})).toBe(null);
	expect(asked({ synchronous: true, stop_writes_without_replica: true })).toEqual({ synchronous: true, stop_writes_without_replica: true });
	expect(asked({ synchronous: false, stop_writes_without_replica: true })).toEqual({ synchronous: false, stop_writes_without_replica: false });
	expect(asked({ synchronous: true }, 'single')).toBe(null);
});
