// What somebody has chosen in the wizard so far. Kept in localStorage, so that closing the window loses nothing.
import type { CreateCluster, OptionEntry, OptionWish, Plan, Provider, Region, Service, ServiceKind, Topology, TopologyEntry } from '$lib/api/types';

export interface Draft {
	step: 1 | 2 | 3;
	service: ServiceKind | null;
	version: string | null;
	provider: string | null;
	region: string | null;
	plan: string | null;
	/** Null until somebody types one; a name is suggested meanwhile. */
	name: string | null;
	topology: Topology | null;
	nodes: number | null;
	shards: number | null;
	protected: boolean;
	autoFailover: boolean;
	options: OptionWish;
}

export const EMPTY: Draft = {
	step: 1, service: null, version: null, provider: null, region: null, plan: null, name: null, topology: null, nodes: null, shards: null,
	protected: false, autoFailover: true, options: {}
};

/** Reads a kept draft; whatever does not look like one gives an empty draft. */
export function restore(text: string | null): Draft {
	if (!text) return { ...EMPTY };
	try {
		const kept = JSON.parse(text) as Partial<Draft>;
		const draft = { ...EMPTY, ...kept };
		return draft.step === 1 || draft.step === 2 || draft.step === 3 ? draft : { ...EMPTY };
	} catch {
		return { ...EMPTY };
	}
}

/** `redis-1`, or the next number that no cluster has. */
export function suggestedName(service: string, taken: string[]): string {
	for (let n = 1; ; n++) if (!taken.includes(`${service}-${n}`)) return `${service}-${n}`;
}

export const usable = (service: Service): boolean => service.available && !service.coming;

/** What there is to choose from, as far as it is known. */
export interface Offers {
	services: Service[];
	providers: Provider[];
	regions: Region[];
	plans: Plan[];
	clusterNames: string[];
}

/** The draft with a sensible default for everything nobody chose. */
export interface Chosen {
	service: Service | null;
	version: string | null;
	provider: Provider | null;
	region: Region | null;
	plan: Plan | null;
	name: string;
	topology: TopologyEntry | null;
	nodes: number;
	shards: number;
	/** Machines in all: two data nodes get a third that only votes. */
	machines: number;
}

/** The size a first cluster starts with; the smallest one where it is not offered. */
const DEFAULT_PLAN = 'SMALL-1C-1G';

export function choose(draft: Draft, offers: Offers): Chosen {
	const { services, providers, regions, plans } = offers;
	const ready = services.filter(usable);
	const service = services.find((s) => s.id === draft.service) ?? ready[0] ?? null;
	const provider = providers.find((p) => p.id === draft.provider) ?? providers.find((p) => p.usable) ?? providers[0] ?? null;
	const region = regions.find((r) => r.id === draft.region) ?? regions[0] ?? null;
	const plan = plans.find((p) => p.id === draft.plan) ?? plans.find((p) => p.id === DEFAULT_PLAN) ?? plans[0] ?? null;
	const topology = service?.topologies.find((t) => t.topology === draft.topology) ?? service?.topologies[0] ?? null;
	const sharded = topology?.topology === 'sharded';
	const shards = sharded && topology ? clamp(draft.shards ?? topology.default_shards, 3, Math.max(3, topology.max_nodes)) : 0;
	const nodes = topology ? nodeCount(draft, topology, shards) : 0;
	const version = service?.installed_versions.find((v) => v === draft.version) ?? null;
	return {
		service, provider, region, plan, topology, version, nodes, shards,
		name: draft.name ?? (service ? suggestedName(service.id, offers.clusterNames) : ''),
		machines: topology?.topology === 'primary-replica' && nodes === 2 ? 3 : nodes
	};
}

/** Data nodes: within what the topology takes, and the same for every shard. */
function nodeCount(draft: Draft, topology: TopologyEntry, shards: number): number {
	if (topology.topology !== 'sharded') return clamp(draft.nodes ?? topology.default_nodes, topology.min_nodes, topology.max_nodes);
	const each = draft.nodes === null ? topology.default_nodes / Math.max(1, topology.default_shards) : Math.round(draft.nodes / shards);
	return clamp(Math.max(1, each), 1, Math.max(1, Math.floor(topology.max_nodes / shards))) * shards;
}

const clamp = (value: number, min: number, max: number): number => Math.min(max, Math.max(min, value));

/** The change the wizard asks for; null while there is nothing to ask. */
export function creation(draft: Draft, chosen: Chosen): ({ kind: 'create-cluster' } & CreateCluster) | null {
	const { service, provider, region, plan, topology } = chosen;
	if (!service || !topology) return null;
	const fails = topology.topology !== 'single';
	return {
		kind: 'create-cluster',
		name: chosen.name,
		service: service.id,
		version: chosen.version,
		topology: topology.topology,
		nodes: chosen.nodes,
		shards: topology.topology === 'sharded' ? chosen.shards : null,
		provider: provider?.id ?? null,
		region: region?.id ?? null,
		plan: plan?.id ?? null,
		protected: draft.protected,
		auto_failover: fails ? draft.autoFailover : null,
		options: offered(draft.options, topology)
	};
}

/** How a switch of the topology stands in the draft. */
export const isOn = (option: OptionEntry, draft: Draft, nodes: number): boolean => draft.options[option.id] ?? (option.default_on && nodes >= option.from_nodes);

/** What was chosen of the switches this topology has; one that needs another goes off with it. */
function offered(wish: OptionWish, topology: TopologyEntry): OptionWish | null {
	const chosen: OptionWish = {};
	for (const option of topology.options) {
		const on = wish[option.id];
		if (on !== undefined && on !== null) chosen[option.id] = on && (option.needs === null || wish[option.needs] === true);
	}
	return Object.keys(chosen).length > 0 ? chosen : null;
}

/** What all machines cost; null where nothing is billed. */
export function price(chosen: Chosen): { hour: number; month: number } | null {
	const each = chosen.plan?.price_per_hour ?? null;
	return each === null ? null : { hour: each * chosen.machines, month: each * chosen.machines * 730 };
}
