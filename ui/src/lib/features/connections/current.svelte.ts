// Another connection was chosen: everything that follows one begins again, and nothing of the one before may stay in sight.
import type { QueryClient } from '@tanstack/svelte-query';
import { keys } from '$lib/api/queries';
import { link } from '$lib/state/link.svelte';

class CurrentConnection {
	/** Grows with each change, for what follows a connection by itself. */
	revision = $state(0);

	changed(client: QueryClient): void {
		const other = (query: { queryKey: readonly unknown[] }): boolean => query.queryKey[0] !== keys.connections[0];
		link.forget();
		this.revision++;
		// What a screen holds is emptied and asked again at once; the rest is asked when it is shown. (Removing what is held
		// would leave the screen with the old answer.)
		client.removeQueries({ type: 'inactive', predicate: other });
		void client.resetQueries({ predicate: other });
		void client.invalidateQueries({ queryKey: keys.connections });
	}
}

export const current = new CurrentConnection();
