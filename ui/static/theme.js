// Runs before the first paint, so that a dark window never flashes white. The settings are asked later.
(function () {
	try {
		var theme = localStorage.getItem('clusterdeck.theme');
		if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
	} catch (e) {
		/* no storage: the system's theme is used */
	}
})();
