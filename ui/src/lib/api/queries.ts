// Query keys and options in one place, so that an event knows what it makes stale.
import { queryOptions } from '@tanstack/svelte-query';
import { link } from '$lib/state/link.svelte';
import { api } from './client';
import type { Operation } from './types';

export const keys = {
	info: ['info'] as const,
	services: ['services'] as const,
	providers: ['providers'] as const,
	regions: (provider: string) => ['regions', provider] as const,
	plans: (provider: string) => ['plans', provider] as const,
	clusters: ['clusters'] as const,
	cluster: (name: string) => ['cluster', name] as const,
	parameters: (name: string) => ['parameters', name] as const,
	access: (name: string) => ['access', name] as const,
	credentials: (name: string) => ['credentials', name] as const,
	terminal: (node: string, version: string) => ['terminal', node, version] as const,
	operationsAll: ['operations'] as const,
	operations: (cluster: string | null) => ['operations', 'list', cluster] as const,
	unfinished: ['operations', 'unfinished'] as const,
	operation: (id: string) => ['operation', id] as const,
	lastMigration: (cluster: string) => ['operations', 'migration', cluster] as const,
	journal: (id: string) => ['journal', id] as const,
	alertsAll: ['alerts'] as const,
	alerts: ['alerts', 'list'] as const,
	openAlerts: ['alerts', 'open'] as const,
	auditAll: ['audit'] as const,
	audit: (cluster: string | null) => ['audit', cluster] as const,
	backupsAll: ['backups'] as const,
	backups: ['backups', 'list'] as const,
	backupsOf: (cluster: string) => ['backups', 'of', cluster] as const,
	backup: (id: string) => ['backups', 'one', id] as const,
	rangeOfBackup: (id: string) => ['backups', 'range', id] as const,
	backupFormats: (id: string) => ['backups', 'formats', id] as const,
	vaults: ['vaults'] as const,
	backupKey: ['backup-key'] as const,
	settings: ['settings'] as const,
	connections: ['connections'] as const,
	spark: (cluster: string) => ['spark', cluster] as const
};

const MINUTE = 60_000;
/** Asked again at this pace only while the event stream is closed. */
const PATIENT = () => (link.live ? false : 5_000);

export const isFinal = (operation: Pick<Operation, 'state'>): boolean =>
	operation.state === 'succeeded' || operation.state === 'failed' || operation.state === 'cancelled';

export const queries = {
	info: () => queryOptions({ queryKey: keys.info, queryFn: ({ signal }) => api.info(signal), staleTime: 5 * MINUTE }),
	services: () => queryOptions({ queryKey: keys.services, queryFn: ({ signal }) => api.services(signal), staleTime: MINUTE }),
	providers: () => queryOptions({ queryKey: keys.providers, queryFn: ({ signal }) => api.providers(signal), staleTime: MINUTE }),
	regions: (provider: string) =>
		queryOptions({ queryKey: keys.regions(provider), queryFn: ({ signal }) => api.regions(provider, signal), staleTime: 10 * MINUTE, enabled: provider !== '' }),
	plans: (provider: string) =>
		queryOptions({ queryKey: keys.plans(provider), queryFn: ({ signal }) => api.plans(provider, signal), staleTime: 10 * MINUTE, enabled: provider !== '' }),
	clusters: () => queryOptions({ queryKey: keys.clusters, queryFn: ({ signal }) => api.clusters(signal), refetchInterval: PATIENT }),
	cluster: (name: string) =>
		queryOptions({ queryKey: keys.cluster(name), queryFn: ({ signal }) => api.cluster(name, signal), refetchInterval: PATIENT, enabled: name !== '' }),
	parameters: (name: string) => queryOptions({ queryKey: keys.parameters(name), queryFn: ({ signal }) => api.parameters(name, signal), staleTime: 10_000 }),
	access: (name: string) => queryOptions({ queryKey: keys.access(name), queryFn: ({ signal }) => api.access(name, signal), refetchInterval: PATIENT, enabled: name !== '' }),
	/** Without `reveal` the answer holds the user name only. */
	username: (name: string) =>
		queryOptions({ queryKey: keys.credentials(name), queryFn: ({ signal }) => api.credentials(name, false, signal), staleTime: 5 * MINUTE, retry: false }),
	/** Another maker's version may have another program. */
	terminal: (node: string, version: string) =>
		queryOptions({ queryKey: keys.terminal(node, version), queryFn: ({ signal }) => api.terminal(node, signal), staleTime: 10 * MINUTE, retry: false, enabled: node !== '' }),
	unfinished: () =>
		queryOptions({
			queryKey: keys.unfinished,
			queryFn: async ({ signal }) => (await api.operations({ state: 'unfinished', limit: 100 }, signal)).items,
			refetchInterval: PATIENT
		}),
	operation: (id: string) =>
		queryOptions({
			queryKey: keys.operation(id),
			queryFn: ({ signal }) => api.operation(id, signal),
			// While it runs it is asked now and then even with the stream open: a lost notice must not freeze the steps.
			refetchInterval: (q) => (q.state.data && isFinal(q.state.data) ? false : link.live ? 4_000 : 1_000),
			enabled: id !== ''
		}),
	/** The last migration into a cluster; null where there was none. */
	lastMigration: (cluster: string) =>
		queryOptions({
			queryKey: keys.lastMigration(cluster),
			queryFn: async ({ signal }) => (await api.operations({ cluster, limit: 100 }, signal)).items.find((o) => o.kind === 'migrate') ?? null,
			refetchInterval: PATIENT
		}),
	journal: (id: string) => queryOptions({ queryKey: keys.journal(id), queryFn: ({ signal }) => api.journal(id, signal) }),
	backups: () => queryOptions({ queryKey: keys.backups, queryFn: ({ signal }) => api.backups(signal), refetchInterval: PATIENT }),
	backupsOf: (cluster: string) => queryOptions({ queryKey: keys.backupsOf(cluster), queryFn: ({ signal }) => api.backupsOf(cluster, signal), refetchInterval: PATIENT }),
	backup: (id: string) => queryOptions({ queryKey: keys.backup(id), queryFn: ({ signal }) => api.backup(id, signal), enabled: id !== '' }),
	/** The first hundred that last: a badge says so much and no more. */
	openAlerts: () =>
		queryOptions({ queryKey: keys.openAlerts, queryFn: async ({ signal }) => (await api.alerts({ open: true, limit: 100 }, signal)).items, refetchInterval: PATIENT }),
	vaults: () => queryOptions({ queryKey: keys.vaults, queryFn: ({ signal }) => api.vaults(signal), staleTime: MINUTE }),
	/** Without the half that opens. */
	rangeOfBackup: (id: string) => queryOptions({ queryKey: keys.rangeOfBackup(id), queryFn: ({ signal }) => api.rangeOfBackup(id, signal), enabled: id !== '' }),
	backupFormats: (id: string) => queryOptions({ queryKey: keys.backupFormats(id), queryFn: ({ signal }) => api.backupFormats(id, signal), staleTime: MINUTE }),
	backupKey: () => queryOptions({ queryKey: keys.backupKey, queryFn: ({ signal }) => api.backupKey(false, signal), retry: false }),
	settings: () => queryOptions({ queryKey: keys.settings, queryFn: ({ signal }) => api.settings(signal), staleTime: MINUTE }),
	connections: () => queryOptions({ queryKey: keys.connections, queryFn: ({ signal }) => api.connections(signal), refetchInterval: 30_000 })
};
