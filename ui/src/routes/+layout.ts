// One page for every address, drawn in the window or the browser only.
export const ssr = false;
export const prerender = false;
