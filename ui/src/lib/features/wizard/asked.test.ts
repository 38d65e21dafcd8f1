import { expect, test } from 'vitest';
import type { Preview } from '$lib/api/types';
import { m } from '$lib/messages';
import { whyNot } from './asked';

const there = { data: [1], error: null };
const all = { services: there, providers: there, regions: there, plans: there };
const preview = (blockers: number): Preview => ({ blockers: Array.from({ length: blockers }, () => ({ code: '', text: '' })) }) as unknown as Preview;
const looked = { checking: false, fault: null, preview: preview(0) };

test('a button that cannot be pressed always says why', () => {
	expect(whyNot(all, true, looked)).toBe(null);
	expect(whyNot({ ...all, plans: { data: undefined, error: null } }, false, looked)).toBe(m.wizard.waitsFor.plans);
	expect(whyNot({ ...all, regions: { data: undefined, error: new Error() } }, false, looked)).toBe(m.wizard.failedOf.regions);
	const none = { data: undefined, error: null };
	expect(whyNot({ ...all, providers: { data: [], error: null }, regions: none, plans: none }, false, looked)).toBe(m.wizard.noProviders);
	expect(whyNot(all, false, looked)).toBe(m.wizard.noService);
	expect(whyNot(all, true, { ...looked, checking: true })).toBe(m.wizard.checking);
	expect(whyNot(all, true, { ...looked, preview: null, fault: new Error() })).toBe(m.wizard.uncheckedFault);
	expect(whyNot(all, true, { ...looked, preview: preview(2) })).toContain('2 problems');
});
