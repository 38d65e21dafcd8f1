// Edits that were not asked for yet, of each cluster: they outlive the screen, not the window.
import type { Draft } from './draft';

class Drafts {
	#all = $state.raw<Record<string, Draft>>({});

	/** Of the cluster with this id. */
	of(cluster: string): Draft {
		return this.#all[cluster] ?? {};
	}
	keep(cluster: string, draft: Draft): void {
		const { [cluster]: _, ...others } = this.#all;
		this.#all = Object.keys(draft).length === 0 ? others : { ...others, [cluster]: draft };
	}
}

export const drafts = new Drafts();
