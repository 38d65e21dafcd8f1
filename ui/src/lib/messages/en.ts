// Every text of the window in English. Another language is another file of the same shape (`Messages`).

const plural = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`;

export const en = {
	app: { name: 'Clusterdeck', skip: 'Skip to content', loading: 'Loading' },
	nav: {
		label: 'Main',
		clusters: 'Clusters',
		activity: 'Activity',
		backups: 'Backups',
		alerts: 'Alerts',
		audit: 'Audit trail',
		settings: 'Settings',
		search: 'Search',
		running: (n: number) => plural(n, 'operation under way', 'operations under way')
	},
	action: {
		cancel: 'Cancel', close: 'Close', back: 'Back', next: 'Next', retry: 'Try again', copy: 'Copy', copied: 'Copied', save: 'Save',
		saved: 'Saved', remove: 'Remove', more: 'Show more', dismiss: 'Dismiss', open: 'Open', clear: 'Clear', show: 'Show', hide: 'Hide'
	},
	time: { never: 'never', dueNow: 'due now', asOf: (ago: string) => `as of ${ago}`, updated: (ago: string) => `Seen ${ago}` },
	unknown: 'unknown',
	category: { databases: 'Databases', development: 'Development', 'hosting-and-infra': 'Hosting and infrastructure' },
	/** As their makers write them; the catalogue says the same, but later than the list of clusters is there. */
	service: {
		postgresql: 'PostgreSQL', mysql: 'MySQL', redis: 'Redis', valkey: 'Valkey', keydb: 'KeyDB', timescaledb: 'TimescaleDB', clickhouse: 'ClickHouse', hydra: 'Hydra',
		keycloak: 'Keycloak', rke2: 'RKE2', rabbitmq: 'RabbitMQ'
	},
	topology: { single: 'Single node', 'primary-replica': 'Primary and replicas', 'multi-master': 'Multi-master', sharded: 'Sharded' },
	clusterState: { creating: 'Creating', running: 'Running', changing: 'Changing', degraded: 'Degraded', down: 'Down', deleting: 'Deleting' },
	health: { healthy: 'Healthy', degraded: 'Degraded', down: 'Down', unknown: 'Unknown' },
	nodeState: {
		unknown: 'Not seen yet', starting: 'Starting', running: 'Running', crashed: 'Crashed', unresponsive: 'Not answering', drained: 'Drained', stopped: 'Stopped'
	},
	role: {
		primary: 'Primary', replica: 'Replica', member: 'Member', 'shard-primary': 'Shard primary', 'shard-replica': 'Shard replica', witness: 'Witness', none: 'Role unknown'
	},
	link: { up: 'Streaming', syncing: 'Copying everything', down: 'Broken' },
	operationState: {
		queued: 'Queued', running: 'Running', waiting: 'Waiting', unwinding: 'Taking back', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled'
	},
	stepState: { pending: 'To do', running: 'Running', succeeded: 'Done', failed: 'Failed', undoing: 'Taking back', undone: 'Taken back' },
	backupState: { making: 'Being made', stored: 'Made, not yet tried', verified: 'Verified', failed: 'Failed', damaged: 'Damaged' },
	backupReason: { asked: 'By hand', scheduled: 'By schedule', 'before-delete': 'Before a deletion', 'before-restore': 'Before a restore', 'for-clone': 'For a clone' },
	endpoint: { 'read-write': 'Read and write', 'read-only': 'Read only', admin: 'Admin', node: 'Node' },
	metric: {
		'cpu-percent': 'CPU', 'memory-bytes': 'Memory', 'disk-bytes': 'Disk', 'network-in-bytes-per-second': 'Network in',
		'network-out-bytes-per-second': 'Network out', 'operations-per-second': 'Operations', clients: 'Clients', 'hit-rate-percent': 'Hit rate', 'lag-bytes': 'Replication lag'
	},

	clusters: {
		title: 'Clusters',
		create: 'New cluster',
		search: 'Search clusters',
		searchHint: 'Name, service, region or address',
		state: 'State',
		service: 'Service',
		any: 'Any',
		count: (shown: number, all: number) => (shown === all ? plural(all, 'cluster', 'clusters') : `${shown} of ${plural(all, 'cluster', 'clusters')}`),
		nodes: (n: number) => plural(n, 'node', 'nodes'),
		well: (well: number, all: number) => `${well} of ${all} healthy`,
		columns: { name: 'Name', state: 'State', nodes: 'Nodes', operations: 'Operations', memory: 'Memory', place: 'Place' },
		perSecond: (n: string) => `${n}/s`,
		list: 'Clusters',
		emptyTitle: 'No clusters yet',
		emptyText: 'A cluster is a service on one or more nodes that keep each other safe. Its servers run on the computer named at the top left, and nothing leaves it.',
		deployFirst: 'Deploy my first cluster',
		noneTitle: 'No cluster matches',
		noneText: 'The search and the filters leave nothing over.',
		clearFilter: 'Show all clusters',
		attention: (n: number) => `${plural(n, 'cluster needs', 'clusters need')} attention`,
		notSeen: 'Not seen yet',
		halfDeleted: 'Half deleted',
		recoverable: (n: number) => `Deleted recently (${n})`,
		recoverableText: (n: number) => `${plural(n, 'cluster that was deleted can', 'clusters that were deleted can')} still be recovered from ${n === 1 ? 'its' : 'their'} last backup.`,
		protected: 'Termination protection is on'
	},

	cluster: {
		tabs: { overview: 'Overview', nodes: 'Nodes', metrics: 'Metrics', backups: 'Backups', parameters: 'Parameters', activity: 'Activity', audit: 'Audit' },
		tabsLabel: 'Parts of the cluster',
		addNode: 'Add node',
		resize: 'Change plan', upgrade: 'Upgrade to a newer version',
		addShard: 'Add shard',
		removeShard: 'Remove shard',
		delete: 'Delete cluster', clone: 'Clone…',
		more: 'More changes',
		busy: (title: string) => `Under way: ${title}`,
		watch: 'Watch it',
		halfDeleted: 'Its deletion stopped before the end, and there is no way back. What is shown below is what was seen last.',
		finish: 'See why and finish it',
		goneTitle: (name: string) => `There is no cluster ${name}`,
		goneText: 'It was deleted, or it belongs to another connection.',
		backToList: 'All clusters',
		facts: { service: 'Service', topology: 'Topology', licence: 'Licence', place: 'Place', plan: 'Plan', created: 'Created', seen: 'Last seen' },
		edition: (name: string) => `edition: ${name}`,
		shards: (n: number) => plural(n, 'shard', 'shards')
	},
	overview: {
		nodes: 'Topology',
		nodesHint: 'Choose a node to see its metrics, logs and checks.',
		votes: (present: number, total: number, needed: number) => `${present} of ${total} votes present, ${needed} needed`,
		protection: 'Termination protection',
		protectionOn: 'The cluster cannot be deleted until this is switched off.',
		protectionOff: 'The cluster can be deleted after typing its name.',
		failover: 'Automatic failover',
		failoverReady: 'Can fail over',
		failoverNotReady: 'Cannot fail over',
		failoverOff: 'Switched off',
		failoverNone: 'No primary to replace',
		failoverByHand: 'By hand',
		endpoints: 'Endpoints',
		endpointsText: 'They stay the same, whichever node answers behind them.',
		endpointUp: 'Answers', endpointDown: 'Does not answer', endpointUnknown: 'Not checked',
		noEndpoints: 'There is no endpoint yet. It appears when the cluster has been made.',
		connect: 'Connect from',
		language: 'Language',
		connectNote: 'The password is left out; put the one from Credentials into the variable.',
		credentials: 'Credentials',
		credentialsText: 'Stored encrypted. Showing them is written to the audit trail.',
		username: 'User', password: 'Password', url: 'URL',
		reveal: 'Show password', hide: 'Hide',
		hidesIn: (s: number) => `Hidden again in ${s} s`,
		rotate: 'Rotate credentials',
		care: 'Safety',
		resync: 'Resync replicas',
		resyncText: 'Gives every replica a fresh copy of its primary. The old data is set aside until the new copy streams.',
		resyncMembersText: 'Gives a member that holds what the others lack a fresh copy of theirs. What it held is set aside.',
		rotateText: 'New passwords on every node before the old ones stop.',
		addShardText: 'Adds a shard and moves its share of the slots to it.',
		diverged: (name: string) => `${name} holds writes that its primary lacks. They are set aside before a resync replaces them.`
	},
	inspect: {
		ask: 'Look at it before the endpoints open', askText: 'Nobody reaches it until you keep it; else what the cluster holds now comes back.',
		within: 'Time to look', times: { '900000': '15 minutes', '3600000': '1 hour', '28800000': '8 hours', '86400000': '24 hours' },
		trialTitle: 'The data can be looked at', trialText: 'The endpoints are closed: look with `clusterdeck node shell` or at the nodes\u2019 own addresses. Kept, the endpoints open. Else what the cluster held before comes back.',
		left: (s: number) => (s > 0 ? `Back to what it held before in ${s >= 120 ? `${String(Math.round(s / 60))} min` : `${String(s)} s`}` : 'Going back to what it held before'), keep: 'Keep this data', revert: 'Take it back now', kept: 'Kept'
	},
	expose: {
		here: 'Not open to other computers.', byList: 'Other computers reach it; its list says which.', byAll: 'Every computer that reaches this one can try to sign in.',
		open: 'Let others in', change: 'Change', form: 'Who can reach it', address: 'At this address', nobody: 'This computer only', port: 'Port', portFree: 'Next free', outside: 'From other computers', inside: 'From this computer'
	},
	access: {
		title: 'Access by address', change: 'Change', limit: 'Limit access', open: 'Open to every address', openText: 'Whoever reaches an endpoint may try to sign in.',
		listed: (n: number) => `${plural(n, 'entry', 'entries')} may come in`, more: (n: number) => `and ${n} more`, until: 'until', over: 'over',
		youIn: (from: string) => `You come from ${from}, which comes in.`, youOut: (from: string) => `You come from ${from}, which does not come in.`, youUnknown: 'Where you come from could not be found out.',
		where: 'Where it is held to', limited: 'Limited', notLimited: 'Not limited',
		form: 'Who may come in', address: 'Address or range', addressHint: '192.0.2.7, 10.0.0.0/8, 2001:db8::/32', comment: 'Comment', end: 'Until', add: 'Add an address', addMine: (from: string) => `Add mine (${from})`,
		remove: (cidr: string) => `Take ${cidr || 'this entry'} off the list`, nobody: 'The list is empty: every address may come in.',
		ends: { '': 'For good', '1h': '1 hour', '1d': '1 day', '7d': '7 days', '30d': '30 days' }, asSet: (when: string) => `Until ${when}`,
		trialTitle: 'This list is being tried', trialText: 'Keep it while you can still get in. Else the list before comes back by itself, also when Clusterdeck is closed.',
		left: (s: number) => (s > 0 ? `Back to the list before in ${s} s` : 'Going back to the list before'), keep: 'Keep this list', revert: 'Take it back now', kept: 'Kept'
	},
	parameters: {
		search: 'Search parameters', only: 'Only those that were set', none: 'No parameter fits.',
		emptyTitle: 'Nothing to set here', emptyText: 'The servers of this cluster have no settings that can be changed from here.',
		edits: (n: number) => `${plural(n, 'edit', 'edits')} not applied yet`, discard: 'Discard', ask: 'See what it would do',
		edited: 'Edited', set: 'Set', restart: 'Needs a restart', reset: 'Back to the default', willReset: 'Goes back to its default', willBeEmpty: 'Will be an empty text', undo: 'Undo the edit',
		needsValue: 'Enter a value, or undo the edit.', unfinished: (n: number) => `${plural(n, 'edit has', 'edits have')} no value yet`, old: (ago: string) => `The parameters could not be read again. Below is what was read ${ago}.`,
		inForce: (value: string) => `In force: ${value}`,
		fixed: (why: string) => `Not set here: ${why}.`,
		range: (min: number, max: number, unit: string) => (Math.abs(max) > 1e15 ? '' : `${min} to ${max}${unit ? ` ${unit}` : ''}`)
	},
	nodes: {
		columns: { name: 'Node', role: 'Role', state: 'State', plan: 'Plan', cpu: 'CPU', memory: 'Memory', disk: 'Disk', lag: 'Lag', seen: 'Last seen', menu: 'Changes' },
		menu: (name: string) => `Changes to ${name}`,
		details: 'Details',
		promote: 'Promote', drain: 'Drain', undrain: 'Put back into service', reboot: 'Reboot', remove: 'Remove',
		// From 0, as the API, the terminal and the engine count them: one number for one shard everywhere.
		shard: (n: number) => `Shard ${n}`,
		slots: (n: number) => plural(n, 'slot', 'slots'),
		follows: (name: string) => `follows ${name}`,
		lagZero: 'In step', lagUnknown: 'Unknown',
		of: (used: string, limit: string) => `${used} of ${limit}`,
		panel: { metrics: 'Metrics', logs: 'Logs', checks: 'Checks', label: (name: string) => `Node ${name}` },
		address: 'Address', plan: 'Plan', place: 'Place', data: 'Data', delay: 'Delay', openTransactions: 'Open transactions', limits: 'Limits enforced by', limitedBy: { 'server-settings': 'its own settings', 'cgroup-v2': 'the system (cgroup v2)', 'cgroup-v1': 'the system (cgroup v1)' } as Record<string, string>,
		lastHour: 'The last hour',
		table: 'Nodes'
	},
	checks: {
		process: 'Server process', processOk: 'Runs', processBad: 'Is not running',
		answers: 'Answers', answersOk: 'It answers on its port', answersBad: 'It does not answer', answersUnknown: 'Nobody could ask',
		role: 'Role', roleUnknown: 'It did not say what it is',
		replication: 'Replication', replicationUnknown: 'The link is unknown', replicationNone: 'Follows nobody',
		lag: 'Lag', lagOk: (lag: string) => `${lag} behind its primary`, lagUnknown: 'Unknown: changes that depend on it are blocked',
		memory: 'Memory', disk: 'Disk', room: (percent: string) => `${percent} of its limit used`, roomUnknown: 'Not measured',
		data: 'Data', dataOk: 'Holds nothing that its primary lacks', dataBad: 'Holds writes that its primary lacks',
		seen: 'Last seen', drained: 'Drained on purpose'
	},
	logs: {
		unit: 'Unit', filter: 'Only lines with', follow: 'Follow', followed: 'Following', paused: 'Paused', empty: 'No lines yet.', noMatch: 'No line has this text.',
		label: (name: string) => `Log of ${name}`, bounded: (n: number) => `The last ${n} lines are kept here.`, copy: 'Copy lines', refused: 'The log cannot be followed'
	},

	metrics: {
		range: 'Range', earlier: 'Earlier', later: 'Later', closer: 'Closer', live: 'Live', zoomed: 'Zoomed', resetZoom: 'Back to the range', export: 'Export',
		exportSvg: 'Picture (SVG)', exportPng: 'Picture (PNG)', exportCsv: 'Values (CSV)',
		ranges: { '5m': '5 min', '15m': '15 min', '1h': '1 h', '6h': '6 h', '24h': '24 h', '7d': '7 d', '30d': '30 d' },
		hint: 'Drag over a chart to zoom in; double-click goes back.',
		nodes: 'Nodes', allNodes: 'All nodes', some: (n: number, all: number) => `${n} of ${all} nodes`,
		empty: 'Nothing was measured in this time.', noValue: 'no value',
		chart: (title: string, nodes: number) => `${title}, ${plural(nodes, 'line', 'lines')}`,
		exportFailed: 'The picture could not be made',
		saved: (name: string) => `${name} was handed to the downloads`
	},

	backups: {
		title: 'Backups', now: 'Back up now', all: 'All backups', open: 'Show backups', table: 'Backups',
		proven: 'Last proven backup', unproven: 'No backup that was proven', next: 'Next one', unscheduled: 'By hand only', tooOld: (hours: number) => `Older than ${plural(hours, 'hour', 'hours')}, the limit in Settings`,
		underWay: 'Under way', beingMade: 'A backup is being made.', watch: 'Watch it',
		emptyTitle: 'No backups yet',
		emptyText: 'A backup is a copy of all data, from which a new cluster can be made. Each is tried on a throw-away machine, so that you know that it can be restored.',
		emptyAllText: 'Open a cluster and choose Backups: there you can make one now, or let them be made by themselves.', toClusters: 'Choose a cluster',
		/** The four kinds of the product. */
		kind: { local: 'Manual and scheduled local backups', snapshot: 'Automated snapshots', borg: 'Automated remote backups (Borg)', s3: 'Automated external backups (S3)' },
		kindShort: { local: 'Local', snapshot: 'Snapshot', borg: 'Remote (Borg)', s3: 'External (S3)' },
		kindNote: {
			local: 'In folders of the computer that runs Clusterdeck: quick to restore, but lost with it where they lie on its own disk.', snapshot: 'On the disk that the data is on, each whole and costing only what changed since the one before. They outlive the cluster, and are lost with that disk.',
			borg: 'Kept in a Borg repository.', s3: 'Kept in an S3-compatible store.'
		},
		noVault: {
			local: 'There is no vault on this computer.', snapshot: 'There is no place for snapshots.',
			borg: 'No Borg repository is set up yet, so no copy is kept on another computer.', s3: 'No S3 store is set up yet, so no copy is kept with a storage provider.'
		},
		none: 'None yet.', takeSnapshot: 'Take a snapshot', scheduleSnapshots: 'Schedule snapshots', sumSnapshots: (n: number) => plural(n, 'snapshot', 'snapshots'), onDisk: (size: string, free: string) => `All of this home together: ${size} on the disk, ${free} free`, added: (size: string) => `${size} more`, vaultProblem: (vault: string, problem: string) => `The vault ${vault} cannot be used: ${problem}`, sum: (n: number, size: string) => `${plural(n, 'backup', 'backups')}, ${size}`,
		columns: { cluster: 'Cluster', made: 'Made', state: 'State', size: 'Size', kept: 'Kept', vault: 'Vault', menu: 'Acts' },
		data: (size: string) => `${size} of data`, untried: 'Nobody has restored it yet', tried: 'Tried', stillUnderWay: 'Made, still under way',
		keptUntil: 'until', keptBySchedule: 'by its schedule', keptForGood: 'until it is deleted', gone: 'deleted',
		menu: (cluster: string) => `What to do with this backup of ${cluster}`, details: 'Show details', restore: 'Restore as a new cluster…', restoreInPlace: (cluster: string) => `Put it in the place of ${cluster}…`, verify: 'Verify', delete: 'Delete',
		count: (shown: number, all: number) => (shown === all ? plural(all, 'backup', 'backups') : `${shown} of ${plural(all, 'backup', 'backups')}`),
		search: 'Search backups', searchHint: 'Cluster, service or vault', state: 'State', cluster: 'Cluster', any: 'Any',
		noneTitle: 'No backup matches', noneText: 'The search and the filters leave nothing over.', clearFilter: 'Show all backups',
		reprieved: 'Its time ended while nobody was here: it stays a day longer.',
		deletedTitle: 'Recently deleted', deletedText: 'These clusters are gone. The last backup of each is kept for a while and brings it back.',
		deletedAt: 'Deleted', recover: 'Recover', recoverAs: 'Restore…', nameTaken: (name: string) => `There is another ${name} now, so it would get a new name.`,
		panel: {
			label: (cluster: string) => `A backup of ${cluster}`, made: 'Made', took: 'Took', verified: 'Verified', reason: 'Why it was made', kept: 'Kept', vault: 'Vault', size: 'Size in the vault', sizeAdded: 'Added to the vault', data: 'Data',
			service: 'Service', shape: 'Shape', place: 'Place and plan', operation: 'Made by', showOperation: 'Show its steps', id: 'Id', key: 'Sealed for the key',
			otherKey: 'Not the key that is in force now: it opens only with the one it was sealed for.', parts: 'What it holds', from: 'Copied from', upTo: 'Up to', checksum: 'Checksum (SHA-256)',
			stored: (data: string, stored: string) => `${data}, ${stored} in the vault`, storedMore: (data: string, more: string) => `${data}, ${more} more in the vault`, counted: 'Counted', nothingCounted: 'Nothing was counted', counts: (n: string, of: string) => `${n} ${of}`, between: (low: string, high: string) => `${low} to ${high}`,
			moreCounts: (n: number) => `${n} more`, parameters: (n: number) => `${plural(n, 'setting', 'settings')} of its servers`, empty: 'There is nothing of it in the vault.'
		},
		tryIt: 'Try it afterwards', tryItText: 'A server is started on it on a throw-away machine. Only then it counts as proven.', intoVault: 'Vault',
		download: {
			menu: 'Download…', title: 'Download this backup', text: 'The file is not encrypted: whoever has it has the data.', format: 'Format', begin: 'Download',
			formats: { copy: 'The files of the server', logical: 'A logical dump (SQL)' },
			about: { copy: 'A tar with what the server\u2019s own tools copied, and how a server is started on it.', logical: 'Statements that any server of this kind and version or a newer one loads, packed with zstd. Its first lines say how.' },
			nothing: 'It begins at once. Fetching it is written to the audit trail.', waits: 'It is restored on a throw-away machine first, so it takes a while until it begins. The cluster is not asked. Fetching it is written to the audit trail.',
			inFolder: 'It goes into your downloads folder.', meanwhile: 'It goes on when you close this, and tells you when it is there.', restoring: 'A server is being started on it…', asked: 'It is asked for…', written: (some: string, all: string | null) => (all === null ? `${some} so far` : `${some} of ${all}`), progress: 'How much has come',
			stop: 'Stop', again: 'Download again', saved: (file: string) => `Saved as ${file}`, savedAs: 'Saved as', path: 'the path', failed: (cluster: string) => `A backup of ${cluster} was not downloaded:`
		},
		keyNever: 'The backup key is kept nowhere else.', keyWhy: 'Without this key nobody can open the backups once this computer is lost.', keepKey: 'Keep the key'
	},
	restore: {
		name: 'Name of the new cluster', topology: 'Topology', nodes: 'Data nodes', provider: 'Provider', region: 'Region', plan: 'Plan of every node', asItWas: 'as it was', notUsable: 'cannot be used now',
		moment: 'As it was at a moment', momentText: 'The log that is archived beside the backups is replayed up to it. Off: what this backup holds.', line: 'Moment', exactly: 'Exactly', exactlyHint: 'Year-month-day hours:minutes:seconds.', unread: 'A moment reads 2026-11-29 12:00:00.', zone: 'Time zone',
		legend: (ranges: number) => (ranges === 1 ? 'Any second of the coloured part can be brought back. A mark is a backup.' : 'Any second of the coloured parts can be brought back; between them the log has a hole. A mark is a backup.'), inHole: 'The log has a hole here: this moment cannot be brought back.', baseAt: (at: string) => `Backup from ${at}`
	},
	schedules: {
		title: 'Schedule', create: 'Schedule backups', createAnother: 'Another schedule', change: 'Change', off: 'Turn off',
		rhythm: 'How often', next: 'Next', zone: 'Time zone', keep: 'Kept', tried: 'Tried', triedYes: 'Each, on a throw-away machine', triedNo: 'None: nobody sees whether they can be restored', between: 'In between', betweenYes: 'Any second', into: 'Into the vault',
		mode: 'When', every: 'Every so often', cron: 'At fixed times', count: 'Every', unit: 'Unit', units: { m: 'minutes', h: 'hours', d: 'days' }, fields: 'Times (cron)',
		fieldsHint: 'Minute, hour, day of the month, month, day of the week.', unread: 'Five fields, for example 0 3 * * * for every day at 03:00.',
		zoneHint: 'For the times and for where a day begins.', keepTitle: 'Which ones stay', keepText: 'The newest of each. The newest proven one always stays.', last: 'The last', daily: 'Days', weekly: 'Weeks', monthly: 'Months',
		verify: 'Try each of them', verifyText: 'On a throw-away machine. What is not tried is not proven.', pointInTime: 'Any second in between', pointInTimeText: 'Archives the log beside them, at most a minute behind, so that any second can be brought back.',
		everyText: (n: number, unit: 'm' | 'h' | 'd') => (n === 1 ? `Every ${{ m: 'minute', h: 'hour', d: 'day' }[unit]}` : `Every ${n} ${{ m: 'minutes', h: 'hours', d: 'days' }[unit]}`),
		dayText: (time: string) => `Every day at ${time}`, weekText: (days: string, time: string) => `Every ${days} at ${time}`, monthText: (day: number, time: string) => `On day ${day} of every month at ${time}`, hourText: (minute: string) => `Every hour at ${minute} past`, cronText: (fields: string) => `At ${fields}`,
		weekdays: ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'], range: (from: string, to: string) => `day from ${from} to ${to}`, and: 'and',
		keepLast: (n: number) => (n === 1 ? 'the last one' : `the last ${n}`), keepEach: (n: number, unit: 'day' | 'week' | 'month') => `one for each of ${plural(n, unit, `${unit}s`)}`, keepNothing: 'nothing'
	},
	alerts: {
		title: 'Alerts', emptyTitle: 'Nothing is wrong', emptyText: 'When a scheduled backup fails, turns out damaged, or a vault cannot be used, it is told here once, and is over by itself when it works again.',
		openTitle: 'To be looked at', overTitle: 'Over', none: 'Nothing is wrong now.', open: (n: number) => plural(n, 'open alert', 'open alerts'),
		severity: { warning: 'Warning', error: 'Error' }, over: 'Over', overAt: 'over', since: 'since', times: (n: number) => `met ${n} times`, last: 'last',
		backup: 'The backup', vault: (name: string) => `Vault ${name}`
	},
	vaults: {
		title: 'Vaults', text: 'Where backups go. The folder of this home and its snapshots are always there; a copy elsewhere outlives this computer.',
		add: 'Add a vault', setUp: 'Set one up', check: 'Test', remove: (name: string) => `Remove ${name}`, removeTitle: (name: string) => `Remove the vault ${name}?`,
		removeText: 'It is no longer known here. What lies in it stays as it is.', removed: (name: string) => `${name} is no longer known. What lies in it stays.`,
		usable: 'Can be used', fault: { unreachable: 'Cannot be reached', full: 'Full', refused: 'Does not let us in' }, unusable: 'Cannot be used',
		holds: (n: number, size: string) => (n === 0 ? 'No backups' : `${plural(n, 'backup', 'backups')}, ${size}`), free: (size: string) => `${size} free`, answered: (name: string) => `${name} answers and can be written to.`,
		addTitle: 'Add a vault', addText: 'It is asked before it is kept.', kind: 'Kind', kinds: { local: 'Folder', s3: 'S3', borg: 'Borg' },
		about: {
			local: 'Another disk of this computer, or a share. Backups are encrypted before they get there.',
			s3: 'A bucket of an S3-compatible store. Backups are encrypted before they get there.',
			borg: 'A Borg repository, on this computer or another one through ssh. What is alike in two backups lies there once.'
		},
		name: 'Name', nameHint: 'a–z, 0–9 and -. It cannot be changed later.', path: 'Folder', pathHint: 'From the root on. It is made when it is not there.',
		endpoint: 'Address of the store', bucket: 'Bucket', bucketHint: 'It must be there already.', prefix: 'Folder in the bucket (optional)', region: 'Region', regionHint: 'Many stores take any.',
		accessKey: 'Access key', secretKey: 'Secret key', repository: 'Repository', repositoryHint: 'A path from the root on, or ssh://user@host/path. It is made when it is not there.',
		secretTitle: (name: string) => `Change the secret of ${name}`, secretText: 'It is kept once the vault has answered to it; until then the one before stays. What lies in the vault is not touched.',
		secretSubmit: 'Change secret', secretChanged: (name: string) => `${name} answered to its new secret.`, accessKeySame: 'Empty: it stays the same.',
		passphrase: 'Passphrase', passphraseHint: 'Keep it elsewhere too: without it nobody reads this repository.', secretHint: 'It goes to the keyring and is not shown again.',
		test: 'Test', good: 'It answers.', goodNew: 'It can be made there.', added: (name: string) => `${name} can be used for backups now.`
	},
	backupKey: {
		title: 'Backup key', text: 'Backups are encrypted with this key. Whoever has it and a vault can read them; without it nobody can.',
		public: 'Public half', none: 'There is no key yet. The first backup makes it.', shown: 'Last shown', neverShown: 'Never: nobody has a copy of it elsewhere',
		show: 'Show the key', hide: 'Hide', secret: 'Secret half', copyLabel: 'the key', download: 'Download as a file', file: 'clusterdeck-backup-key.txt', fileText: (name: string, secret: string) => `# opens the backups that Clusterdeck sealed for ${name}\n${secret}\n`,
		keepWhere: 'Keep it where it is not lost together with this computer: in a password manager, or on paper.', showNote: 'Showing it is written to the audit trail.',
		bring: 'Bring a key back', bringText: 'So that backups which were sealed for it can be read again. The key in force stays.', bringField: 'The key, or the whole file it was kept in', bringHint: 'It begins with AGE-SECRET-KEY-1.', brought: 'The key is back: what was sealed for it can be read again.'
	},

	operations: {
		title: 'Activity', under: 'Under way', ended: 'Ended', emptyTitle: 'Nothing has been changed yet',
		emptyText: 'Every change is written here with its steps, as it runs and afterwards.',
		idle: 'Nothing is under way.',
		by: (actor: string) => `by ${actor}`, took: (t: string) => `took ${t}`, runs: (t: string) => `runs for ${t}`,
		steps: 'Steps', step: (n: number, all: number) => `Step ${n} of ${all}`,
		journal: 'Journal', journalText: 'What was written down before and after each step, in the time of this computer.',
		retry: 'Take it up again', retryText: 'What is done stays done: this cannot be taken back, only finished. Solve the cause, then go on at the step that failed.',
		cancel: 'Cancel operation', cancelling: 'Stopping', cancelNote: 'What it has done so far is taken back.',
		writeGap: 'Writes were not possible for', outcome: 'Outcome', made: 'Made', notes: 'Notes',
		progress: (done: string, total: string) => `${done} of ${total}`,
		goneTitle: 'There is no such operation', goneText: 'The link may be old, or it belongs to another connection.', operation: 'Operation', all: 'All activity', cluster: 'Cluster', asked: 'Asked', by2: 'Asked by', endedAt: 'Ended', table: 'Operations'
	},
	audit: {
		title: 'Audit trail', emptyTitle: 'Nothing written yet', emptyText: 'Who changed what and when, and what happened by itself.',
		columns: { at: 'When', actor: 'Who', what: 'What', result: 'Result' },
		result: { asked: 'Asked', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled', refused: 'Refused', noticed: 'Noticed' } as Record<string, string>,
		search: 'Search in what is shown', steps: 'Show its steps', table: 'Audit trail', none: 'No line has this text.'
	},

	change: {
		preparing: 'Working out what would happen', cannot: 'This cannot be looked at now',
		effects: 'What will happen', warnings: 'Know before you go on', blockers: 'Not possible now', hint: 'What to do',
		downtime: 'Expected time without writes', noDowntime: 'None', upTo: (t: string) => `up to ${t}`,
		type: (name: string) => `Type ${name} to confirm`, typeLabel: 'Confirmation',
		stale: 'The cluster has changed since this was worked out. This is what would happen now.',
		expired: 'This was worked out a while ago, so it was done again.',
		/** The button of a change whose title tells more than the act. */
		act: { 'restore-backup': 'Restore as a new cluster', 'restore-in-place': 'Replace what it holds', 'verify-backup': 'Verify this backup', 'delete-backup': 'Delete this backup' } as Record<string, string>,
		back: 'Back to the first change', running: 'Under way', done: 'Done', failed: 'Failed', cancelled: 'Cancelled',
		runsOn: 'You may close this; it goes on and Activity shows it.', toActivity: 'Open in Activity',
		wayOutDone: 'The way is clear', again: 'Work it out again', offline: 'You see a copy. Changes need the connection.',
		count: 'How many nodes', plan: 'Size of the new nodes', planSame: 'As the cluster', resizePlan: 'Plan of every node', version: 'Version of every node', newest: 'The newest of its line', versionNow: 'What it has now', samePlan: 'This is its plan now. Choose another one to see what would happen.', discard: 'Keep no last backup',
		discardText: 'Its other backups go as well, and nothing can be brought back.', shard: 'Which shard'
	},

	migration: {
		title: 'Migration', text: 'Bring the data of a server elsewhere into this cluster. Its data is only read.', begin: 'Migrate database', logs: 'Show migration logs',
		underWay: 'A migration is under way', cutOver: 'Cut over', stepOf: (n: number) => `Step ${n} of 3`, configure: 'Where the data is', checks: 'Checks', from: 'Address of the source',
		password: 'Password', passwordHint: 'Kept in the keyring while the migration lasts, and nowhere else. Empty where the address has it, or none is needed.',
		ca: 'Authority’s certificate (optional)', caFile: 'Choose a file', caHint: 'For a managed service with an authority of its own: the PEM that it offers for download. The source is then always verified by it.',
		caKey: 'That was a private key, which nobody else may see. It was not kept. Give only the certificates of the authority.', caLarge: 'That has more than 192 KiB. Give only the certificates of the authority that signs this server.',
		follow: 'Follow the source until I cut over',
		replace: 'Replace what has the same name', replaceText: 'Otherwise a name that is there already refuses the migration.',
		way: { online: 'Online', dump: 'By a dump' },
		wayText: { online: 'Clients may go on writing to the source until you cut over.', dump: 'What is written to the source from when the copy begins stays behind. Warnings below say why it cannot be followed.' },
		validate: 'Validate', refused: 'What failed must be put right first.',
		state: { passed: 'Passed', warning: 'Warning', failed: 'Failed', skipped: 'Not looked at' },
		gap: 'From the last write that came along until the cluster had it', compared: 'Both sides', part: 'Part', source: 'Source', target: 'Cluster', sums: 'Checksums', same: 'the same', differs: 'differ',
		cameIn: (n: number, size: string) => `${n} rows or keys, ${size}`, upTo: (at: string, gap: string) => `Everything written up to ${at}; the cluster had it ${gap} later.`
	},

	wizard: {
		title: 'New cluster',
		steps: { service: 'Service', place: 'Place and size', shape: 'Name and shape' },
		stepOf: (n: number) => `Step ${n} of 3`,
		search: 'Search services', category: 'Category', allCategories: 'All', none: 'No service fits.',
		coming: 'Coming', missing: 'Needs software', ready: 'Ready', chosen: 'Chosen',
		comingText: 'This service is in the catalogue but cannot be created in this version yet.',
		missingTitle: (place: string) => `${place}: software is missing`, missingText: (program: string, purpose: string) => `${program}: ${purpose}`,
		noInstall: 'Install it with your system’s package tool.', recheck: 'Look again',
		details: 'Details', ports: 'Ports', licence: 'Licence', versions: 'Release lines known', installed: 'Installed', fetched: 'Fetched first', carriers: 'Loaded into', carrier: (version: string, server: string) => `${server} (${version})`, caution: 'Know first',
		version: 'Version', newest: 'Newest', isInstalled: 'installed', isFetched: 'fetched first',
		whereTitle: 'Where it can run', notAsked: 'This place could not be asked', nowhere: (service: string) => `${service} cannot run here now`,
		provider: 'Provider', region: 'Region', plan: 'Plan', notUsable: 'Cannot be used now', why: 'Why, and what to do',
		noProviders: 'No provider is set up, so there is nowhere to make a cluster.', noRegions: (provider: string) => `${provider} has no region that can be used now.`, noPlans: (provider: string) => `${provider} offers no plan in this region.`,
		planFacts: (cpus: number, memory: string, disk: string) => `${cpus} ${cpus === 1 ? 'core' : 'cores'}, ${memory} memory, ${disk} disk`,
		name: 'Name', nameHint: 'a–z, 0–9 and -, at most 40 characters. It cannot be changed later.',
		topology: 'Topology', nodes: 'Data nodes', shards: 'Shards', replicasEach: (n: number) => (n === 0 ? 'No replicas' : `${plural(n, 'replica', 'replicas')} each`),
		witness: 'A third machine only votes, so that two nodes can agree on a failover.',
		fewer: 'Fewer', more: 'More',
		advanced: 'Advanced options', protect: 'Termination protection', protectText: 'The cluster cannot be deleted until it is switched off.',
		autoFailover: 'Automatic failover', autoFailoverText: 'A dead primary is replaced without anybody asking.',
		failoverByHand: (line: string) => `Not available: ${line}’s replication has no vote of its own. When the primary fails, writes stop until it is back or you promote a replica.`,
		failoverNever: 'Not needed: every node takes writes, so there is no primary to replace.',
		summary: 'Summary', price: 'Price', notBilled: 'Nothing is billed',
		hourly: 'per hour', monthly: 'per month (730 h)', perNode: (n: number) => `for ${plural(n, 'machine', 'machines')}`,
		create: (name: string) => (name ? `Create ${name}` : 'Create cluster'), checking: 'Checking', unsolved: (n: number) => `To be solved first: ${plural(n, 'problem', 'problems')}, listed above`, uncheckedFault: 'It could not be checked; the reason stands above.',
		waitsFor: { services: 'Looking for services', providers: 'Looking for providers', regions: 'Looking for regions', plans: 'Looking for plans' },
		failedOf: { services: 'The services could not be listed; see step 1.', providers: 'The providers could not be listed; see step 2.', regions: 'The regions could not be listed; see step 2.', plans: 'The plans could not be listed; see step 2.' },
		noService: 'Choose a service first.', stepHasProblem: 'has something to be solved', problems: 'To be solved', warnings: 'Know before you go on',
		discard: 'Start over', draftKept: 'The draft is kept until you create or discard it.',
		creating: (name: string) => `Creating ${name}`, openCluster: 'Open the cluster', failedBack: 'Back to the draft', goesOn: 'You may leave this page; the work goes on.'
	},

	connections: {
		label: 'Connection', embedded: 'This computer', manage: 'Add a server', add: 'Add server', title: 'Add a server',
		text: 'A Clusterdeck server shows its address and a token when it starts (clusterdeck serve).',
		name: 'Name', url: 'Address', token: 'Token', fingerprint: 'Certificate fingerprint', fingerprintHint: 'Only for a server that made its certificate itself; it prints this when it starts.', nameHint: 'office', urlHint: 'https://decks.example.org:7443', removeTitle: (name: string) => `Remove ${name}?`,
		removeText: 'Its clusters go on running; only this entry and its token are forgotten.', remove: (name: string) => `Remove ${name}`,
		reachable: 'Reachable', unreachable: 'Not reachable', unknown: 'Not asked yet', lastSeen: (ago: string) => `last seen ${ago}`, switched: (name: string) => `Now showing ${name}`
	},
	offline: {
		asOf: (ago: string) => `You see a copy, as of ${ago}. Changes are not possible until the connection is back.`,
		away: 'The server cannot be reached. Changes are not possible until it is back; its clusters go on running.',
		unreachable: 'Clusterdeck does not answer. What you see is the last it said; clusters go on running.', retry: 'Try now'
	},
	signin: {
		title: 'Sign in to Clusterdeck', text: 'This page belongs to a Clusterdeck server. Paste the token it showed when it was started, or open the address it printed.',
		token: 'Token', submit: 'Sign in', wrong: 'This token is not valid, or not any more.'
	},
	settings: {
		title: 'Settings', appearance: 'Appearance', theme: 'Theme', themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
		window: 'Window', tray: 'Close to tray', trayText: 'Closing the window keeps watching the clusters from the tray.',
		notifications: 'Notifications', notificationsText: 'Tell me when a node fails, recovers, or was replaced, and when backups need attention.',
		figures: 'Safety limits', figuresText: 'Every change is checked against these limits before it starts, and says so when one stands in its way.',
		max_promotion_lag_bytes: 'Largest lag of a replica that may be promoted', max_observation_age_ms: 'A node not seen for longer than this counts as unknown',
		disk_headroom_percent: 'Free disk kept beyond the size of a copy', memory_reserve_bytes: 'Memory kept free for everything else on this computer',
		backup_age_hours: 'Warn when the last backup is older than', open_transaction_seconds: 'List transactions before a promotion when they are open for', keep_within_ms: 'Take a list of addresses back that leaves you out, unless it is kept within', hours: 'hours', seconds: 'seconds', mib: 'MiB', percentUnit: '%', defaults: 'Set back to the defaults',
		images: 'Container images', imagesText: 'Where the images of servers come from when a cluster is made of containers. The makers’ own are taken unless you name others.',
		mirror: 'Registry mirror', ownImages: 'Own images', ownImagesHint: 'One a line: the service with its release line, then the image. For example: postgresql:17 registry.example.com/postgres-patroni:17',
		savedToast: 'Settings saved', about: 'About', version: 'Version', home: 'Home', host: 'Host', secrets: 'Secrets', started: 'Engine started', notANumber: 'Enter a number of 0 or more.'
	},
	palette: {
		title: 'Command palette', placeholder: 'Search screens, clusters and changes', none: 'Nothing found.', screens: 'Screens', clusters: 'Clusters', changes: 'Changes', hint: 'Type a name or an act, for example “promote”. A change shows what will happen before anything is done.',
		addNode: (c: string) => `Add node to ${c}`, addShard: (c: string) => `Add shard to ${c}`, resize: (c: string) => `Resize ${c} (change its plan)`, upgrade: (c: string) => `Upgrade ${c} to a newer version`, resync: (c: string) => `Resync ${c}`, rotate: (c: string) => `Rotate credentials of ${c}`,
		access: (c: string) => `Limit access to ${c}`, unexpose: (c: string) => `Close ${c} to other computers`, protect: (c: string) => `Protect ${c} from deletion`, unprotect: (c: string) => `Switch off protection of ${c}`, failoverOn: (c: string) => `Switch on automatic failover of ${c}`,
		failoverOff: (c: string) => `Switch off automatic failover of ${c}`, delete: (c: string) => `Delete ${c}`, backUp: (c: string) => `Back up ${c}`, clone: (c: string) => `Clone ${c}`, backups: (c: string) => `Backups of ${c}`, promote: (n: string) => `Promote ${n}`, drain: (n: string) => `Drain ${n}`,
		undrain: (n: string) => `Put ${n} back into service`, reboot: (n: string) => `Reboot ${n}`, removeNode: (n: string) => `Remove ${n}`, metrics: (c: string) => `Metrics of ${c}`, parameters: (c: string) => `Parameters of ${c}`, removeShard: (c: string) => `Remove a shard from ${c}`,
		optionOn: (option: string, c: string) => `Switch on “${option}” of ${c}`, optionOff: (option: string, c: string) => `Switch off “${option}” of ${c}`, nodes: (c: string) => `Nodes of ${c}`
	},
	notFound: { title: 'There is nothing at this address', text: 'The link may be old.', home: 'To the clusters' }
};

export type Messages = typeof en;
