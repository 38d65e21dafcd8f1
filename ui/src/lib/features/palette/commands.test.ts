import { expect, test } from 'vitest';
import type { Cluster } from '$lib/api/types';
import { commandsOf, found } from './commands';

const cluster = (name: string): Cluster =>
	({
		name, topology: 'primary-replica', plan: 'SMALL-1C-1G', state: 'running', protected: false, auto_failover: { enabled: true },
		nodes: [{ name: `${name}-1`, role: 'primary', kind: 'data', drained: false }, { name: `${name}-2`, role: 'replica', kind: 'data', drained: false }]
	}) as unknown as Cluster;
const commands = commandsOf([cluster('demo'), cluster('shop')]);

test('every screen, cluster and change can be reached', () => {
	expect(commands.filter((c) => c.group === 'screens')).toHaveLength(5);
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
