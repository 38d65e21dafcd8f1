// What the window fetches into the downloads folder. It goes on when its dialog is closed, and says then how it ended.
import { api } from '$lib/api/client';
import { isAbort, toFault, type Fault } from '$lib/api/problem';
import type { Backup, BackupFormat } from '$lib/api/types';
import { m } from '$lib/messages';
import { textOf } from '$lib/messages/errors';
import { toasts } from '$lib/state/toasts.svelte';

class Download {
	/** How much is on the disk; null before the first of it. */
	bytes = $state<number | null>(null);
	/** Where it is, once it is. */
	file = $state<string | null>(null);
	fault = $state<Fault | null>(null);
	/** A dialog shows it. */
	seen = true;
	readonly #closing = new AbortController();

	constructor(backup: Backup, format: BackupFormat, gone: () => void) {
		void this.#run(backup, format, gone);
	}
	get ended(): boolean {
		return this.file !== null || this.fault !== null;
	}
	cancel(): void {
		this.#closing.abort(new DOMException('not wanted any more', 'AbortError'));
	}
	async #run(backup: Backup, format: BackupFormat, gone: () => void): Promise<void> {
		try {
			this.file = await api.save(backup.id, format, this.#closing.signal, (bytes) => (this.bytes = bytes));
			if (!this.seen) toasts.add('info', m.backups.download.saved(this.file));
		} catch (error) {
			if (isAbort(error)) return gone();
			this.fault = toFault(error);
			if (!this.seen) toasts.add('error', `${m.backups.download.failed(backup.cluster)} ${textOf(this.fault).title}`);
		}
		if (!this.seen) gone();
	}
}

class Downloads {
	#items = $state<Record<string, Download>>({});

	of(backup: Backup, format: BackupFormat): Download | undefined {
		return this.#items[key(backup, format)];
	}
	begin(backup: Backup, format: BackupFormat): void {
		const of = key(backup, format);
		this.#items[of] = new Download(backup, format, () => delete this.#items[of]);
	}
	/** A dialog shows those of this backup, or no longer; what has ended was seen. */
	show(backup: Backup, seen: boolean): void {
		for (const format of ['copy', 'logical'] as const) {
			const one = this.of(backup, format);
			if (!one) continue;
			one.seen = seen;
			if (!seen && one.ended) delete this.#items[key(backup, format)];
		}
	}
}

const key = (backup: Backup, format: BackupFormat): string => `${backup.id} ${format}`;

export const downloads = new Downloads();
