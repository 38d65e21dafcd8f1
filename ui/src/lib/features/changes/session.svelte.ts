// The one change dialog of the page: which change it shows, its preview, its confirmation, its operation.
import { api } from '$lib/api/client';
import { isAbort, toFault, type Fault } from '$lib/api/problem';
import type { Change, Operation, Preview } from '$lib/api/types';

export type Phase = 'closed' | 'preparing' | 'preview' | 'confirming' | 'operation' | 'failed';

export interface OpenOptions {
	/** Called once when the operation has succeeded while the dialog was open. */
	onSucceeded?: (operation: Operation) => void;
}

/** A figure that is being typed is asked about once nothing more came for so long. */
const SETTLE_MS = 300;

const subjectOf = (change: Change): string => ('cluster' in change ? change.cluster : 'node' in change ? change.node : 'backup' in change ? change.backup : '');

class ChangeSession {
	phase = $state<Phase>('closed');
	change = $state<Change | null>(null);
	preview = $state<Preview | null>(null);
	/** Why there is no preview. */
	fault = $state<Fault | null>(null);
	/** Why it was not confirmed; the preview stays. */
	refusal = $state<Fault | null>(null);
	notice = $state<'stale' | 'expired' | null>(null);
	operationId = $state<string | null>(null);
	typed = $state('');
	/** Changes whose way is being cleared by the one that is shown, outermost first. */
	waiting = $state<Change[]>([]);

	#options: OpenOptions = {};
	#key = '';
	#asked = new AbortController();
	#expiry: ReturnType<typeof setTimeout> | undefined;
	#settling: ReturnType<typeof setTimeout> | undefined;

	get open(): boolean {
		return this.phase !== 'closed';
	}

	start(change: Change, options: OpenOptions = {}): void {
		this.#options = options;
		this.waiting = [];
		this.#show(change);
	}
	/** The same change with other figures. `typing`: more may follow at once. */
	revise(change: Change, typing = false): void {
		this.change = change;
		if (!typing) return void this.#prepare(true);
		// What is shown is no longer what would be confirmed.
		this.#asked.abort();
		clearTimeout(this.#settling);
		this.phase = 'preparing';
		this.#settling = setTimeout(() => void this.#prepare(true), SETTLE_MS);
	}
	/** What stands in the way may go by making the same change otherwise; else another one comes first. */
	wayOut(change: Change): void {
		const same = this.change !== null && change.kind === this.change.kind && subjectOf(change) === subjectOf(this.change);
		if (same) this.revise(change);
		else this.detour(change);
	}
	/** A change that clears the way for the one that is shown; afterwards there is a way back. */
	detour(change: Change): void {
		if (this.change) this.waiting = [...this.waiting, this.change];
		this.#show(change);
	}
	back(): void {
		const before = this.waiting.at(-1);
		if (!before) return;
		this.waiting = this.waiting.slice(0, -1);
		this.#show(before);
	}
	again(): void {
		void this.#prepare(false);
	}
	/** What stood in the way may be gone; what was typed stays. */
	renew(): void {
		void this.#prepare(true);
	}
	close(): void {
		this.#asked.abort();
		clearTimeout(this.#expiry);
		clearTimeout(this.#settling);
		this.phase = 'closed';
		this.change = null;
		this.preview = null;
		this.operationId = null;
		this.typed = '';
		this.waiting = [];
		this.#options = {};
	}
	get confirmable(): boolean {
		const preview = this.preview;
		if (!preview || this.phase !== 'preview' || preview.blockers.length > 0) return false;
		return preview.confirm === null || this.typed.trim() === preview.confirm;
	}
	async confirm(): Promise<void> {
		const preview = this.preview;
		if (!preview || !this.confirmable) return;
		this.phase = 'confirming';
		this.refusal = null;
		try {
			const operation = await api.confirm(preview.id, preview.confirm === null ? null : this.typed.trim(), this.#key);
			clearTimeout(this.#expiry);
			this.operationId = operation.id;
			this.phase = 'operation';
		} catch (error) {
			if (this.preview !== preview) return;
			const fault = toFault(error);
			if (fault.code === 'preview-stale' || fault.code === 'preview-expired') {
				this.notice = fault.code === 'preview-stale' ? 'stale' : 'expired';
				await this.#prepare(true);
			} else {
				this.refusal = fault;
				this.phase = 'preview';
			}
		}
	}
	succeeded(operation: Operation): void {
		const told = this.#options.onSucceeded;
		// A detour that ended is not what the caller waits for.
		if (this.waiting.length > 0 || !told) return;
		this.#options = {};
		told(operation);
	}

	#show(change: Change): void {
		this.change = change;
		this.preview = null;
		this.operationId = null;
		this.notice = null;
		this.refusal = null;
		this.typed = '';
		void this.#prepare(false);
	}
	async #prepare(keep: boolean): Promise<void> {
		const change = this.change;
		if (!change) return;
		this.#asked.abort();
		this.#asked = new AbortController();
		clearTimeout(this.#expiry);
		clearTimeout(this.#settling);
		if (!keep) this.preview = null;
		this.fault = null;
		this.refusal = null;
		this.phase = 'preparing';
		const asked = this.#asked.signal;
		try {
			const preview = await api.preview($state.snapshot(change) as Change, asked);
			if (asked.aborted) return;
			this.preview = preview;
			// One key for each preview: confirming it twice, by a retry or a double click, starts one operation.
			this.#key = crypto.randomUUID();
			this.phase = 'preview';
			this.#watchExpiry(preview);
		} catch (error) {
			if (asked.aborted || isAbort(error)) return;
			this.preview = null;
			this.fault = toFault(error);
			this.phase = 'failed';
		}
	}
	#watchExpiry(preview: Preview): void {
		const left = Date.parse(preview.expires_at) - Date.now();
		if (!Number.isFinite(left)) return;
		this.#expiry = setTimeout(() => {
			if (this.phase !== 'preview') return;
			this.notice = 'expired';
			void this.#prepare(true);
		}, Math.max(1_000, Math.min(left - 2_000, 2 ** 31 - 1)));
	}
}

export const changes = new ChangeSession();
