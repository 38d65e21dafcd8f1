// What the screens tell of backups: which are shown, which clusters can be brought back, and whether a cluster has a proven one.
import type { Backup, BackupState, Cluster } from '$lib/api/types';

type Known = Pick<Cluster, 'id' | 'name'>;

/** There is something in a vault that may be restored. */
export const usable = (backup: Pick<Backup, 'state'>): boolean => backup.state === 'stored' || backup.state === 'verified';

export interface BackupFilter {
	text: string;
	cluster: string;
	state: BackupState | '';
}
export const NO_FILTER: BackupFilter = { text: '', cluster: '', state: '' };

/** Every word must be found, in the cluster's name, its service or the vault. */
export function shownBackups(backups: Backup[], filter: BackupFilter): Backup[] {
	const words = filter.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
	return backups.filter(
		(b) =>
			(filter.cluster === '' || b.cluster === filter.cluster) &&
			(filter.state === '' || b.state === filter.state) &&
			words.every((word) => [b.cluster, b.of.service, b.vault, b.id].some((text) => text.toLowerCase().includes(word)))
	);
}

/** A cluster that is gone and can be brought back. */
export interface Gone {
	backup: Backup;
	/** Another cluster has its name by now. */
	taken: boolean;
}

/** The newest last backup of each cluster that is gone. Nothing as long as nobody knows which clusters there are. */
export function recentlyDeleted(backups: Backup[] | undefined, clusters: Known[] | undefined): Gone[] {
	if (!backups || !clusters) return [];
	const there = new Set(clusters.map((c) => c.id));
	const names = new Set(clusters.map((c) => c.name));
	const newest = new Map<string, Backup>();
	for (const backup of backups) {
		if (backup.reason !== 'before-delete' || !usable(backup) || there.has(backup.of.id)) continue;
		const known = newest.get(backup.of.id);
		if (!known || Date.parse(known.created_at) < Date.parse(backup.created_at)) newest.set(backup.of.id, backup);
	}
	return [...newest.values()].map((backup) => ({ backup, taken: names.has(backup.cluster) }));
}

export type Kept = { until: string } | 'by-schedule' | 'for-good' | 'not';

/** How long a backup stays. One whose schedule or cluster is gone waits for somebody to delete it. */
export function keptHow(backup: Pick<Backup, 'of' | 'vault' | 'reason' | 'state' | 'expires_at'>, clusters: Pick<Cluster, 'id' | 'backup_schedules'>[]): Kept {
	if (backup.state === 'failed') return 'not';
	if (backup.expires_at !== null) return { until: backup.expires_at };
	const of = clusters.find((c) => c.id === backup.of.id);
	return backup.reason === 'scheduled' && of?.backup_schedules.some((s) => s.vault === backup.vault) ? 'by-schedule' : 'for-good';
}

export type Proof = 'none' | 'old' | 'fresh';

/** Only what was restored counts. Without the figure of the settings nothing counts as old. */
export function proofOf(cluster: Pick<Cluster, 'last_verified_backup_at'>, now: number, hours: number | undefined): Proof {
	if (cluster.last_verified_backup_at === null) return 'none';
	return hours !== undefined && now - Date.parse(cluster.last_verified_backup_at) > hours * 3_600_000 ? 'old' : 'fresh';
}

/** When the next one is due by whichever schedule comes first. */
export function nextOf(cluster: Pick<Cluster, 'backup_schedules'>): string | null {
	const due = cluster.backup_schedules.map((s) => s.next_at).filter((at): at is string => at !== null);
	return due.sort((a, b) => Date.parse(a) - Date.parse(b))[0] ?? null;
}
