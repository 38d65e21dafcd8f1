// What can be done to a node from its menu. Which of it is allowed now is decided by the preview, not here; here only what can make sense.
import type { Change, Cluster, Node } from '$lib/api/types';

export type Act = 'promote' | 'drain' | 'undrain' | 'reboot' | 'remove';

const KINDS = { promote: 'promote-node', drain: 'drain-node', undrain: 'undrain-node', reboot: 'reboot-node', remove: 'remove-node' } as const;

export function changeOf(act: Act, node: Pick<Node, 'name'>): Change {
	return { kind: KINDS[act], node: node.name };
}

export function actsOf(cluster: Pick<Cluster, 'topology'>, node: Pick<Node, 'kind' | 'drained' | 'role'>): Act[] {
	if (node.kind === 'witness') return ['reboot'];
	const acts: Act[] = [];
	const follows = node.role === 'replica' || node.role === 'shard-replica' || node.role === null;
	if (follows && cluster.topology !== 'single' && cluster.topology !== 'multi-master' && !node.drained) acts.push('promote');
	if (node.drained) acts.push('undrain');
	else if (cluster.topology !== 'single') acts.push('drain');
	if (!node.drained) acts.push('reboot');
	if (cluster.topology !== 'single') acts.push('remove');
	return acts;
}
