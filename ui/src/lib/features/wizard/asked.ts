// What the wizard has asked for, and why it cannot create anything yet.
import { m } from '$lib/messages';
import type { Preview } from '$lib/api/types';

/** A list as far as it is there. */
export interface Asked<T> {
	data: T[] | undefined;
	error: unknown;
	refetch: () => void;
}

export type Offer = 'services' | 'providers' | 'regions' | 'plans';

/** Why the button cannot be pressed; null when it can. */
export function whyNot(asked: Record<Offer, Pick<Asked<unknown>, 'data' | 'error'>>, chosen: boolean, look: { checking: boolean; fault: unknown; preview: Preview | null }): string | null {
	for (const offer of ['services', 'providers', 'regions', 'plans'] as const) {
		if (asked[offer].data) continue;
		// Regions and plans are those of a provider: without one nobody asks for them.
		if (offer !== 'services' && asked.providers.data?.length === 0) return m.wizard.noProviders;
		return asked[offer].error ? m.wizard.failedOf[offer] : m.wizard.waitsFor[offer];
	}
	if (!chosen) return m.wizard.noService;
	if (look.checking) return m.wizard.checking;
	if (!look.preview) return look.fault ? m.wizard.uncheckedFault : m.wizard.checking;
	return look.preview.blockers.length > 0 ? m.wizard.unsolved(look.preview.blockers.length) : null;
}
