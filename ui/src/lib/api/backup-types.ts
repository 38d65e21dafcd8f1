// The shapes of backups as the page reads them; part of `types.ts`, which `agreement.ts` holds to the generated `schema.d.ts`.
import type { AllowEntry, ClusterOptions, OperationProblem, ServiceKind, Topology } from './types';

export type BackupKind = 'local' | 'snapshot' | 'borg' | 's3';
export type BackupReason = 'asked' | 'scheduled' | 'before-delete' | 'before-restore' | 'for-clone';
/** Only `verified` counts as one that can be relied on. */
export type BackupState = 'making' | 'stored' | 'verified' | 'failed' | 'damaged';

/** How many of something a server held while it was copied: it was seen between these two. */
export interface Count {
	of: string;
	low: number;
	high: number;
	/** Clients change it all the time, so the copy may hold a little more or less. */
	moves?: boolean;
}
export interface BackupPart {
	name: string;
	node: string;
	data_bytes: number;
	stored_bytes: number;
	sha256: string;
	/** In the server's own words. */
	position: string;
	counts: Count[];
}
/** The cluster a backup is of, as it was. */
export interface BackedUp {
	id: string;
	name: string;
	service: ServiceKind;
	version: string;
	topology: Topology;
	nodes: number;
	shards: number;
	provider: string;
	region: string;
	plan: string;
	protected: boolean;
	auto_failover: boolean;
	options: ClusterOptions;
	parameters: Record<string, string>;
	schedules: BackupSchedule[];
	allowlist?: AllowEntry[];
}
export interface Backup {
	id: string;
	cluster: string;
	of: BackedUp;
	kind: BackupKind;
	reason: BackupReason;
	state: BackupState;
	vault: string;
	/** The public half of a key. */
	sealed_for: string;
	parts: BackupPart[];
	size_bytes: number;
	data_bytes: number;
	created_at: string;
	ended_at: string | null;
	verified_at: string | null;
	/** Null where its schedule, or nobody, takes it away. */
	expires_at: string | null;
	error: OperationProblem | null;
	operation: string | null;
	/** It failed, and what got to its vault is still to be taken away. */
	leftover?: boolean;
	/** Its time was over while nobody was there: it was given a day more, once. */
	reprieved?: boolean;
}

/** As what a backup is handed out. */
export type BackupFormat = 'copy' | 'logical';
export interface FormatOffer {
	format: BackupFormat;
	/** What the file is called. */
	file: string;
	/** Null where it can be had. */
	why_not: string | null;
}

/** Which backups of a schedule stay. */
export interface Keep {
	last: number;
	daily: number;
	weekly: number;
	monthly: number;
}
export interface BackupSchedule {
	vault: string;
	/** `30m`, `6h`, `1d`, or the five fields of cron. */
	when: string;
	time_zone: string;
	keep: Keep;
	verify: boolean;
	/** The log is archived beside them; left out where it is not. */
	point_in_time?: boolean;
	since: string | null;
}
export interface Scheduled extends BackupSchedule {
	next_at: string | null;
}
/** What is left out: UTC, what is usually kept, each is tried. */
export interface ScheduleWish {
	when: string;
	time_zone?: string | null;
	keep?: Keep | null;
	verify?: boolean | null;
	point_in_time?: boolean | null;
}
/** A new cluster made of another. What is left out is as it was, or is, in that one. */
export interface ShapeWish {
	name?: string | null;
	nodes?: number | null;
	topology?: Topology | null;
	provider?: string | null;
	region?: string | null;
	plan?: string | null;
}
export interface RestoreBackup extends ShapeWish {
	backup: string;
	/** A moment that the archived log leads to. */
	at?: string | null;
}
export interface CloneCluster extends ShapeWish {
	cluster: string;
}

/** Moments that can be brought back, from the first to the last, without a hole. */
export interface LogRange {
	from: string;
	to: string;
}
/** Which moments a cluster can be brought back to. */
export interface PointInTime {
	/** Its log is archived now. */
	on: boolean;
	vault: string | null;
	/** The oldest first; between two is a hole. */
	ranges: LogRange[];
	/** Backups that the log is replayed on, the oldest first. */
	bases: { backup: string; at: string; verified: boolean }[];
	/** Null where that is not known or nothing is archived. */
	behind_ms: number | null;
	waiting_bytes: number;
	waiting_most_bytes: number;
	stored_bytes: number;
	problem: string | null;
}
export interface BackupKey {
	/** Null where no backup was ever made. */
	public: string | null;
	/** Only when it was asked for. */
	secret: string | null;
	/** When it was last shown, so that somebody may have kept it elsewhere. */
	exported_at: string | null;
}
