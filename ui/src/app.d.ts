declare global {
	interface Window {
		/** Put there by the desktop window; its presence chooses the transport. */
		__TAURI_INTERNALS__?: unknown;
	}
}

export {};
