// The measurements of a cluster (or one of its nodes) over a span: asked once, then kept up by the live stream where the span is short.
import { api } from '$lib/api/client';
import { isAbort, toFault, type Fault } from '$lib/api/problem';
import { subscribe } from '$lib/api/subscribe';
import type { Metric, Sample } from '$lib/api/types';
import { addSample, frameOf, type Frame } from './frame';
import { isLive, preset, zoomed, type RangeId, type Span } from './ranges';

export interface Scope {
	cluster: string;
	nodes?: string[];
	metrics?: Metric[];
}

/** Long spans are asked again at this pace. */
const AGAIN_MS = 60_000;

export class MetricsFeed {
	frame = $state.raw<Frame | null>(null);
	/** Grows when the frame was changed in place. */
	revision = $state(0);
	fault = $state.raw<Fault | null>(null);
	live = $state(false);
	from = $state(0);
	to = $state(0);

	/** Follows `scope` over a preset or a zoomed span until the result is called. */
	follow(scope: Scope, range: RangeId | { from: number; to: number }): () => void {
		const gone = new AbortController();
		let close: (() => void) | undefined;
		let timer: ReturnType<typeof setInterval> | undefined;
		const fixed = typeof range !== 'string';
		const spanNow = (): Span => (fixed ? zoomed(range.from, range.to, Date.now()) : preset(range, Date.now()));
		const ask = async (): Promise<void> => {
			const span = spanNow();
			try {
				const answer = await api.metrics(scope.cluster, { ...span, node: scope.nodes, metric: scope.metrics }, gone.signal);
				if (gone.signal.aborted) return;
				this.frame = frameOf(answer.series, answer.step || span.step, span.to - span.from);
				this.from = span.from;
				this.to = span.to;
				this.fault = null;
				this.revision++;
			} catch (error) {
				if (!isAbort(error) && !gone.signal.aborted) this.fault = toFault(error);
			}
		};
		void ask().then(() => {
			if (gone.signal.aborted) return;
			if (fixed) return;
			if (!isLive(range)) {
				timer = setInterval(() => void ask(), AGAIN_MS);
				return;
			}
			close = subscribe({
				path: () => api.metricsStreamPath(scope.cluster),
				onState: (open) => {
					// What was missed while the stream was closed is asked for.
					if (open && !this.live && this.revision > 1) void ask();
					this.live = open;
				},
				onEvent: ({ event, data }) => {
					if (event !== 'sample' || !this.frame) return;
					const sample = JSON.parse(data) as Sample;
					if (scope.nodes) sample.nodes = sample.nodes.filter((n) => scope.nodes?.includes(n.node));
					addSample(this.frame, sample);
					const span = preset(range, Date.now());
					this.from = span.from;
					this.to = span.to;
					this.revision++;
				}
			});
		});
		return () => {
			gone.abort();
			close?.();
			clearInterval(timer);
			this.live = false;
		};
	}
	/** Another cluster: nothing of the one before may be seen. */
	clear(): void {
		this.frame = null;
		this.fault = null;
	}
}
