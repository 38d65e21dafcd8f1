import { expect, test } from 'vitest';
import type { Node } from '$lib/api/types';
import { actsOf } from './acts';
import { checksOf } from './checks';

const node = (over: Partial<Node>): Node =>
	({
		kind: 'data', role: 'replica', state: 'running', health: 'healthy', drained: false, diverged: false, link: 'up', follows: 'demo-1', lag_bytes: 0,
		memory_limit_bytes: 1000, disk_limit_bytes: 1000, metrics: { memory_bytes: 100, disk_bytes: 100 }, ...over
	}) as Node;
const tone = (n: Node, id: string): string | undefined => checksOf(n).find((c) => c.id === id)?.tone;

test('a primary is not offered promotion and a drained node only the way back', () => {
	expect(actsOf({ topology: 'primary-replica' }, node({ role: 'primary' }))).not.toContain('promote');
	expect(actsOf({ topology: 'primary-replica' }, node({ drained: true }))).toEqual(['undrain', 'remove']);
	expect(actsOf({ topology: 'primary-replica' }, node({ kind: 'witness', role: 'witness' }))).toEqual(['reboot']);
});

test('an unknown lag is never shown as a good one', () => {
	expect(tone(node({ lag_bytes: null }), 'lag')).toBe('warn');
	expect(tone(node({ lag_bytes: 0 }), 'lag')).toBe('ok');
});

test('a process that hangs runs but does not answer', () => {
	const hung = node({ state: 'unresponsive' });
	expect([tone(hung, 'process'), tone(hung, 'answers')]).toEqual(['ok', 'bad']);
});

test('nearly full memory is told before it is full', () => {
	expect(tone(node({ metrics: { memory_bytes: 900, disk_bytes: null } as Node['metrics'] }), 'memory')).toBe('warn');
	expect(tone(node({ metrics: { memory_bytes: 990, disk_bytes: null } as Node['metrics'] }), 'memory')).toBe('bad');
	expect(tone(node({ metrics: { memory_bytes: null, disk_bytes: null } as Node['metrics'] }), 'disk')).toBe('idle');
});
