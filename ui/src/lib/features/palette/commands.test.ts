import { expect, test } from 'vitest';
import type { Cluster, Service } from '$lib/api/types';
import { commandsOf, found } from './commands';

const cluster = (name: string): Cluster =>
	({
		name, topology: 'primary-replica', plan: 'SMALL-1C-1G', state: 'running', protected: false, auto_failover: { enabled: true }, endpoints: [],
		nodes: [{ name: `${name}-1`, role: 'primary', kind: 'data', drained: false }, { name: `${name}-2`, role: 'replica', kind: 'data', drained: false }]
	}) as unknown as Cluster;
const commands = commandsOf([cluster('demo'), cluster('shop')]);

test('every screen, cluster and change can be reached', () => {
	expect(commands.filter((c) => c.group === 'screens')).toHaveLength(7);
	expect(found(commands, 'backups').some((c) => c.href === '/backups')).toBe(true);
	expect(found(commands, 'back up shop')[0]?.change).toEqual({ kind: 'back-up', cluster: 'shop' });
	expect(found(commands, 'promote demo').map((c) => c.change)).toContainEqual({ kind: 'promote-node', node: 'demo-2' });
	expect(found(commands, 'resize shop')[0]?.change).toEqual({ kind: 'resize-cluster', cluster: 'shop', plan: 'SMALL-1C-1G' });
	expect(found(commands, 'upgrade shop')[0]?.change).toEqual({ kind: 'upgrade-cluster', cluster: 'shop' });
	expect(found(commands, 'delete shop')[0]?.change).toEqual({ kind: 'delete-cluster', cluster: 'shop' });
});

test('a primary is not offered promotion', () => {
	expect(commands.some((c) => c.change?.kind === 'promote-node' && c.change.node === 'demo-1')).toBe(false);
});

test('without text there are screens and clusters but no changes', () => {
	expect(new Set(found(commands, '').map((c) => c.group))).toEqual(new Set(['screens', 'clusters']));
});

test('the exact name comes first, and thousands of clusters give a short list', () => {
	const many = commandsOf(Array.from({ length: 1000 }, (_, i) => cluster(`c${i}`)));
	expect(found(many, 'c7')[0]?.label).toBe('c7');
	expect(found(many, 'c').length).toBeLessThanOrEqual(32);
});

test('what only some services have is offered for those: parameters, switches, growing a single node', () => {
	const option = { id: 'synchronous', name: 'Synchronous replication' };
	const service = { id: 'postgresql', parameters: true, lines: [{ name: 'PostgreSQL', topologies: [{ topology: 'single', options: [] }, { topology: 'primary-replica', failover: 'by-vote', options: [option] }] }] } as unknown as Service;
	const of = (over: Partial<Cluster>): Cluster => ({ ...cluster('pg'), service: 'postgresql', options: { synchronous: false }, ...over }) as Cluster;
	const several = commandsOf([of({})], [service]);
	expect(found(several, 'parameters pg')[0]?.href).toBe('/clusters/pg/parameters');
	expect(found(several, 'switch on synchronous pg')[0]?.change).toEqual({ kind: 'set-options', cluster: 'pg', options: { synchronous: true } });
	expect(found(commandsOf([of({ topology: 'single' })], [service]), 'add node pg')[0]?.change).toEqual({ kind: 'add-node', cluster: 'pg', count: 1 });
	expect(found(commandsOf([of({ topology: 'single' })]), 'add node pg'), 'it may not be able to').toEqual([]);
	expect(found(commandsOf([of({ topology: 'sharded', shards: 3 })]), 'remove shard pg')[0]?.change).toEqual({ kind: 'remove-shard', cluster: 'pg', shard: 2 });
});

test('the makers of one service offer what each of them can', () => {
	const makers = {
		id: 'mysql', parameters: false,
		lines: [
			{ name: 'MariaDB', topologies: [{ topology: 'primary-replica', failover: 'by-hand', all_vote: false, options: [] }, { topology: 'multi-master', failover: 'never', all_vote: false, options: [] }] },
			{ name: 'MySQL', topologies: [{ topology: 'primary-replica', failover: 'by-vote', all_vote: true, options: [] }, { topology: 'multi-master', failover: 'never', all_vote: true, options: [] }] }
		]
	} as unknown as Service;
	const kinds = (service_name: string, topology: Cluster['topology']): (string | undefined)[] =>
		commandsOf([{ ...cluster('db'), service: 'mysql', service_name, topology } as Cluster], [makers]).map((c) => c.change?.kind);
	expect(kinds('MariaDB', 'primary-replica')).not.toContain('set-auto-failover');
	expect(kinds('MySQL', 'primary-replica')).toContain('set-auto-failover');
	expect(kinds('MariaDB', 'multi-master')).not.toContain('resync-cluster');
	expect(kinds('MySQL', 'multi-master')).toContain('resync-cluster');
});
