// The API, typed. Every request of the page goes through `call`, which keeps the state of the link and turns problems into faults.
import { link } from '$lib/state/link.svelte';
import { Fault, faultOf, isAbort, toFault } from './problem';
import { StreamRefused, transport, type Answer, type Request, type StreamEvent } from './transport';
import type { components } from './schema';
import type {
	Access, Alert, AuditEntry, Backup, BackupFormat, BackupKey, Change, Cluster, Connection, Credentials, FormatOffer, Info, JournalEntry, LogPage, Metric, MetricsAnswer, NewVault, Operation, Page, Parameter, Plan, PointInTime, Preview, Provider, Region, Service, Settings, Vault, VaultTrial
} from './types';

/** A list is read to its end, but no further than this: 20 pages of 500. */
const MAX_PAGES = 20;

async function send(request: Request): Promise<Answer> {
	let answer: Answer;
	try {
		answer = await (await transport()).request(request);
	} catch (error) {
		if (isAbort(error)) throw error;
		link.unreachable = true;
		throw toFault(error);
	}
	if (answer.status === 401 && (await transport()).kind === 'http') link.signedOut = true;
	// The list of connections is answered by this computer itself and says nothing about the way to the chosen server.
	const local = request.path.startsWith('/v1/connections');
	if (answer.status >= 400) {
		const fault = faultOf(answer.status, answer.text);
		if (fault.code === 'offline' && !local) link.away = true;
		throw fault;
	}
	if (!local) link.answered(answer.headers['x-clusterdeck-as-of'] ?? null);
	return answer;
}

async function call<T>(method: Request['method'], path: string, body?: unknown, options: { signal?: AbortSignal; headers?: Record<string, string> } = {}): Promise<T> {
	const headers = body === undefined ? options.headers : { 'Content-Type': 'application/json', ...options.headers };
	const answer = await send({ method, path, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: options.signal });
	if (answer.text === '') return undefined as T;
	try {
		return JSON.parse(answer.text) as T;
	} catch {
		throw new Fault('unreadable', '', answer.status);
	}
}

const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call<T>('GET', path, undefined, { signal });
const part = encodeURIComponent;

/** `?a=1&b=x` of what is set; lists repeat the name. */
export function query(values: Record<string, string | number | boolean | string[] | null | undefined>): string {
	const params = new URLSearchParams();
	for (const [name, value] of Object.entries(values)) {
		if (value === null || value === undefined || value === '') continue;
		if (Array.isArray(value)) value.forEach((v) => params.append(name, v));
		else params.set(name, String(value));
	}
	const text = params.toString();
	return text === '' ? '' : `?${text}`;
}

async function all<T>(path: string, signal?: AbortSignal): Promise<T[]> {
	const items: T[] = [];
	let cursor: string | null = null;
	for (let page = 0; page < MAX_PAGES; page++) {
		const answer: Page<T> = await get<Page<T>>(path + query({ limit: 500, cursor }), signal);
		items.push(...answer.items);
		cursor = answer.next_cursor;
		if (cursor === null) break;
	}
	return items;
}

export const api = {
	info: (signal?: AbortSignal) => get<Info>('/v1/info', signal),
	services: (signal?: AbortSignal) => all<Service>('/v1/services', signal),
	providers: (signal?: AbortSignal) => all<Provider>('/v1/providers', signal),
	regions: (provider: string, signal?: AbortSignal) => all<Region>(`/v1/providers/${part(provider)}/regions`, signal),
	plans: (provider: string, signal?: AbortSignal) => all<Plan>(`/v1/providers/${part(provider)}/plans`, signal),

	clusters: (signal?: AbortSignal) => all<Cluster>('/v1/clusters', signal),
	cluster: (id: string, signal?: AbortSignal) => get<Cluster>(`/v1/clusters/${part(id)}`, signal),
	parameters: (id: string, signal?: AbortSignal) => all<Parameter>(`/v1/clusters/${part(id)}/parameters`, signal),
	credentials: (id: string, reveal: boolean, signal?: AbortSignal) =>
		get<Credentials>(`/v1/clusters/${part(id)}/credentials${query({ reveal: reveal || null })}`, signal),

	/** From which addresses it may be reached, and from which one this comes. */
	access: (id: string, signal?: AbortSignal) => get<Access>(`/v1/clusters/${part(id)}/access`, signal),

	/** The program of a terminal for a node's server: what `clusterdeck node shell` starts. */
	terminal: (node: string, signal?: AbortSignal) => get<components['schemas']['ClientCommand']>(`/v1/nodes/${part(node)}/client`, signal),

	operations: (filter: { cluster?: string; state?: string; cursor?: string | null; limit?: number }, signal?: AbortSignal) =>
		get<Page<Operation>>(`/v1/operations${query(filter)}`, signal),
	operation: (id: string, signal?: AbortSignal) => get<Operation>(`/v1/operations/${part(id)}`, signal),
	journal: (id: string, signal?: AbortSignal) => all<JournalEntry>(`/v1/operations/${part(id)}/journal`, signal),
	cancel: (id: string) => call<Operation>('POST', `/v1/operations/${part(id)}/cancel`),
	/** Keeps what an operation changed and would take back by itself. */
	keep: (id: string) => call<Operation>('POST', `/v1/operations/${part(id)}/keep`),
	/** Takes up an operation that failed where there is no way back, at the step that failed. */
	retry: (id: string) => call<Operation>('POST', `/v1/operations/${part(id)}/retry`),
	/** Open ones first. */
	alerts: (filter: { cluster?: string; open?: boolean; cursor?: string | null; limit?: number }, signal?: AbortSignal) =>
		get<Page<Alert>>(`/v1/alerts${query(filter)}`, signal),
	audit: (filter: { cluster?: string; cursor?: string | null; limit?: number }, signal?: AbortSignal) =>
		get<Page<AuditEntry>>(`/v1/audit${query(filter)}`, signal),

	preview: (change: Change, signal?: AbortSignal) => call<Preview>('POST', '/v1/previews', change, { signal }),
	/** `key` makes a retry safe: the same key never starts a second operation. */
	confirm: (previewId: string, typed: string | null, key: string) =>
		call<Operation>('POST', '/v1/operations', { preview_id: previewId, ...(typed === null ? {} : { typed }) }, { headers: { 'Idempotency-Key': key } }),

	/** Also those of clusters that are gone. */
	backups: (signal?: AbortSignal) => all<Backup>('/v1/backups', signal),
	/** Those of a cluster that is there. */
	backupsOf: (cluster: string, signal?: AbortSignal) => all<Backup>(`/v1/clusters/${part(cluster)}/backups`, signal),
	rangeOfBackup: (id: string, signal?: AbortSignal) => get<PointInTime>(`/v1/backups/${part(id)}/range`, signal),
	backupFormats: (id: string, signal?: AbortSignal) => all<FormatOffer>(`/v1/backups/${part(id)}/formats`, signal),
	backup: (id: string, signal?: AbortSignal) => get<Backup>(`/v1/backups/${part(id)}`, signal),
	vaults: (signal?: AbortSignal) => all<Vault>('/v1/vaults', signal),
	/** Nothing is made and nothing kept. */
	tryVault: (vault: NewVault) => call<VaultTrial>('POST', '/v1/vault-trials', vault),
	addVault: (vault: NewVault) => call<Vault>('POST', '/v1/vaults', vault),
	changeVaultSecret: (id: string, secret: string, access_key?: string) => call<Vault>('PUT', `/v1/vaults/${part(id)}/secret`, { secret, access_key }),
	checkVault: (id: string) => call<Vault>('POST', `/v1/vaults/${part(id)}/check`),
	/** What lies in it stays. */
	removeVault: (id: string) => call<void>('DELETE', `/v1/vaults/${part(id)}`),
	backupKey: (reveal: boolean, signal?: AbortSignal) => get<BackupKey>(`/v1/backup-key${query({ reveal: reveal || null })}`, signal),
	/** The key in force stays; what was sealed for this one can be read again. */
	bringKeyBack: (secret: string) => call<BackupKey>('POST', '/v1/backup-key', { secret }),

	metrics: (cluster: string, range: { from: number; to: number; step: number; node?: string[]; metric?: Metric[] }, signal?: AbortSignal) =>
		get<MetricsAnswer>(`/v1/clusters/${part(cluster)}/metrics${query(range)}`, signal),
	metricsStreamPath: (cluster: string) => `/v1/clusters/${part(cluster)}/metrics`,
	chart: async (cluster: string, options: { metric: Metric; from: number; to: number; format: 'svg' | 'png'; theme: 'light' | 'dark'; width: number; height: number }) => {
		const answer = await send({ method: 'GET', path: `/v1/clusters/${part(cluster)}/metrics/chart${query(options)}`, headers: { Accept: '*/*' } });
		return answer.bytes ?? new TextEncoder().encode(answer.text);
	},
	logs: (node: string, options: { unit?: string; lines?: number; after?: number; grep?: string }, signal?: AbortSignal) =>
		get<LogPage>(`/v1/nodes/${part(node)}/logs${query(options)}`, signal),
	logsStreamPath: (node: string, options: { unit?: string; after?: number; grep?: string }) =>
		`/v1/nodes/${part(node)}/logs${query({ ...options, follow: true })}`,

	settings: (signal?: AbortSignal) => get<Settings>('/v1/settings', signal),
	saveSettings: (settings: Settings) => call<Settings>('PUT', '/v1/settings', settings),

	connections: (signal?: AbortSignal) => all<Connection>('/v1/connections', signal),
	addConnection: (connection: { name: string; url: string; token: string; fingerprint?: string }) => call<Connection>('POST', '/v1/connections', connection),
	removeConnection: (name: string) => call<void>('DELETE', `/v1/connections/${part(name)}`),
	useConnection: (name: string) => call<void>('PUT', '/v1/connections/current', { name }),
	/** The page is one of a browser, which fetches files by itself. */
	inPage: (): boolean => !window.__TAURI_INTERNALS__,
	downloadOf: (id: string, format: BackupFormat): string => `/v1/backups/${part(id)}/download${query({ format: format === 'copy' ? null : format })}`,
	/** Only in the window: fetches a backup into the downloads folder. The file it is in then. */
	save: async (id: string, format: BackupFormat, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<string> => {
		let file: string | undefined;
		let failed: Fault | undefined;
		const onEvent = ({ event, data }: StreamEvent): void => {
			if (event === 'written') onBytes(Number(data));
			else if (event === 'saved') file = data;
			else if (event === 'failed') failed = faultOf(0, data);
		};
		try {
			await (await transport()).save?.({ path: api.downloadOf(id, format), signal, onOpen: () => undefined, onEvent });
		} catch (error) {
			throw error instanceof StreamRefused ? faultOf(error.status, error.body) : error;
		}
		if (file === undefined) throw failed ?? new Fault('unreadable', '');
		return file;
	},
	/** Whether this is the window; a browser has no connections of its own and no tray. */
	inWindow: async () => (await transport()).kind === 'tauri',
	signIn: (token: string) => call<void>('POST', '/v1/session', { token })
};
