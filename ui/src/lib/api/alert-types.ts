// The shapes of alerts and vaults as the page reads them; part of `types.ts`, which `agreement.ts` holds to the generated `schema.d.ts`.
import type { BackupKind } from './backup-types';

export type AlertKind = 'backup-failed' | 'backup-damaged' | 'backup-untried' | 'vault-unreachable' | 'vault-full' | 'vault-refused' | 'schedule-waiting';
export type Severity = 'warning' | 'error';

/** While a problem lasts there is one row of it, however often it is met. */
export interface Alert {
	id: string;
	kind: AlertKind;
	severity: Severity;
	cluster_id: string | null;
	cluster: string | null;
	vault: string | null;
	/** The one in which it was met last. */
	backup: string | null;
	title: string;
	detail: string;
	hint: string;
	raised_at: string;
	last_seen_at: string;
	times: number;
	/** Null while it lasts. */
	resolved_at: string | null;
}

export type VaultFault = 'unreachable' | 'full' | 'refused';
export interface Vault {
	id: string;
	kind: BackupKind;
	/** Where it is, in a word or two; older servers do not say. */
	place: string;
	free_bytes: number | null;
	/** What the backups of this home take in it. */
	used_bytes: number;
	backups: number;
	/** Why it cannot be used. */
	problem: string | null;
	fault: VaultFault | null;
	/** What to do about it. */
	hint: string;
}
/** Where a new vault is. */
export type VaultPlace =
	| { kind: 'local'; path: string }
	| { kind: 's3'; endpoint: string; region: string; bucket: string; prefix: string; access_key: string }
	| { kind: 'borg'; repository: string };
/** The secret goes to the keyring of the server and is never answered. */
export type NewVault = VaultPlace & { id: string; secret?: string | null };
export interface VaultTrial {
	/** It is a vault already; else it is made when it is added. */
	there: boolean;
	free_bytes: number | null;
}
