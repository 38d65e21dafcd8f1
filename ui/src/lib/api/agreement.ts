// Holds the types the page uses (types.ts, with their members required and documented) to the generated ones (schema.d.ts):
// what the API answers must fit what the page reads, and what the page sends must fit what the API takes.
// Nothing runs here; a disagreement is a type error.
import type { components } from './schema';
import type * as page from './types';

type Api = components['schemas'];

/** An answer names every member: `serde` leaves out none but those the page marks as optional, too. */
type Answered<T> = T extends (infer Item)[]
	? Answered<Item>[]
	: T extends object
		? { [K in keyof T]-?: Answered<Exclude<T[K], undefined>> }
		: T;
type Fits<From, To> = [From] extends [To] ? true : { doesNotFit: From; into: To };

type Agreement = {
	access: Fits<Answered<Api['Access']>, page.Access>;
	alert: Fits<Answered<Api['Alert']>, page.Alert>;
	audit: Fits<Answered<Api['AuditEntry']>, page.AuditEntry>;
	backup: Fits<Answered<Api['Backup']>, page.Backup>;
	backupKey: Fits<Answered<Api['BackupKey']>, page.BackupKey>;
	cluster: Fits<Answered<Api['Cluster']>, page.Cluster>;
	credentials: Fits<Answered<Api['Credentials']>, page.Credentials>;
	event: Fits<Api['EventKind'], page.EventKind>;
	figures: Fits<Answered<Api['Figures']>, page.Figures>;
	info: Fits<Answered<Api['Info']>, page.Info>;
	journal: Fits<Answered<Api['JournalLine']>, page.JournalEntry>;
	log: Fits<Answered<Api['LogPage']>, page.LogPage>;
	metrics: Fits<Answered<Api['MetricsAnswer']>, page.MetricsAnswer>;
	node: Fits<Answered<Api['Node']>, page.Node>;
	operation: Fits<Answered<Omit<Api['Operation'], 'outcome'>>, Omit<page.Operation, 'outcome'>>;
	parameter: Fits<Answered<Api['Parameter']>, page.Parameter>;
	pointInTime: Fits<Answered<Api['PointInTime']>, page.PointInTime>;
	plan: Fits<Answered<Api['Plan']>, page.Plan>;
	problem: Fits<Api['Code'], page.ProblemCode>;
	provider: Fits<Answered<Api['Provider']>, page.Provider>;
	sample: Fits<Answered<Api['MetricSample']>, page.Sample>;
	service: Fits<Answered<Api['Service']>, page.Service>;
	vault: Fits<Answered<Api['VaultFacts']>, page.Vault>;
	vaultSent: Fits<page.NewVault, Api['NewVault']>;
	vaultTrial: Fits<Answered<Api['VaultTrial']>, page.VaultTrial>;
	// The API says of the theme only that it is text.
	settings: Fits<Answered<Omit<Api['Settings'], 'theme'>>, Omit<page.Settings, 'theme'>>;
	changeKinds: Fits<Api['ChangeKind'], page.ChangeKind>;
	change: Fits<page.Change, Api['Change']>;
	settingsSent: Fits<page.Settings, Api['Settings']>;
};

// One line each, so that the compiler names the one that does not agree.
export const agreement: Agreement = {
	access: true,
	alert: true,
	audit: true,
	backup: true,
	backupKey: true,
	cluster: true,
	credentials: true,
	event: true,
	figures: true,
	info: true,
	journal: true,
	log: true,
	metrics: true,
	node: true,
	operation: true,
	parameter: true,
	pointInTime: true,
	plan: true,
	problem: true,
	provider: true,
	sample: true,
	service: true,
	vault: true,
	vaultSent: true,
	vaultTrial: true,
	settings: true,
	changeKinds: true,
	change: true,
	settingsSent: true
};
