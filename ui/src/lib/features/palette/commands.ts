// Everything the palette can reach, and how well each fits what was typed.
import type { Change, Cluster, Service } from '$lib/api/types';
import { grows, offerOf, lineOf, resyncs } from '$lib/api/offer';
import { actsOf, changeOf } from '$features/nodes/acts';
import { m } from '$lib/messages';

export interface Command {
	id: string;
	group: 'screens' | 'clusters' | 'changes';
	label: string;
	/** Said smaller beside the label. */
	note?: string;
	href?: string;
	change?: Change;
}

/** At most so many of a group are shown: with thousands of clusters the rest is reached by typing more. */
const SHOWN: Record<Command['group'], number> = { screens: 8, clusters: 12, changes: 12 };

/** Without the catalogue, which comes a moment later, what only some services have is left out. */
export function commandsOf(clusters: Cluster[], services: Pick<Service, 'id' | 'parameters' | 'lines'>[] = []): Command[] {
	const screens: Command[] = [
		{ id: 'clusters', group: 'screens', label: m.nav.clusters, href: '/clusters' },
		{ id: 'deploy', group: 'screens', label: m.clusters.create, href: '/deploy' },
		{ id: 'activity', group: 'screens', label: m.nav.activity, href: '/activity' },
		{ id: 'backups', group: 'screens', label: m.nav.backups, href: '/backups' },
		{ id: 'alerts', group: 'screens', label: m.nav.alerts, href: '/alerts' },
		{ id: 'audit', group: 'screens', label: m.nav.audit, href: '/audit' },
		{ id: 'settings', group: 'screens', label: m.nav.settings, href: '/settings' }
	];
	const out = [...screens];
	const known = new Map(services.map((s) => [s.id, s]));
	for (const c of clusters) {
		const base = `/clusters/${c.name}`;
		out.push({ id: base, group: 'clusters', label: c.name, note: m.clusterState[c.state], href: base });
		out.push({ id: `${base}/nodes`, group: 'clusters', label: m.palette.nodes(c.name), href: `${base}/nodes` });
		out.push({ id: `${base}/metrics`, group: 'clusters', label: m.palette.metrics(c.name), href: `${base}/metrics` });
		out.push({ id: `${base}/backups`, group: 'clusters', label: m.palette.backups(c.name), href: `${base}/backups` });
		const add = (label: string, change: Change): void => void out.push({ id: `${base}:${label}`, group: 'changes', label, change });
		const service = known.get(c.service);
		if (service?.parameters) out.push({ id: `${base}/parameters`, group: 'clusters', label: m.palette.parameters(c.name), href: `${base}/parameters` });
		const offer = offerOf(services, c);
		if (grows(lineOf(services, c), c.topology)) add(m.palette.addNode(c.name), { kind: 'add-node', cluster: c.name, count: 1 });
		if (c.topology === 'sharded') {
			add(m.palette.addShard(c.name), { kind: 'add-shard', cluster: c.name });
			add(m.palette.removeShard(c.name), { kind: 'remove-shard', cluster: c.name, shard: Math.max(0, c.shards - 1) });
		}
		add(m.palette.backUp(c.name), { kind: 'back-up', cluster: c.name });
		add(m.palette.clone(c.name), { kind: 'clone-cluster', cluster: c.name });
		add(m.palette.resize(c.name), { kind: 'resize-cluster', cluster: c.name, plan: c.plan });
		add(m.palette.upgrade(c.name), { kind: 'upgrade-cluster', cluster: c.name });
		if (resyncs(offer, c.topology)) add(m.palette.resync(c.name), { kind: 'resync-cluster', cluster: c.name });
		add(m.palette.access(c.name), { kind: 'set-allowlist', cluster: c.name, entries: c.allowlist });
		// Where it shall be opened is chosen on its page, which knows the addresses.
		if (c.endpoints.some((e) => e.exposed)) add(m.palette.unexpose(c.name), { kind: 'expose-endpoint', cluster: c.name, on: null });
		add(m.palette.rotate(c.name), { kind: 'rotate-credentials', cluster: c.name });
		add(c.protected ? m.palette.unprotect(c.name) : m.palette.protect(c.name), { kind: 'set-protection', cluster: c.name, enabled: !c.protected });
		if (offer?.failover === 'by-vote') {
			const on = c.auto_failover.enabled;
			add(on ? m.palette.failoverOff(c.name) : m.palette.failoverOn(c.name), { kind: 'set-auto-failover', cluster: c.name, enabled: !on });
		}
		for (const option of offer?.options ?? []) {
			const on = c.options[option.id];
			const label = on ? m.palette.optionOff(option.name, c.name) : m.palette.optionOn(option.name, c.name);
			add(label, { kind: 'set-options', cluster: c.name, options: { [option.id]: !on } });
		}
		add(m.palette.delete(c.name), { kind: 'delete-cluster', cluster: c.name });
		const words = { promote: m.palette.promote, drain: m.palette.drain, undrain: m.palette.undrain, reboot: m.palette.reboot, remove: m.palette.removeNode };
		for (const n of c.nodes) for (const act of actsOf(c, n)) add(words[act](n.name), changeOf(act, n));
	}
	return out;
}

/** Every word must be found; a word found at the start of a word counts more. Nothing typed: screens and clusters only. */
export function found(commands: Command[], text: string): Command[] {
	const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
	const counts = { screens: 0, clusters: 0, changes: 0 };
	const scored = words.length === 0
		? commands.filter((c) => c.group === 'screens' || (c.group === 'clusters' && c.note !== undefined)).map((command) => ({ command, score: 0 }))
		: commands.map((command) => ({ command, score: scoreOf(command.label.toLowerCase(), words) })).filter((c) => c.score > 0);
	return scored
		.sort((a, b) => b.score - a.score)
		.map((c) => c.command)
		.filter((c) => counts[c.group]++ < SHOWN[c.group]);
}

function scoreOf(label: string, words: string[]): number {
	let score = 0;
	for (const word of words) {
		const at = label.indexOf(word);
		if (at < 0) return 0;
		score += at === 0 ? 4 : /[\s-]/.test(label[at - 1] ?? '') ? 3 : 1;
		if (label === word) score += 8;
	}
	return score + 1 / label.length;
}
