import { expect, test } from 'vitest';
import type { Node } from '$lib/api/types';
import { actsOf } from './acts';
import { checksOf } from './checks';
import { commandsIn, factsOf, isLong } from './facts';

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

test('two facts of one name are both told, and a command in one can be copied', () => {
	const update = 'run `ALTER EXTENSION timescaledb UPDATE;` as the first command of a new session in app';
	const facts = factsOf(node({ facts: [{ id: 'extension', name: 'timescaledb', value: '2.19.3' }, { id: 'extension-update', name: 'timescaledb', value: update }], lag_ms: 1500 }));
	expect(facts.filter((f) => f.name === 'timescaledb').map((f) => [f.id, isLong(f)])).toEqual([['extension', false], ['extension-update', true]]);
	expect(new Set(facts.map((f) => f.id)).size).toBe(facts.length);
	expect(facts.find((f) => f.id === 'node:delay')?.value).toBe('1.5 s');
	expect(commandsIn(update)).toEqual(['ALTER EXTENSION timescaledb UPDATE;']);
	expect([commandsIn('no command'), commandsIn('a lone ` is none')]).toEqual([[], []]);
});
