// One clock for every "3 min ago" on the page, so that a thousand rows need one timer.

class Clock {
	now = $state(Date.now());
	#users = 0;
	#timer: ReturnType<typeof setInterval> | undefined;

	/** Keeps the clock going while somebody looks; call the result to stop. */
	use(): () => void {
		if (this.#users++ === 0) {
			this.now = Date.now();
			this.#timer = setInterval(() => (this.now = Date.now()), 1000);
		}
		return () => {
			if (--this.#users === 0) clearInterval(this.#timer);
		};
	}
}

export const clock = new Clock();
