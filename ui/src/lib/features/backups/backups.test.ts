import { expect, test } from 'vitest';
import { backupTone } from '$components/tone';
import type { BackedUp, Backup, Cluster, Provider, Service } from '$lib/api/types';
import { keptHow, nextOf, NO_FILTER, proofOf, recentlyDeleted, shownBackups } from './backups';
import { restored, restoredName } from './restore';

const backup = (id: string, over: Partial<Backup> = {}): Backup =>
	({
		id, cluster: 'shop', of: { id: 'clu_1', name: 'shop', service: 'redis' }, kind: 'local', reason: 'asked', state: 'verified', vault: 'local',
		created_at: '2026-11-20T10:00:00Z', expires_at: null, ...over
	}) as Backup;
const last = (id: string, cluster: string, over: Partial<Backup> = {}): Backup =>
	backup(id, { cluster: 'shop', of: { id: cluster, name: 'shop' } as BackedUp, reason: 'before-delete', expires_at: '2026-12-05T10:00:00Z', ...over });

test('what nobody has restored is not shown as good', () => {
	expect(backupTone('stored')).toBe('idle');
	expect(backupTone('verified')).toBe('ok');
	expect([backupTone('failed'), backupTone('damaged')]).toEqual(['bad', 'bad']);
});

test('a cluster that is gone can be brought back from the newest of its last backups that is whole', () => {
	const all = [last('a', 'clu_1'), last('b', 'clu_1', { created_at: '2026-11-21T10:00:00Z' }), last('c', 'clu_2', { state: 'damaged' }), last('d', 'clu_3'), backup('e', { of: { id: 'clu_4' } as BackedUp })];
	expect(recentlyDeleted(all, [{ id: 'clu_3', name: 'shop-2' }]).map((g) => [g.backup.id, g.taken])).toEqual([['b', false]]);
	expect(recentlyDeleted(all, [{ id: 'clu_9', name: 'shop' }]).map((g) => [g.backup.id, g.taken])).toEqual([['b', true], ['d', true]]);
	expect(recentlyDeleted(all, undefined), 'nobody knows yet which clusters there are').toEqual([]);
});

test('every word and every filter narrows the list', () => {
	const all = [backup('a'), backup('b', { cluster: 'till', state: 'failed' })];
	const ids = (filter: Partial<typeof NO_FILTER>): string[] => shownBackups(all, { ...NO_FILTER, ...filter }).map((b) => b.id);
	expect([ids({}), ids({ text: 'TILL local' }), ids({ state: 'verified' }), ids({ cluster: 'till', state: 'verified' })]).toEqual([['a', 'b'], ['b'], ['a'], []]);
});

test('a backup says how long it is kept, and one whose schedule is gone waits for somebody', () => {
	const scheduled = backup('a', { reason: 'scheduled' });
	const with_ = (vault: string): Cluster[] => [{ id: 'clu_1', backup_schedules: [{ vault }] }] as Cluster[];
	expect(keptHow(scheduled, with_('local'))).toBe('by-schedule');
	expect([keptHow(scheduled, with_('other')), keptHow(scheduled, []), keptHow(backup('b'), with_('local'))]).toEqual(['for-good', 'for-good', 'for-good']);
	expect(keptHow(last('c', 'clu_1'), [])).toEqual({ until: '2026-12-05T10:00:00Z' });
	expect(keptHow(backup('d', { state: 'failed' }), [])).toBe('not');
});

test('only what was restored is a proof, and it gets old', () => {
	const now = Date.parse('2026-11-22T12:00:00Z');
	const at = (last_verified_backup_at: string | null): string => proofOf({ last_verified_backup_at }, now, 24);
	expect([at(null), at('2026-11-22T11:00:00Z'), at('2026-11-20T11:00:00Z')]).toEqual(['none', 'fresh', 'old']);
	expect(proofOf({ last_verified_backup_at: '2025-01-01T00:00:00Z' }, now, undefined)).toBe('fresh');
});

test('of several schedules the next one counts', () => {
	const due = (...at: (string | null)[]): string | null => nextOf({ backup_schedules: at.map((next_at) => ({ next_at })) } as Cluster);
	expect(due('2026-11-23T00:00:00Z', null, '2026-11-22T00:00:00Z')).toBe('2026-11-22T00:00:00Z');
	expect([due(), due(null)]).toEqual([null, null]);
});

test('a restored cluster has the old name where it is free, and else one that is', () => {
	expect(restoredName('shop', ['till'])).toBe('shop');
	expect(restoredName('shop', ['shop'])).toBe('shop-restored');
	expect(restoredName('shop', ['shop', 'shop-restored'])).toBe('shop-restored-2');
	const long = `${'a'.repeat(30)}-${'b'.repeat(9)}`;
	expect(restoredName(long, [long])).toBe(`${'a'.repeat(30)}-restored`);
});

const shape = (topology: string, min: number, max: number, usual: number): object => ({ topology, min_nodes: min, max_nodes: max, default_nodes: usual });
const service = {
	lines: [
		{ name: 'One', topologies: [shape('single', 1, 1, 1), shape('primary-replica', 2, 7, 3), shape('sharded', 3, 20, 6)] },
		{ name: 'Two', topologies: [shape('single', 1, 1, 1), shape('multi-master', 3, 9, 3)] }
	],
	places: [{ versions: [{ version: '8.0', line: 'One' }, { version: '11.8', line: 'Two' }] }]
} as unknown as Service;
const offers = { service, clusterNames: ['shop'], providers: [] as Provider[], regions: [{ id: 'far', name: 'Far' }], plans: [] };
const of = (over: Partial<BackedUp>): BackedUp => ({ name: 'shop', version: '8.0', topology: 'primary-replica', nodes: 3, shards: 0, provider: 'local', region: 'here', plan: 'S', ...over }) as BackedUp;

test('what nobody chose is as it was', () => {
	expect(restored({}, of({}), offers)).toMatchObject({ name: 'shop-restored', nodes: 3, fewest: 2, most: 7, provider: 'local', region: 'here', plan: 'S' });
	expect(restored({ topology: 'single' }, of({}), offers)).toMatchObject({ nodes: 1, fewest: 1, most: 1 });
	expect(restored({ provider: 'pod' }, of({}), offers)).toMatchObject({ provider: 'pod', region: 'far' });
});

test('sharded data stays sharded in as many shards, and a maker offers only its own shapes', () => {
	const shapes = (o: BackedUp): string[] => restored({}, o, offers).topologies.map((t) => t.topology);
	expect(shapes(of({}))).toEqual(['single', 'primary-replica']);
	expect(shapes(of({ version: '11.8', topology: 'multi-master' }))).toEqual(['single', 'multi-master']);
	expect(restored({}, of({ topology: 'sharded', shards: 4, nodes: 8 }), offers)).toMatchObject({ nodes: 8, step: 4, fewest: 4, most: 20 });
	expect(shapes(of({ topology: 'sharded', shards: 4, nodes: 8 }))).toEqual(['sharded']);
});
