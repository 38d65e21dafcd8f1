import { expect, test } from 'vitest';
import { everyOf, inWords, isCron, keptText, USUAL, written } from './rhythm';

test('a schedule says in words what it is', () => {
	const said = ['30m', '1h', '6h', '1d', '0 3 * * *', '5 22 * * 1', '0 3 * * MON-FRI', '30 4 * * 6,0', '0 0 1 * *', '*/15 * * * *', '7 * * * *'].map(inWords);
	expect(said).toEqual([
		'Every 30 minutes', 'Every hour', 'Every 6 hours', 'Every day', 'Every day at 03:00', 'Every Monday at 22:05', 'Every day from Monday to Friday at 03:00',
		'Every Saturday and Sunday at 04:30', 'On day 1 of every month at 00:00', 'Every 15 minutes', 'Every hour at 07 past'
	]);
});

test('what is no everyday rhythm stays as it is written', () => {
	expect(inWords('0 3 1,15 * MON')).toBe('At 0 3 1,15 * MON');
	expect(inWords('0 */6 * * *')).toBe('At 0 */6 * * *');
	expect(inWords('0 3 * * 1-9')).toBe('At 0 3 * * 1-9');
	expect(inWords('0 3 * 6 *')).toBe('At 0 3 * 6 *');
});

test('a distance survives being read and written, and cron is told from it', () => {
	for (const when of ['5m', '6h', '14d']) expect(written(everyOf(when) ?? { count: 0, unit: 'm' })).toBe(when);
	expect(everyOf('30 min')).toEqual({ count: 30, unit: 'm' });
	expect([everyOf('0 3 * * *'), everyOf(''), everyOf('often')]).toEqual([null, null, null]);
	expect([isCron('0 3 * * *'), isCron('0 3 * *'), isCron('6h')]).toEqual([true, false, false]);
});

test('what is kept is told as in speech', () => {
	expect(keptText(USUAL)).toBe('the last 7, one for each of 7 days and one for each of 4 weeks');
	expect(keptText({ last: 1, daily: 0, weekly: 0, monthly: 0 })).toBe('the last one');
	expect(keptText({ last: 0, daily: 1, weekly: 0, monthly: 12 })).toBe('one for each of 1 day and one for each of 12 months');
	expect(keptText({ last: 0, daily: 0, weekly: 0, monthly: 0 })).toBe('nothing');
});
