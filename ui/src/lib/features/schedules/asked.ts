// What is asked for when somebody sets a schedule: as it is, or as one usually begins.
import type { BackupSchedule, Change, Cluster } from '$lib/api/types';
import { USUAL, USUAL_EVERY } from './rhythm';

/** Where the one who looks at this lives. */
export const hereZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

export function setSchedule(cluster: Pick<Cluster, 'name'>, now: BackupSchedule | undefined): Change {
	const { when, time_zone, keep, verify } = now ?? { when: USUAL_EVERY, time_zone: hereZone(), keep: USUAL, verify: true };
	return { kind: 'set-backup-schedule', cluster: cluster.name, vault: now?.vault ?? null, schedule: { when, time_zone, keep, verify } };
}
export const stopSchedule = (cluster: Pick<Cluster, 'name'>, now: BackupSchedule): Change => ({ kind: 'set-backup-schedule', cluster: cluster.name, vault: now.vault, schedule: null });
