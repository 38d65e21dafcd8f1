import { describe, expect, it } from 'vitest';
import { typed, understood } from './images';

describe('images of one’s own', () => {
	it('are read as they are shown', () => {
		const own = { 'one:8.0': 'registry.lan:5000/one:8', 'two:17': 'two-own:17' };
		expect(understood(typed(own))).toEqual(own);
		expect(understood('\n  one:8.0   x/y  \n')).toEqual({ 'one:8.0': 'x/y' });
		expect(understood('')).toEqual({});
	});
	it('are not guessed at', () => {
		for (const bad of ['one x/y', 'one:8.0', 'one:8.0 x y', ':8 x', 'one: x']) expect(understood(bad)).toBeNull();
	});
});
