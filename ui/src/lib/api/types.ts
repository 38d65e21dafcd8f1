// The shapes of the API as the page reads them; `agreement.ts` holds them to the generated `schema.d.ts`.
// Times are RFC 3339 text, sizes bytes, durations milliseconds, unless a name says otherwise.

import type { CloneCluster, RestoreBackup, Scheduled, ScheduleWish } from './backup-types';
import type { components } from './schema';

export type * from './alert-types';
export type * from './backup-types';

export type ServiceKind = components['schemas']['ServiceKind'];
export type Category = 'databases' | 'development' | 'hosting-and-infra';
export type Topology = 'single' | 'primary-replica' | 'multi-master' | 'sharded';
export type ClusterState = 'creating' | 'running' | 'changing' | 'degraded' | 'down' | 'deleting';
export type Health = 'healthy' | 'degraded' | 'down' | 'unknown';
export type NodeState = 'unknown' | 'starting' | 'running' | 'crashed' | 'unresponsive' | 'drained' | 'stopped';
export type NodeKind = 'data' | 'witness';
export type Role = 'primary' | 'replica' | 'member' | 'shard-primary' | 'shard-replica' | 'witness';
export type Link = 'up' | 'syncing' | 'down';
export type OperationState = 'queued' | 'running' | 'waiting' | 'unwinding' | 'succeeded' | 'failed' | 'cancelled';
export type StepState = 'pending' | 'running' | 'succeeded' | 'failed' | 'undoing' | 'undone';
export type Unit = 'percent' | 'bytes' | 'bytes-per-second' | 'per-second' | 'count';
export type Metric =
	| 'cpu-percent' | 'memory-bytes' | 'disk-bytes' | 'network-in-bytes-per-second' | 'network-out-bytes-per-second'
	| 'operations-per-second' | 'clients' | 'hit-rate-percent' | 'lag-bytes';
export type ChangeKind = Change['kind'];

export interface Page<T> {
	items: T[];
	next_cursor: string | null;
}

export interface Info {
	version: string;
	home: string;
	host: string;
	engine_started_at: string;
	secrets: string;
	offline: boolean;
}

export interface MissingSoftware {
	program: string;
	purpose: string;
	install: string | null;
	/** Where else it can be had, in sentences. */
	elsewhere: string | null;
	/** It is known where it is, and cannot be had or used: `purpose` says why. */
	refused: boolean;
}
/** What a version of a service is loaded into, where that has a version of its own. */
export interface Carrier {
	version: string;
	server: string;
}
export interface TopologyEntry {
	topology: Topology;
	min_nodes: number;
	max_nodes: number;
	default_nodes: number;
	default_shards: number;
	about: string;
	failover: Failover;
	all_vote: boolean;
	/** What clients must know before they rely on it. */
	limits: string | null;
	options: OptionEntry[];
}
/** How a dead primary is replaced: by those who vote, by a person, or not at all. */
export type Failover = 'by-vote' | 'by-hand' | 'never';
/** What a range of versions offers: one protocol may have several makers. */
export interface Line {
	name: string;
	topologies: TopologyEntry[];
	/** 0 when every plan will do. */
	least_memory_bytes: number;
}
/** What a region of a provider has of a service. */
export interface Place {
	provider: string;
	name: string;
	region: string | null;
	ready: boolean;
	/** Newest first; the first is taken where nobody chooses. */
	versions: Offered[];
	carriers: Carrier[];
	missing: MissingSoftware[];
	to_fetch: string[];
	/** Why it could not be asked. */
	problem: string | null;
}
/** A version that can be created. */
export interface Offered {
	version: string;
	/** The name of its line. */
	line: string;
	/** Else it is fetched first. */
	installed: boolean;
}
/** A switch of a cluster, as its service offers it. */
export interface OptionEntry {
	id: keyof ClusterOptions;
	name: string;
	on: string;
	off: string;
	risk: string;
	/** It takes effect from so many data nodes on. */
	from_nodes: number;
	default_on: boolean;
	needs: keyof ClusterOptions | null;
}
export interface Service {
	id: ServiceKind;
	name: string;
	category: Category;
	tagline: string;
	description: string;
	topologies: TopologyEntry[];
	/** One for all versions, or one for each maker. */
	lines: Line[];
	places: Place[];
	/** Settings of its servers can be read and changed. */
	parameters: boolean;
	ports: { name: string; number: number }[];
	versions: string[];
	licence: string;
	caution: string | null;
	available: boolean;
	coming: boolean;
	installed_versions: string[];
	carriers: Carrier[];
	missing: MissingSoftware[];
}
export interface Provider {
	id: string;
	name: string;
	usable: boolean;
	notes: string[];
	missing: MissingSoftware[];
}
export interface Region {
	id: string;
	name: string;
}
export interface Plan {
	id: string;
	cpus: number;
	memory_bytes: number;
	disk_bytes: number;
	/** US dollars; null where nothing is billed. */
	price_per_hour: number | null;
}

export interface ClusterOptions {
	stop_writes_without_replica: boolean;
	synchronous: boolean;
}
/** What is left out stays as it is. */
export type OptionWish = { [K in keyof ClusterOptions]?: boolean | null };
export interface FailoverReadiness {
	enabled: boolean;
	ready: boolean;
	reason: string;
}
export interface NodeMetrics {
	cpu_percent: number | null;
	memory_bytes: number | null;
	disk_bytes: number | null;
	network_in_bytes_per_second: number | null;
	network_out_bytes_per_second: number | null;
	operations_per_second: number | null;
	clients: number | null;
	hit_rate_percent: number | null;
	lag_bytes: number | null;
}
export interface Node {
	id: string;
	name: string;
	cluster: string;
	cluster_id: string;
	role: Role | null;
	kind: NodeKind;
	shard: number | null;
	state: NodeState;
	health: Health;
	address: string;
	/** Null for a node without data. */
	port: number | null;
	plan: string;
	region: string;
	lag_bytes: number | null;
	lag_ms: number | null;
	link: Link | null;
	follows: string | null;
	slots: number | null;
	data_bytes: number | null;
	drained: boolean;
	diverged: boolean;
	limited_by: string | null;
	/** What only its kind of server says of itself. */
	facts: { id: string; name: string; value: string }[];
	open_transactions: { seconds: number; user: string; query: string }[];
	detail: string | null;
	memory_limit_bytes: number | null;
	disk_limit_bytes: number | null;
	metrics: NodeMetrics;
	observed_at: string | null;
}
export interface Endpoint {
	kind: 'read-write' | 'read-only' | 'admin' | 'node';
	host: string;
	port: number;
	up: boolean | null;
	/** Other computers come in there. */
	exposed: boolean;
}
export interface Busy {
	operation_id: string;
	kind: ChangeKind;
	title: string;
}
export interface Cluster {
	id: string;
	name: string;
	service: ServiceKind;
	/** What its makers call this version of it. */
	service_name: string;
	version: string;
	topology: Topology;
	shards: number;
	state: ClusterState;
	health: Health;
	provider: string;
	region: string;
	plan: string;
	protected: boolean;
	auto_failover: FailoverReadiness;
	options: ClusterOptions;
	votes: { present: number; needed: number; total: number } | null;
	nodes: Node[];
	endpoints: Endpoint[];
	backup_schedules: Scheduled[];
	/** Addresses that may come in; empty: open to all. */
	allowlist: AllowEntry[];
	/** A list that is being tried in its place. */
	allow_trial: AllowTrial | null;
	/** When the last backup that was restored and found good was begun. */
	last_verified_backup_at: string | null;
	busy: Busy | null;
	/** The backup that is being made of it, which does not hold it. */
	backing_up: Busy | null;
	created_at: string;
	observed_at: string | null;
}
/** Addresses that may come in. */
export interface AllowEntry {
	cidr: string;
	comment?: string | null;
	/** From then on they come in no longer. */
	expires_at?: string | null;
}
export interface AllowTrial {
	entries: AllowEntry[];
	/** Until then it can be kept; afterwards the list before is in force again. */
	until: string;
}
/** A way to the servers, and whether the list is held to there. */
export interface WayIn {
	name: string;
	enforced: boolean;
	text: string;
}
export interface Access {
	open: boolean;
	entries: AllowEntry[];
	trial: (AllowTrial & { operation_id: string | null }) | null;
	your_address: string | null;
	you_come_in: boolean | null;
	ways: WayIn[];
	/** Where other computers reach the endpoints; the port stays when they no longer do. */
	exposure: Exposure | null;
	/** Addresses of this computer at which they could. */
	addresses: string[];
	/** Why they cannot there, in sentences. */
	not_exposable: string | null;
}
export interface Exposure {
	on: string | null;
	port: number;
}
export type ParameterKind =
	| { kind: 'switch' }
	| { kind: 'number'; min: number; max: number; whole: boolean }
	| { kind: 'choice'; values: string[] }
	| { kind: 'text' };
/** A setting of the servers. */
export type Parameter = ParameterKind & {
	name: string;
	group: string;
	about: string;
	/** In force on the primary. */
	value: string;
	/** What somebody has set; null while it has its default. */
	chosen: string | null;
	unit: string | null;
	restart: boolean;
	/** Why it cannot be set here. */
	fixed: string | null;
};
export interface Credentials {
	username: string;
	password: string | null;
	url: string | null;
}

export interface CreateCluster {
	name: string;
	service: ServiceKind;
	version?: string | null;
	topology?: Topology | null;
	nodes?: number | null;
	shards?: number | null;
	provider?: string | null;
	region?: string | null;
	plan?: string | null;
	protected?: boolean;
	auto_failover?: boolean | null;
	options?: OptionWish | null;
}
/** Everything that can alter a cluster; `cluster` and `node` are names or ids, `backup` is an id, a vault that is left out the home's own. */
export type Change =
	| ({ kind: 'create-cluster' } & CreateCluster)
	| { kind: 'add-node'; cluster: string; count?: number | null; plan?: string | null }
	| { kind: 'add-shard'; cluster: string }
	| { kind: 'remove-shard'; cluster: string; shard: number }
	| { kind: 'promote-node'; node: string }
	| { kind: 'drain-node'; node: string }
	| { kind: 'undrain-node'; node: string }
	| { kind: 'reboot-node'; node: string }
	| { kind: 'remove-node'; node: string }
	| { kind: 'resize-cluster'; cluster: string; plan: string }
	| { kind: 'upgrade-cluster'; cluster: string; version?: string | null }
	| { kind: 'resync-cluster'; cluster: string }
	| { kind: 'set-protection'; cluster: string; enabled: boolean }
	| { kind: 'set-auto-failover'; cluster: string; enabled: boolean }
	| { kind: 'set-options'; cluster: string; options: OptionWish }
	| { kind: 'set-parameters'; cluster: string; parameters: Record<string, string | null> }
	| { kind: 'set-allowlist'; cluster: string; entries: AllowEntry[]; keep_within_ms?: number | null }
	| { kind: 'expose-endpoint'; cluster: string; on: string | null; port?: number | null }
	| { kind: 'rotate-credentials'; cluster: string }
	| { kind: 'back-up'; cluster: string; vault?: string | null; verify?: boolean | null }
	| { kind: 'set-backup-schedule'; cluster: string; vault?: string | null; schedule: ScheduleWish | null }
	| { kind: 'verify-backup'; backup: string }
	| ({ kind: 'restore-backup' } & RestoreBackup)
	| ({ kind: 'clone-cluster' } & CloneCluster)
	| { kind: 'restore-in-place'; cluster: string; backup: string; at?: string | null; discard_present?: boolean; keep_within_ms?: number | null }
	| { kind: 'delete-backup'; backup: string }
	| { kind: 'migrate'; cluster: string; from: string; password?: string | null; ca?: string | null; replace?: boolean; follow?: boolean }
	| { kind: 'cut-over'; cluster: string }
	| { kind: 'delete-cluster'; cluster: string; discard_backups?: boolean };

export interface Finding {
	code: string;
	text: string;
	pointer?: string;
	hint?: string;
	way_out?: { label: string; change: Change };
}
export interface Check {
	id: string;
	title: string;
	state: 'passed' | 'warning' | 'failed' | 'skipped';
	text: string;
	hint?: string | null;
}

/** What came of a migration. */
export interface Migrated {
	items: number;
	bytes: number;
	gap_ms?: number | null;
	up_to?: string | null;
	compared: { of: string; source: number; target: number; source_sum: string; target_sum: string }[];
	differences: string[];
	notes: string[];
}

export interface Preview {
	id: string;
	title: string;
	destructive: boolean;
	effects: string[];
	checks?: Check[];
	warnings: Finding[];
	blockers: Finding[];
	/** What must be typed; null when a click is enough. */
	confirm: string | null;
	expected_downtime_ms: number;
	expires_at: string;
}

export interface OperationProblem {
	code: string;
	title: string;
	detail: string;
	hint: string;
}
export interface StepRecord {
	name: string;
	title: string;
	state: StepState;
	note: string | null;
	progress: { done: number; total: number } | null;
	started_at: string | null;
	ended_at: string | null;
	error: OperationProblem | null;
}
export interface Operation {
	id: string;
	kind: ChangeKind;
	title: string;
	cluster_id: string;
	cluster: string;
	node: string | null;
	state: OperationState;
	cancel_requested: boolean;
	cancellable: boolean;
	/** It failed where there is no way back, and can be taken up again at the step that failed. */
	retryable: boolean;
	/** It waits until somebody keeps what it changed, or takes it back. */
	trial?: { until: string; kept: boolean } | null;
	steps: StepRecord[];
	outcome: { write_gap_ms?: number; nodes?: string[]; backup?: string | null; migration?: Migrated | null; notes?: string[] };
	error: OperationProblem | null;
	actor: string;
	created_at: string;
	ended_at: string | null;
}
export interface JournalEntry {
	at: string;
	step: string | null;
	step_state: StepState | null;
	state: OperationState;
	text: string | null;
}
export interface AuditEntry {
	id: number;
	at: string;
	actor: string;
	action: string;
	cluster_id: string | null;
	cluster: string | null;
	node: string | null;
	operation: string | null;
	/** asked, succeeded, failed, cancelled, refused, noticed */
	result: string;
	text: string;
}

export interface Point {
	/** Milliseconds since 1970. */
	at: number;
	value: number | null;
}
export interface Series {
	metric: Metric;
	unit: Unit;
	node: string;
	points: Point[];
}
export interface MetricsAnswer {
	from: number;
	to: number;
	step: number;
	series: Series[];
}
export interface Sample {
	at: string;
	nodes: { node: string; metrics: NodeMetrics }[];
}
export interface LogPage {
	unit: string;
	units: string[];
	lines: string[];
	next: number;
}

export type Theme = 'system' | 'light' | 'dark';
export interface Figures {
	max_promotion_lag_bytes: number;
	max_observation_age_ms: number;
	disk_headroom_percent: number;
	memory_reserve_bytes: number;
	backup_age_hours: number;
	open_transaction_seconds: number;
	keep_within_ms: number;
}
export interface ImageSources {
	mirror: string | null;
	own: Record<string, string>;
}
export interface Settings {
	figures: Figures;
	images: ImageSources;
	close_to_tray: boolean;
	notifications: boolean;
	theme: Theme;
}

export interface Connection {
	name: string;
	kind: 'embedded' | 'server';
	url: string | null;
	current: boolean;
	reachable: boolean | null;
	last_seen: string | null;
}

export type EventKind =
	| 'cluster-changed' | 'cluster-removed' | 'operation-changed' | 'node-down' | 'node-recovered'
	| 'failover-noticed' | 'backup-changed' | 'alert-raised' | 'alert-changed' | 'settings-changed';
export interface Event {
	id: number;
	at: string;
	kind: EventKind;
	cluster_id?: string;
	cluster?: string;
	node?: string;
	operation_id?: string;
	level: 'info' | 'warning' | 'error';
	text: string;
}

export type ProblemCode =
	| 'invalid' | 'not-found' | 'blocked' | 'confirmation-missing' | 'preview-stale' | 'preview-expired' | 'busy' | 'offline'
	| 'unauthorized' | 'forbidden' | 'conflict' | 'keyring-missing' | 'keyring-locked' | 'keyring-denied' | 'vault-broken'
	| 'vault-unreachable' | 'vault-full' | 'vault-refused'
	| 'store-broken' | 'disk-full' | 'unsupported' | 'failed' | 'shutting-down' | 'internal';
export interface ProblemBody {
	type?: string;
	title: string;
	status: number;
	code: ProblemCode;
	detail?: string;
	hint?: string;
	fields?: { pointer: string; message: string }[];
	operation_id?: string;
}
