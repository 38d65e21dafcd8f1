// What a cluster's version offers: one service may have several makers, and each its own topologies and switches.
import type { Cluster, Line, Service, TopologyEntry } from './types';

type Known = Pick<Service, 'id' | 'lines'>;
type Of = Pick<Cluster, 'service' | 'service_name' | 'topology'>;

/** Null while the catalogue is not there. */
export function lineOf(services: Known[] | undefined, cluster: Of | undefined): Line | null {
	const lines = services?.find((s) => s.id === cluster?.service)?.lines;
	return lines?.find((l) => l.name === cluster?.service_name) ?? lines?.[0] ?? null;
}

export function offerOf(services: Known[] | undefined, cluster: Of): TopologyEntry | null {
	return lineOf(services, cluster)?.topologies.find((t) => t.topology === cluster.topology) ?? null;
}

/** Whether nodes can join: they can wherever there are several, and where one can become a primary. */
export function grows(line: Line | null, topology: Cluster['topology']): boolean {
	return topology !== 'single' || (line?.topologies.some((t) => t.topology === 'primary-replica') ?? false);
}

/** Whether nodes are copied to anew: where they follow somebody, and where members that vote can tell who diverged. */
export function resyncs(offer: TopologyEntry | null, topology: Cluster['topology']): boolean {
	return topology === 'primary-replica' || topology === 'sharded' || (topology === 'multi-master' && offer?.all_vote === true);
}
