// Measurements in the shape a chart draws: one row of times, a row of values for each metric of each node.
// A frame is changed in place and is bounded by its span: what leaves it at the left is gone.
import type { Metric, NodeMetrics, Sample, Series } from '$lib/api/types';

export interface Frame {
	step: number;
	span: number;
	/** Milliseconds since 1970, rising by whole steps. */
	times: number[];
	rows: Map<Metric, Map<string, (number | null)[]>>;
}

export const METRICS: Metric[] = [
	'cpu-percent', 'memory-bytes', 'operations-per-second', 'clients', 'hit-rate-percent', 'lag-bytes',
	'network-in-bytes-per-second', 'network-out-bytes-per-second', 'disk-bytes'
];
const MEMBERS: Record<Metric, keyof NodeMetrics> = {
	'cpu-percent': 'cpu_percent', 'memory-bytes': 'memory_bytes', 'disk-bytes': 'disk_bytes', 'network-in-bytes-per-second': 'network_in_bytes_per_second',
	'network-out-bytes-per-second': 'network_out_bytes_per_second', 'operations-per-second': 'operations_per_second', clients: 'clients',
	'hit-rate-percent': 'hit_rate_percent', 'lag-bytes': 'lag_bytes'
};

export function frameOf(series: Series[], step: number, span: number): Frame {
	const times = [...new Set(series.flatMap((s) => s.points.map((p) => p.at)))].sort((a, b) => a - b);
	const index = new Map(times.map((t, i) => [t, i]));
	const rows: Frame['rows'] = new Map();
	for (const one of series) {
		const values: (number | null)[] = Array.from({ length: times.length }, () => null);
		for (const { at, value } of one.points) values[index.get(at) ?? -1] = value;
		let nodes = rows.get(one.metric);
		if (!nodes) rows.set(one.metric, (nodes = new Map()));
		nodes.set(one.node, values);
	}
	return { step, span, times, rows };
}

/** Takes one round of live samples in. Rounds inside one step replace each other; a hole in time stays a hole. */
export function addSample(frame: Frame, sample: Sample): void {
	const at = Math.floor(Date.parse(sample.at) / frame.step) * frame.step;
	const last = frame.times.at(-1);
	if (!Number.isFinite(at) || (last !== undefined && at < last)) return;
	if (last !== undefined && at - last > frame.span) frame.times.length = 0;
	if (frame.times.length === 0) for (const nodes of frame.rows.values()) for (const values of nodes.values()) values.length = 0;
	// Without samples for a while (asleep, away) the gap is drawn as a gap: one empty column is enough for that.
	const before = frame.times.at(-1);
	if (before !== undefined && at - before > 2 * frame.step + 4_000) push(frame, before + frame.step);
	if (frame.times.at(-1) !== at) push(frame, at);
	const end = frame.times.length - 1;
	for (const metric of METRICS) {
		for (const { node, metrics } of sample.nodes) {
			const value = metrics[MEMBERS[metric]] ?? null;
			let nodes = frame.rows.get(metric);
			if (!nodes) frame.rows.set(metric, (nodes = new Map()));
			let values = nodes.get(node);
			if (!values) {
				if (value === null) continue;
				nodes.set(node, (values = Array.from({ length: frame.times.length }, () => null)));
			}
			values[end] = value;
		}
	}
	let gone = 0;
	while (gone < frame.times.length && (frame.times[gone] ?? 0) < at - frame.span) gone++;
	if (gone === 0) return;
	frame.times.splice(0, gone);
	for (const nodes of frame.rows.values()) for (const values of nodes.values()) values.splice(0, gone);
}

function push(frame: Frame, at: number): void {
	frame.times.push(at);
	for (const nodes of frame.rows.values()) for (const values of nodes.values()) values.push(null);
}

/** The values of one metric as a table: a column of times, a column for each node. */
export function csvOf(frame: Frame, metric: Metric): string {
	const nodes = [...(frame.rows.get(metric) ?? [])];
	const quote = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
	const lines = [['time', ...nodes.map(([node]) => quote(node))].join(',')];
	frame.times.forEach((at, i) => lines.push([new Date(at).toISOString(), ...nodes.map(([, values]) => values[i] ?? '')].join(',')));
	return lines.join('\n') + '\n';
}
