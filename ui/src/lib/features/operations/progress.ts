// How far a step is, in the unit it counts in.
import type { components } from '$lib/api/schema';
import { bytes, count } from '$lib/format';
import { m } from '$lib/messages';

type Progress = components['schemas']['Progress'];

/** In percent; null while nobody knows how much there will be. */
export const shareOf = (progress: Progress): number | null => (progress.total > 0 ? Math.min(100, (progress.done / progress.total) * 100) : null);

export function progressText(progress: Progress): string {
	const text = progress.unit === 'bytes' ? bytes : count;
	return progress.total > 0 ? m.operations.progress(text(progress.done), text(progress.total)) : text(progress.done);
}
