// What is asked for when somebody edits who may come in.
import type { Access, AllowEntry, Change, Cluster, Finding } from '$lib/api/types';

export type SetAllowlist = Extract<Change, { kind: 'set-allowlist' }>;
export type ExposeEndpoint = Extract<Change, { kind: 'expose-endpoint' }>;
export type End = '' | '1h' | '1d' | '7d' | '30d';
export const ENDS: End[] = ['', '1h', '1d', '7d', '30d'];
const HOURS: Record<Exclude<End, ''>, number> = { '1h': 1, '1d': 24, '7d': 168, '30d': 720 };

/** As it is; of an open cluster the list begins with the address of whoever asks, so that nobody shuts themselves out by mistake. */
export const limitOf = (cluster: Pick<Cluster, 'name' | 'allowlist'>, mine: string | null): SetAllowlist => ({
	kind: 'set-allowlist',
	cluster: cluster.name,
	entries: cluster.allowlist.length > 0 ? cluster.allowlist : mine === null ? [] : [{ cidr: mine }]
});

/** The moment at which an entry ends that was chosen to last so long. */
export const endAt = (end: End, now: number): string | null => (end === '' ? null : new Date(now + HOURS[end] * 3_600_000).toISOString());

/** What is wrong with a member of an entry, as the preview says it. */
export const wrongWith = (blockers: Finding[], index: number, member: keyof AllowEntry): string[] =>
	blockers.filter((b) => b.pointer === `/entries/${String(index)}/${member}`).map((b) => b.text);

/** As it is; of a cluster that nobody else reaches yet the first address that there is. */
export const exposeOf = (cluster: string, access: Pick<Access, 'exposure' | 'addresses'>): ExposeEndpoint => ({
	kind: 'expose-endpoint',
	cluster,
	on: access.exposure?.on ?? access.addresses[0] ?? null,
	port: access.exposure?.port ?? null
});
