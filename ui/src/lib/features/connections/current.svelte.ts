// Tells the page that another connection was chosen, so that everything that follows one begins again.

class CurrentConnection {
	revision = $state(0);

	changed(): void {
		this.revision++;
	}
}

export const current = new CurrentConnection();
