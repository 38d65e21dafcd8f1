import { expect, test } from 'vitest';
import { Fault, faultOf } from '$lib/api/problem';
import { errors, textOf } from './errors';

test('every code says what happened, what it means and what to do', () => {
	for (const [code, entry] of Object.entries(errors)) {
		expect(entry.title, code).not.toBe('');
		expect(entry.meaning, code).not.toBe('');
		expect(entry.hint, code).not.toBe('');
	}
});

test('the words of the server win over those of the table', () => {
	const fault = faultOf(409, JSON.stringify({ title: 'demo is being changed', code: 'busy', status: 409, detail: 'It goes on.', hint: 'Wait.' }));
	expect(textOf(fault)).toMatchObject({ title: 'demo is being changed', meaning: 'It goes on.', hint: 'Wait.', action: 'activity' });
});

test('a title begins like a sentence, unless a name stands there', () => {
	const title = (text: string): string => textOf(new Fault('not-found', text)).title;
	expect([title('there is no operation `x`'), title('demo is being changed'), title('the-one is busy'), title('removing it failed')]).toEqual(['There is no operation `x`', 'demo is being changed', 'the-one is busy', 'Removing it failed']);
});

test('an answer that is no problem document is told apart from one', () => {
	expect(faultOf(502, '<html>Bad gateway</html>').code).toBe('unreadable');
	expect(faultOf(401, '').code).toBe('unauthorized');
	expect(textOf(new Fault('unreachable', '', 0, 'TypeError: Failed to fetch')).meaning).toBe('The clusters go on running.');
});
