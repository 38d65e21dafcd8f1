// Which clusters are shown and in which order. What needs attention comes first.
import type { Cluster, ClusterState, Node, ServiceKind } from '$lib/api/types';

export interface Filter {
	text: string;
	state: ClusterState | '';
	service: ServiceKind | '';
}

const URGENCY: Record<ClusterState, number> = { down: 0, degraded: 1, creating: 2, changing: 2, deleting: 2, running: 3 };
const collator = new Intl.Collator('en', { numeric: true });

/** A deletion that failed has no way back, and nobody works on it any more. */
export function halfDeleted(cluster: Pick<Cluster, 'state' | 'busy'>): boolean {
	return cluster.state === 'deleting' && cluster.busy === null;
}

export function urgent(cluster: Pick<Cluster, 'state' | 'busy'>): boolean {
	return cluster.state === 'down' || cluster.state === 'degraded' || halfDeleted(cluster);
}

export function shownClusters(clusters: Cluster[], filter: Filter, place: (cluster: Cluster) => string = (c) => c.region): Cluster[] {
	const words = filter.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
	return clusters
		.filter((c) => (filter.state === '' || c.state === filter.state) && (filter.service === '' || c.service === filter.service))
		.filter((c) => words.every((word) => matches(c, place(c), word)))
		.sort((a, b) => Math.min(URGENCY[a.state], 2) - Math.min(URGENCY[b.state], 2) || URGENCY[a.state] - URGENCY[b.state] || collator.compare(a.name, b.name));
}

function matches(cluster: Cluster, place: string, word: string): boolean {
	return (
		cluster.name.includes(word) ||
		cluster.service.includes(word) ||
		place.toLowerCase().includes(word) ||
		cluster.region.toLowerCase().includes(word) ||
		cluster.provider.toLowerCase().includes(word) ||
		cluster.nodes.some((n) => n.name.includes(word) || n.address.startsWith(word)) ||
		cluster.endpoints.some((e) => e.host.startsWith(word))
	);
}

/** The sum of a measurement over nodes; null when no node measured it, so that unknown is not shown as zero. */
export function total(nodes: Node[], of: (node: Node) => number | null): number | null {
	let sum: number | null = null;
	for (const node of nodes) {
		const value = of(node);
		if (value !== null) sum = (sum ?? 0) + value;
	}
	return sum;
}
