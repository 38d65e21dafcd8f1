// The draft of the wizard and its live preview.
import { api } from '$lib/api/client';
import { isAbort, toFault, type Fault } from '$lib/api/problem';
import type { Change, Finding, Preview } from '$lib/api/types';
import { EMPTY, restore, type Draft } from './draft';

const KEY = 'clusterdeck.draft';
const SETTLE_MS = 300;

function kept(): string | null {
	try {
		return localStorage.getItem(KEY);
	} catch {
		return null;
	}
}

export class WizardSession {
	draft = $state<Draft>(restore(kept()));
	preview = $state.raw<Preview | null>(null);
	fault = $state.raw<Fault | null>(null);
	checking = $state(false);
	confirming = $state(false);
	operationId = $state<string | null>(null);

	/** What the preview that is shown was asked for. */
	#asked = '';
	#key = '';

	set(part: Partial<Draft>): void {
		Object.assign(this.draft, part);
	}
	keep(): void {
		try {
			localStorage.setItem(KEY, JSON.stringify(this.draft));
		} catch {
			// No storage: the draft lives as long as the page.
		}
	}
	discard(): void {
		this.draft = { ...EMPTY };
		this.operationId = null;
		this.fault = null;
		try {
			localStorage.removeItem(KEY);
		} catch {
			// Nothing was kept.
		}
	}
	/** Asks what would happen once the draft has settled; the result stops asking. */
	look(change: Change): () => void {
		const text = JSON.stringify(change);
		if (text === this.#asked && this.preview && Date.parse(this.preview.expires_at) > Date.now() + 5_000) {
			// Another one may have been about to be asked, and is not any more.
			this.checking = false;
			return () => {};
		}
		const gone = new AbortController();
		this.checking = true;
		const timer = setTimeout(() => void this.#ask(change, text, gone.signal), this.#asked === '' ? 0 : SETTLE_MS);
		return () => {
			clearTimeout(timer);
			gone.abort();
		};
	}
	again(): void {
		this.#asked = '';
		this.preview = null;
	}
	findings(pointer: string): Finding[] {
		return this.preview?.blockers.filter((f) => f.pointer === pointer) ?? [];
	}
	/** Confirms exactly what is shown. A preview that went stale is made anew and shown, not confirmed unseen. */
	async create(change: Change): Promise<void> {
		const preview = this.preview;
		if (!preview || this.checking || preview.blockers.length > 0 || JSON.stringify(change) !== this.#asked) return;
		this.confirming = true;
		this.fault = null;
		try {
			const operation = await api.confirm(preview.id, null, this.#key);
			this.operationId = operation.id;
		} catch (error) {
			const fault = toFault(error);
			this.fault = fault;
			if (fault.code === 'preview-stale' || fault.code === 'preview-expired' || fault.code === 'blocked') await this.#ask(change, this.#asked, new AbortController().signal, true);
		} finally {
			this.confirming = false;
		}
	}

	async #ask(change: Change, text: string, signal: AbortSignal, keepFault = false): Promise<void> {
		this.checking = true;
		try {
			const preview = await api.preview(change, signal);
			if (signal.aborted) return;
			this.preview = preview;
			this.#asked = text;
			this.#key = crypto.randomUUID();
			if (!keepFault) this.fault = null;
		} catch (error) {
			if (isAbort(error) || signal.aborted) return;
			this.preview = null;
			this.#asked = text;
			this.fault = toFault(error);
		}
		this.checking = false;
	}
}
