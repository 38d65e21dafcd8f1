// From the control plane's notices to what the page must ask again. Notices are gathered for a moment first: two hundred
// clusters tell two hundred changes in each round of the watcher.
import type { QueryClient } from '@tanstack/svelte-query';
import { link } from '$lib/state/link.svelte';
import { api } from './client';
import { keys } from './queries';
import { subscribe } from './subscribe';
import type { StreamEvent } from './transport';
import type { Cluster, Event } from './types';

const GATHER_MS = 300;
/** Up to so many changed clusters are asked one by one; more are cheaper as one list. */
const ONE_BY_ONE = 4;
/** The whole list is asked at most this often. */
const LIST_EVERY_MS = 6_000;

export interface FeedOptions {
	client: QueryClient;
	/** Told once for every notice that a person should see. */
	onNotice: (event: Event) => void;
}

/** Follows the events until the result is called. */
export function followEvents({ client, onNotice }: FeedOptions): () => void {
	let lastId: string | null = null;
	let opened = false;
	let gathering: ReturnType<typeof setTimeout> | undefined;
	let listTimer: ReturnType<typeof setTimeout> | undefined;
	let listAt = 0;
	const changed = new Map<string, string>();
	let backups = false;

	const flush = (): void => {
		gathering = undefined;
		if (backups) {
			backups = false;
			void client.invalidateQueries({ queryKey: keys.backupsAll });
			void client.invalidateQueries({ queryKey: keys.backupKey });
		}
		const clusters = [...changed.values()];
		changed.clear();
		for (const name of clusters) {
			void client.invalidateQueries({ queryKey: keys.cluster(name) });
			void client.invalidateQueries({ queryKey: keys.access(name) });
		}
		if (clusters.length <= ONE_BY_ONE) void Promise.all(clusters.map((name) => refreshOne(client, name)));
		else refreshList();
	};
	const refreshList = (): void => {
		if (listTimer !== undefined) return;
		listTimer = setTimeout(() => {
			listTimer = undefined;
			listAt = Date.now();
			void client.invalidateQueries({ queryKey: keys.clusters });
		}, Math.max(0, listAt + LIST_EVERY_MS - Date.now()));
	};

	const onEvent = ({ event: kind, id, data }: StreamEvent): void => {
		if (id !== null) lastId = id;
		if (kind === 'reset') return void client.invalidateQueries();
		let event: Event;
		try {
			event = JSON.parse(data) as Event;
		} catch {
			return;
		}
		switch (event.kind) {
			case 'cluster-changed':
				if (event.cluster) changed.set(event.cluster_id ?? event.cluster, event.cluster);
				gathering ??= setTimeout(flush, GATHER_MS);
				return;
			case 'cluster-removed':
				void client.invalidateQueries({ queryKey: keys.clusters });
				if (event.cluster) client.removeQueries({ queryKey: keys.credentials(event.cluster) });
				if (event.cluster) void client.invalidateQueries({ queryKey: keys.cluster(event.cluster) });
				return;
			case 'operation-changed':
				if (event.operation_id) {
					void client.invalidateQueries({ queryKey: keys.operation(event.operation_id) });
					void client.invalidateQueries({ queryKey: keys.journal(event.operation_id) });
				}
				// Whether a cluster is being changed is told with the cluster: its end must be seen there too.
				if (event.cluster) {
					changed.set(event.cluster_id ?? event.cluster, event.cluster);
					gathering ??= setTimeout(flush, GATHER_MS);
				}
				void client.invalidateQueries({ queryKey: keys.operationsAll });
				void client.invalidateQueries({ queryKey: keys.auditAll });
				return;
			case 'backup-changed':
				// The cluster tells of its last good one, too.
				backups = true;
				if (event.cluster) changed.set(event.cluster_id ?? event.cluster, event.cluster);
				gathering ??= setTimeout(flush, GATHER_MS);
				if (event.level !== 'info') onNotice(event);
				return;
			case 'alert-raised':
			case 'alert-changed':
				void client.invalidateQueries({ queryKey: keys.alertsAll });
				// What is wrong is often a vault's.
				void client.invalidateQueries({ queryKey: keys.vaults });
				if (event.kind === 'alert-raised') onNotice(event);
				return;
			case 'settings-changed':
				return void client.invalidateQueries({ queryKey: keys.settings });
			default:
				void client.invalidateQueries({ queryKey: keys.auditAll });
				onNotice(event);
		}
	};

	const close = subscribe({
		path: () => '/v1/events',
		headers: (): Record<string, string> => (lastId === null ? {} : { 'Last-Event-ID': lastId }),
		onEvent,
		onState: (open) => {
			link.live = open;
			// Opened again without a number to resume from: anything may have happened in between.
			if (open && opened && lastId === null) void client.invalidateQueries();
			opened ||= open;
		}
	});
	return () => {
		close();
		clearTimeout(gathering);
		clearTimeout(listTimer);
		link.live = false;
	};
}

/** Puts one cluster's fresh row into the list, when anybody holds the list. */
async function refreshOne(client: QueryClient, name: string): Promise<void> {
	const held = client.getQueryData<Cluster[]>(keys.clusters);
	if (!held) return;
	if (!held.some((c) => c.name === name)) return void client.invalidateQueries({ queryKey: keys.clusters });
	try {
		const fresh = await api.cluster(name);
		client.setQueryData<Cluster[]>(keys.clusters, (list) => list?.map((c) => (c.name === name ? fresh : c)));
	} catch {
		// Gone or unreachable: the list says so when it is asked next.
		void client.invalidateQueries({ queryKey: keys.clusters });
	}
}
