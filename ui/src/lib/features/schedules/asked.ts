// What is asked for when somebody sets a schedule: as it is, or as one usually begins.
import type { BackupSchedule, Change, Cluster, ScheduleWish, Vault } from '$lib/api/types';
import { USUAL, USUAL_EVERY } from './rhythm';

/** Where the one who looks at this lives. */
export const hereZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

export function setSchedule(cluster: Pick<Cluster, 'name'>, now: BackupSchedule): Change {
	const { vault, when, time_zone, keep, verify, point_in_time } = now;
	return { kind: 'set-backup-schedule', cluster: cluster.name, vault, schedule: { when, time_zone, keep, verify, point_in_time: point_in_time ?? false } };
}
/** One into a vault that has none yet; the home's own where nobody names one. */
export const newSchedule = (cluster: Pick<Cluster, 'name'>, vault: string | null, usual: Pick<ScheduleWish, 'when' | 'keep'> = { when: USUAL_EVERY, keep: USUAL }): Change => ({
	kind: 'set-backup-schedule', cluster: cluster.name, vault, schedule: { ...usual, time_zone: hereZone(), verify: true }
});
/** They cost only what changed, so they may be close. */
export const SNAPSHOTS: Pick<ScheduleWish, 'when' | 'keep'> = { when: '1h', keep: { last: 24, daily: 7, weekly: 0, monthly: 0 } };
/** There is at most one for each vault. */
export const unscheduled = (cluster: Pick<Cluster, 'backup_schedules'>, vaults: Vault[]): Vault[] => vaults.filter((v) => !cluster.backup_schedules.some((s) => s.vault === v.id));
export const stopSchedule = (cluster: Pick<Cluster, 'name'>, now: BackupSchedule): Change => ({ kind: 'set-backup-schedule', cluster: cluster.name, vault: now.vault, schedule: null });
