import { expect, test } from 'vitest';
import type { Place, Plan, Service, TopologyEntry } from '$lib/api/types';
import { choose, chooseProvider, creation, EMPTY, matches, price, restore, suggestedName, wayOut, type Draft, type Offers } from './draft';

const replica: TopologyEntry = {
	topology: 'primary-replica', min_nodes: 2, max_nodes: 7, default_nodes: 3, default_shards: 0, about: '', failover: 'by-vote', all_vote: false, limits: null, options: []
};
const sharded: TopologyEntry = { ...replica, topology: 'sharded', min_nodes: 3, max_nodes: 60, default_nodes: 6, default_shards: 3 };
const place = (provider: string, versions: Place['versions']): Place =>
	({ provider, name: provider, region: null, ready: versions.length > 0, versions, carriers: [], missing: [], to_fetch: [], problem: null });
const service = (id: Service['id'], available: boolean, topologies = [replica, sharded]): Service =>
	({
		id, name: id, tagline: '', available, coming: !available, topologies,
		lines: [{ name: id, topologies, least_memory_bytes: 0 }],
		places: [place('local', [{ version: '7.0.15', line: id, installed: true }])]
	}) as unknown as Service;
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
	const postgres = service('postgresql', true, [{ ...replica, options }, { ...sharded, topology: 'single' as const }]);
	const asked = (wish: Draft['options'], topology: Draft['topology'] = null) => {
		const made = draft({ options: wish, topology });
		return creation(made, choose(made, { ...offers, services: [postgres] }))?.options;
	};
	expect(asked({})).toBe(null);
	expect(asked({ synchronous: true, stop_writes_without_replica: true })).toEqual({ synchronous: true, stop_writes_without_replica: true });
	expect(asked({ synchronous: false, stop_writes_without_replica: true })).toEqual({ synchronous: false, stop_writes_without_replica: false });
	expect(asked({ synchronous: true }, 'single')).toBe(null);
});

// One protocol with two makers: one of them here, both in containers, the newest of which is fetched first.
const byHand: TopologyEntry = { ...replica, failover: 'by-hand' };
const group: TopologyEntry = { ...replica, min_nodes: 3, all_vote: true };
const members: TopologyEntry = { ...replica, topology: 'multi-master', min_nodes: 3, failover: 'never' };
const two: Service = {
	...service('mysql', true),
	tagline: 'behind much of the web',
	lines: [{ name: 'MariaDB', topologies: [byHand, members], least_memory_bytes: 0 }, { name: 'MySQL', topologies: [group], least_memory_bytes: 1 }],
	places: [
		place('local', [{ version: '10.11.19', line: 'MariaDB', installed: true }]),
		place('container', [{ version: '9.7', line: 'MySQL', installed: false }, { version: '10.11.2', line: 'MariaDB', installed: true }])
	]
};
const both: Offers = { ...offers, services: [two], providers: [...offers.providers, { id: 'container', name: 'Containers', usable: true, notes: [], missing: [] }] };

test('what is made, and what holds for it, is what the chosen place has', () => {
	const here = choose(draft({ nodes: 2 }), both);
	expect([here.offered?.version, here.line?.name, here.topology?.failover, here.machines]).toEqual(['10.11.19', 'MariaDB', 'by-hand', 2]);
	const there = choose(draft({ nodes: 2, provider: 'container' }), both);
	expect([there.offered?.version, there.line?.name, there.topology?.failover, there.nodes]).toEqual(['9.7', 'MySQL', 'by-vote', 3]);
	const older = choose(draft({ provider: 'container', version: '10.11.2' }), both);
	expect([older.version, older.line?.name]).toEqual(['10.11.2', 'MariaDB']);
	expect(choose(draft({ version: '10.11.2' }), both).version).toBe(null);
});

test('automatic failover is asked for only by who touched the switch, and never where nobody votes', () => {
	const asked = (over: Partial<Draft>) => creation(draft(over), choose(draft(over), both))?.auto_failover;
	expect(asked({})).toBe(null);
	expect(asked({ failover: true })).toBe(null);
	expect(asked({ topology: 'multi-master', failover: true })).toBe(null);
	expect(asked({ provider: 'container' })).toBe(null);
	expect(asked({ provider: 'container', failover: false })).toBe(false);
});

test('a service that only one provider has starts there', () => {
	const elsewhere = { ...two, places: [place('local', []), two.places[1]] } as Service;
	expect(chooseProvider(EMPTY, [elsewhere], both.providers)?.id).toBe('container');
	expect(chooseProvider(draft({ provider: 'local' }), [elsewhere], both.providers)?.id).toBe('local');
});

test('a search finds a service by the name of each of its makers', () => {
	expect([matches(two, ' mariadb'), matches(two, 'MySQL'), matches(two, 'much of'), matches(two, 'redis')]).toEqual([true, true, true, false]);
});

test('a way out changes only what it asks for otherwise', () => {
	const asked = { name: 'shop', service: 'mysql' as const, nodes: 3, provider: 'local', region: 'this-computer', auto_failover: true };
	expect(wayOut(asked, { ...asked, auto_failover: null })).toEqual({ failover: null });
	expect(wayOut(asked, { ...asked, provider: 'container', region: null })).toEqual({ provider: 'container', region: null });
});
