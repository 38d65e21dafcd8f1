// What a cluster is, in a line of names and values above its cards.
import type { Cluster, Service } from '$lib/api/types';
import { m } from '$lib/messages';

/** What its own servers say of themselves, each thing once. */
const told = (cluster: Pick<Cluster, 'nodes'>, fact: string): string[] => [
	...new Set(cluster.nodes.flatMap((n) => n.facts.filter((f) => f.id === fact).map((f) => f.value)))
];

/** The licence by the catalogue, with the edition where the servers name one. */
export function licenceOf(cluster: Pick<Cluster, 'nodes'>, service: Pick<Service, 'licence'> | undefined): string | null {
	const editions = told(cluster, 'edition');
	if (!service) return editions.length > 0 ? m.cluster.edition(editions.join(', ')) : null;
	return editions.length > 0 ? `${service.licence} (${m.cluster.edition(editions.join(', '))})` : service.licence;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
/** What to know about a service that goes on being used: that its makers have left it, for one. */
export const cautionOf = (cluster: Pick<Cluster, 'nodes'>, service: Pick<Service, 'caution'> | undefined): string | null =>
	service?.caution ?? (told(cluster, 'maintenance').map(capital).join(', ') || null);

/** The name of a region; null while the answer is awaited, and the id where there is no name to be had. */
export const placeName = (region: string, regions: { data?: { id: string; name: string }[]; isPending: boolean }): string | null =>
	regions.data?.find((r) => r.id === region)?.name ?? (regions.isPending ? null : region);
