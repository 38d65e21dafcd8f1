// What is known of a node, as the panel lists it.
import type { Node } from '$lib/api/types';
import { bytes, duration } from '$lib/format';
import { m } from '$lib/messages';

/** Two servers may call two things alike, so a fact is known by its id. */
export interface Fact {
	id: string;
	name: string;
	value: string;
}

/** From this length on a value does not fit half of the panel and takes the whole of it. */
const LONG = 24;

export function factsOf(node: Node): Fact[] {
	const limits = node.limited_by === null ? m.unknown : (m.nodes.limitedBy[node.limited_by] ?? node.limited_by);
	return [
		{ id: 'node:address', name: m.nodes.address, value: node.port === null ? node.address : `${node.address}:${node.port}` },
		{ id: 'node:plan', name: m.nodes.plan, value: node.plan },
		{ id: 'node:data', name: m.nodes.data, value: bytes(node.data_bytes) },
		{ id: 'node:limits', name: m.nodes.limits, value: limits },
		...(node.lag_ms === null ? [] : [{ id: 'node:delay', name: m.nodes.delay, value: duration(node.lag_ms) }]),
		...node.facts
	];
}

export const isLong = (fact: Fact): boolean => fact.value.length > LONG;

/** What stands between backticks: names and commands, as `Words` shows them. */
export const commandsIn = (text: string): string[] => text.split('`').filter((_, i, parts) => i % 2 === 1 && i < parts.length - 1);
