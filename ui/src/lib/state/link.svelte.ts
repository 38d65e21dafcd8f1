// What the page knows about its way to the control plane. Written by the client, read by banners and the sign-in screen.

class LinkState {
	/** The last answer came from the offline copy, which is this old. */
	asOf = $state<string | null>(null);
	/** The chosen server did not answer the app on this computer, which does answer. */
	away = $state(false);
	/** A browser without a session. */
	signedOut = $state(false);
	/** Nobody answered the last request. */
	unreachable = $state(false);
	/** The event stream is open; without it the page asks more often. */
	live = $state(false);

	answered(asOf: string | null): void {
		this.asOf = asOf;
		this.away = asOf !== null;
		this.unreachable = false;
	}
	/** After another connection was chosen nothing that was known holds. */
	forget(): void {
		this.asOf = null;
		this.away = false;
		this.unreachable = false;
		this.live = false;
	}
}

export const link = new LinkState();
