// What a backup would be restored as, or a cluster cloned: what was chosen, and as it was in everything nobody chose. The rules are the API's; the
// form shows beforehand what they come to.
import type { BackedUp, Line, Plan, Provider, Region, Service, ShapeWish, TopologyEntry } from '$lib/api/types';

/** The most characters that a cluster's name may have. */
const LONGEST = 40;

/** The old name where it is free; else `demo-restored`, `demo-restored-2`… as far as a name may be long. */
export function restoredName(name: string, taken: string[], ending = '-restored'): string {
	if (!taken.includes(name)) return name;
	const fitting = (ending: string): string => name.slice(0, LONGEST - ending.length).replace(/-+$/, '') + ending;
	for (let n = 1; n < 100; n++) {
		const one = fitting(n === 1 ? ending : `${ending}-${n}`);
		if (!taken.includes(one)) return one;
	}
	return fitting(ending);
}

/** What of a cluster decides what may be made of it. */
export type Origin = Pick<BackedUp, 'name' | 'service' | 'version' | 'topology' | 'nodes' | 'shards' | 'provider' | 'region' | 'plan'>;

export interface RestoreOffers {
	service: Pick<Service, 'lines' | 'places'> | undefined;
	clusterNames: string[];
	providers: Provider[];
	regions: Region[];
	plans: Plan[];
	/** What goes behind a name that is taken. */
	ending?: string;
}
export interface Restored {
	name: string;
	topologies: TopologyEntry[];
	topology: TopologyEntry | null;
	nodes: number;
	fewest: number;
	most: number;
	/** Data nodes are added or taken away so many at a time. */
	step: number;
	provider: string;
	region: string;
	plan: string;
}

/** Sharded data stays sharded, in as many shards; the rest may become any other shape of its maker. */
export function restored(wish: ShapeWish, of: Origin, offers: RestoreOffers): Restored {
	const sharded = of.topology === 'sharded';
	const topologies = (lineFor(of, offers.service)?.topologies ?? []).filter((t) => (t.topology === 'sharded') === sharded);
	const wanted = wish.topology ?? of.topology;
	const topology = topologies.find((t) => t.topology === wanted) ?? null;
	const step = sharded ? Math.max(1, of.shards) : 1;
	const fewest = sharded ? step : (topology?.min_nodes ?? 1);
	const most = topology ? Math.floor(topology.max_nodes / step) * step : of.nodes;
	const provider = wish.provider ?? of.provider;
	return {
		name: wish.name ?? restoredName(of.name, offers.clusterNames, offers.ending),
		topologies, topology, step, fewest, most,
		nodes: wish.nodes ?? (wanted === of.topology ? of.nodes : (topology?.default_nodes ?? of.nodes)),
		provider,
		region: wish.region ?? (wish.provider == null ? of.region : (offers.regions[0]?.id ?? '')),
		plan: wish.plan ?? of.plan
	};
}

/** The maker of the version that was backed up, or the first of its service. */
function lineFor(of: Origin, service: RestoreOffers['service']): Line | null {
	const offered = service?.places.flatMap((p) => p.versions).find((v) => v.version === of.version);
	return service?.lines.find((l) => l.name === offered?.line) ?? service?.lines[0] ?? null;
}
