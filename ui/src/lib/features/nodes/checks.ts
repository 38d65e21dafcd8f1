// The health of one node as a list of questions with answers. Unknown is not healthy.
import type { Node } from '$lib/api/types';
import type { Tone } from '$components/tone';
import { bytes, percent } from '$lib/format';
import { m } from '$lib/messages';

export interface Check {
	id: string;
	title: string;
	tone: Tone;
	text: string;
}

export function checksOf(node: Node): Check[] {
	const c = m.checks;
	const checks: Check[] = [];
	const add = (id: string, title: string, tone: Tone, text: string): void => void checks.push({ id, title, tone, text });
	if (node.drained) {
		add('process', c.process, 'idle', c.drained);
		return checks;
	}
	const running = node.state === 'running' || node.state === 'starting' || node.state === 'unresponsive';
	add('process', c.process, node.state === 'unknown' ? 'idle' : running ? 'ok' : 'bad', node.state === 'unknown' ? m.nodeState.unknown : running ? c.processOk : c.processBad);
	const answers = node.state === 'running' ? 'ok' : node.state === 'unknown' ? 'idle' : node.state === 'starting' ? 'busy' : 'bad';
	add('answers', c.answers, answers, node.state === 'running' ? c.answersOk : node.state === 'unknown' ? c.answersUnknown : node.state === 'starting' ? m.nodeState.starting : c.answersBad);
	add('role', c.role, node.role ? 'ok' : 'idle', node.role ? m.role[node.role] : c.roleUnknown);
	if (node.kind === 'witness') return checks;
	const follower = node.role === 'replica' || node.role === 'shard-replica';
	if (follower) {
		const link = node.link;
		add('replication', c.replication, link === null ? 'idle' : link === 'up' ? 'ok' : link === 'syncing' ? 'busy' : 'bad',
			link === null ? c.replicationUnknown : node.follows ? `${m.link[link]}, ${m.nodes.follows(node.follows)}` : m.link[link]);
		add('lag', c.lag, node.lag_bytes === null ? 'warn' : 'ok', node.lag_bytes === null ? c.lagUnknown : c.lagOk(bytes(node.lag_bytes)));
		add('data', c.data, node.diverged ? 'bad' : 'ok', node.diverged ? c.dataBad : c.dataOk);
	}
	for (const [id, title, used, limit] of [
		['memory', c.memory, node.metrics.memory_bytes, node.memory_limit_bytes],
		['disk', c.disk, node.metrics.disk_bytes, node.disk_limit_bytes]
	] as const) {
		const share = used === null || !limit ? null : (used / limit) * 100;
		add(id, title, share === null ? 'idle' : share >= 95 ? 'bad' : share >= 85 ? 'warn' : 'ok', share === null ? c.roomUnknown : c.room(percent(share)));
	}
	return checks;
}
