// What somebody has chosen in the wizard so far. Kept in localStorage, so that closing the window loses nothing.
import type { CreateCluster, Line, Offered, OptionEntry, OptionWish, Place, Plan, Provider, Region, Service, ServiceKind, Topology, TopologyEntry } from '$lib/api/types';

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
	/** Null until somebody touches the switch: the service decides what can be. */
	failover: boolean | null;
	options: OptionWish;
}

export const EMPTY: Draft = {
	step: 1, service: null, version: null, provider: null, region: null, plan: null, name: null, topology: null, nodes: null, shards: null,
	protected: false, failover: null, options: {}
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

/** What a name begins with: the service, or its maker where there are several. */
const stem = (service: Service, line: Line | null): string => (line && service.lines.length > 1 ? line.name.toLowerCase() : service.id);

/** `redis-1`, or the next number that no cluster has. */
export function suggestedName(service: string, taken: string[]): string {
	for (let n = 1; ; n++) if (!taken.includes(`${service}-${n}`)) return `${service}-${n}`;
}

/** Whether a search finds a service: by its name, its makers' names, or what it is for. */
export function matches(service: Service, text: string): boolean {
	const words = [service.name, ...service.lines.map((line) => line.name), service.tagline].join(' ').toLowerCase();
	return words.includes(text.trim().toLowerCase());
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
	/** What the place has of the service. */
	place: Place | null;
	/** The version asked for; null for the newest. */
	version: string | null;
	/** The version it will be. */
	offered: Offered | null;
	/** What that version offers. */
	line: Line | null;
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

/** The provider somebody chose; else the first that has the service. */
export function chooseProvider(draft: Draft, services: Service[], providers: Provider[]): Provider | null {
	const service = chooseService(draft, services);
	const has = (p: Provider): boolean => p.usable && (service?.places.some((place) => place.provider === p.id && place.ready) ?? false);
	return providers.find((p) => p.id === draft.provider) ?? providers.find(has) ?? providers.find((p) => p.usable) ?? providers[0] ?? null;
}

const chooseService = (draft: Draft, services: Service[]): Service | null => services.find((s) => s.id === draft.service) ?? services.find(usable) ?? null;

/** What a provider has of a service, in this region where the regions differ. */
export function placeOf(service: Service | null, provider: string, region: string | null): Place | null {
	const places = service?.places.filter((place) => place.provider === provider) ?? [];
	return places.find((place) => place.region === region) ?? places[0] ?? null;
}

export function choose(draft: Draft, offers: Offers): Chosen {
	const { services, providers, regions, plans } = offers;
	const service = chooseService(draft, services);
	const provider = chooseProvider(draft, services, providers);
	const region = regions.find((r) => r.id === draft.region) ?? regions[0] ?? null;
	const plan = plans.find((p) => p.id === draft.plan) ?? plans.find((p) => p.id === DEFAULT_PLAN) ?? plans[0] ?? null;
	const place = provider ? placeOf(service, provider.id, region?.id ?? null) : null;
	const asked = place?.versions.find((v) => v.version === draft.version);
	const offered = asked ?? place?.versions[0] ?? null;
	const line = service?.lines.find((l) => l.name === offered?.line) ?? service?.lines[0] ?? null;
	const topology = line?.topologies.find((t) => t.topology === draft.topology) ?? line?.topologies[0] ?? null;
	const sharded = topology?.topology === 'sharded';
	const shards = sharded && topology ? clamp(draft.shards ?? topology.default_shards, 3, Math.max(3, topology.max_nodes)) : 0;
	const nodes = topology ? nodeCount(draft, topology, shards) : 0;
	return {
		service, provider, region, plan, place, offered, line, topology, nodes, shards,
		version: asked?.version ?? null,
		name: draft.name ?? (service ? suggestedName(stem(service, line), offers.clusterNames) : ''),
		machines: topology?.topology === 'primary-replica' && topology.failover === 'by-vote' && nodes === 2 ? 3 : nodes
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
		auto_failover: topology.failover === 'by-vote' ? draft.failover : null,
		options: offered(draft.options, topology)
	};
}

/** What a way out changes in the draft: only what it asks for otherwise than the change that was refused. */
export function wayOut(asked: CreateCluster, way: CreateCluster): Partial<Draft> {
	const differs = (key: keyof CreateCluster): boolean => JSON.stringify(asked[key] ?? null) !== JSON.stringify(way[key] ?? null);
	const part: Partial<Draft> = {};
	if (differs('name')) part.name = way.name;
	for (const key of ['version', 'topology', 'nodes', 'shards', 'provider', 'region', 'plan'] as const) {
		if (differs(key)) Object.assign(part, { [key]: way[key] ?? null });
	}
	if (differs('protected')) part.protected = way.protected ?? false;
	if (differs('auto_failover')) part.failover = way.auto_failover ?? null;
	if (differs('options')) part.options = way.options ?? {};
	return part;
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
