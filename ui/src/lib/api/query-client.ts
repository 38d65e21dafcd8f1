// The one cache of answers. What the first screen shows is asked for while the page is still being put together: that takes
// about as long as the answer.
import { QueryClient } from '@tanstack/svelte-query';
import { browser } from '$app/environment';
import { toFault } from './problem';
import { queries } from './queries';

export const queryClient = new QueryClient({
	defaultOptions: {
		queries: {
			staleTime: 5_000,
			// What no screen shows is forgotten after five minutes, so that a window left open all week does not grow.
			gcTime: 5 * 60_000,
			refetchOnWindowFocus: true,
			retry: (failures, error) => failures < 2 && toFault(error).code === 'unreachable',
			retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 4_000),
			networkMode: 'always'
		},
		mutations: { retry: false, networkMode: 'always' }
	}
});

if (browser) {
	void queryClient.prefetchQuery(queries.clusters());
	void queryClient.prefetchQuery(queries.settings());
}
