// Code → how bad it is, what it means, what can be done about it. The server's own words win where it sent some.
import type { Fault, FaultCode } from '$lib/api/problem';

export interface ErrorEntry {
	severity: 'info' | 'warning' | 'error';
	/** What happened. */
	title: string;
	/** What it means for the data. */
	meaning: string;
	/** What to do. */
	hint: string;
	/** The button that helps, when there is one. */
	action: 'retry' | 'activity' | 'clusters' | 'none';
}

const entry = (severity: ErrorEntry['severity'], title: string, meaning: string, hint: string, action: ErrorEntry['action'] = 'retry'): ErrorEntry => ({
	severity, title, meaning, hint, action
});
const UNTOUCHED = 'Nothing was changed.';
const RUNS_ON = 'The clusters go on running.';

export const errors: Record<FaultCode, ErrorEntry> = {
	invalid: entry('warning', 'Something in the request is not valid', UNTOUCHED, 'Correct what is marked and try again.', 'none'),
	'not-found': entry('warning', 'It is not there (any more)', 'It may have been deleted, or belong to another connection.', 'Go back to the list.', 'clusters'),
	blocked: entry('warning', 'A safety rule stands in the way', UNTOUCHED, 'Solve what is listed, then try again.'),
	'confirmation-missing': entry('warning', 'The typed confirmation does not match', UNTOUCHED, 'Type the name exactly as shown.', 'none'),
	'preview-stale': entry('info', 'The cluster has changed in the meantime', UNTOUCHED, 'Look at what would happen now.'),
	'preview-expired': entry('info', 'The preview is too old', UNTOUCHED, 'Look at what would happen now.'),
	busy: entry('info', 'Another operation holds the cluster', 'It goes on undisturbed.', 'Wait for it, or watch it in Activity.', 'activity'),
	offline: entry('warning', 'The connection is away', 'You see a copy; nothing that changes a cluster is queued.', 'Try again when it is back.'),
	unauthorized: entry('warning', 'You are not signed in', RUNS_ON, 'Sign in with a token of this server.', 'none'),
	forbidden: entry('warning', 'Your token does not allow this', UNTOUCHED, 'Ask for a token with more rights.', 'none'),
	conflict: entry('warning', 'This is there already', UNTOUCHED, 'Choose another name.', 'none'),
	'keyring-missing': entry('error', 'No keyring is running', 'Passwords cannot be kept or shown. ' + RUNS_ON, 'Start the system’s keyring, or name a key file in CLUSTERDECK_VAULT_KEY_FILE, and start again.'),
	'keyring-locked': entry('warning', 'The keyring is locked', 'Passwords cannot be read. ' + RUNS_ON, 'Unlock the keyring and try again.'),
	'keyring-denied': entry('warning', 'The keyring denied access', 'Passwords cannot be read. ' + RUNS_ON, 'Allow Clusterdeck in the keyring’s dialog and try again.'),
	'vault-broken': entry('error', 'The file vault cannot be opened', 'Passwords cannot be read. ' + RUNS_ON, 'Check that the key file is the one the vault was made with.'),
	'vault-unreachable': entry('error', 'The vault cannot be reached', 'The backups in it are as they were.', 'Look whether it is there and can be reached, then try again.'),
	'vault-full': entry('error', 'The vault is full', 'The backups in it are as they were.', 'Make room in it, then try again.'),
	'vault-refused': entry('error', 'The vault does not let us in', 'The backups in it are as they were.', 'Look at the key or the passphrase and its rights, then try again.'),
	'store-broken': entry('error', 'The state file cannot be used', RUNS_ON, 'Leave the files of the home folder as they are. Run clusterdeck doctor, and restore a copy of the home if there is one.'),
	'disk-full': entry('error', 'The disk is full', 'Nothing more can be written down, so no change is started. Servers may stop taking writes.', 'Make room and try again.'),
	unsupported: entry('warning', 'This is not supported here', UNTOUCHED, 'The service or provider cannot do it.', 'none'),
	failed: entry('error', 'It did not work', 'What had begun was taken back unless it says otherwise.', 'Look at the steps in Activity.', 'activity'),
	'shutting-down': entry('info', 'Clusterdeck is closing', RUNS_ON, 'Start it again; unfinished operations are taken up.'),
	internal: entry('error', 'Something inside Clusterdeck went wrong', RUNS_ON, 'Try again. If it comes back, the log in the home folder says more.'),
	unreachable: entry('error', 'Clusterdeck does not answer', RUNS_ON, 'Check that it is running and reachable, then try again.'),
	unreadable: entry('error', 'The answer could not be understood', RUNS_ON, 'The page and the server may be of different versions; reload the page.')
};

export interface ErrorText {
	severity: ErrorEntry['severity'];
	title: string;
	meaning: string;
	hint: string;
	action: ErrorEntry['action'];
}

/** The command line continues a line with these titles; here they begin one. A name at the start stays as it is. */
export const sentence = (text: string): string =>
	/^([a-z]+ing|refused:|a|an|another|check|choose|give|look|make|run|start|stop|try|wait|connections|it|no|nobody|nothing|not|only|sign|some|something|that|the|there|this|too|what|you|your)\s/.test(text) ? text[0]?.toUpperCase() + text.slice(1) : text;

/** What to show for a fault: the server's words first, the table where it has none. */
export function textOf(fault: Pick<Fault, 'code' | 'title' | 'detail' | 'hint'>): ErrorText {
	const known = errors[fault.code] ?? errors.internal;
	const detail = fault.code === 'unreachable' || fault.code === 'unreadable' ? '' : fault.detail;
	return {
		severity: known.severity,
		title: sentence(fault.title) || known.title,
		meaning: detail || known.meaning,
		hint: sentence(fault.hint) || known.hint,
		action: known.action
	};
}
