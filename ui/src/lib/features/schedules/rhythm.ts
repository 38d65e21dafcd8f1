// When backups are made by themselves: as it is written (`6h`, or the five fields of cron), as a form has it, and in words.
import type { Keep } from '$lib/api/types';
import { m } from '$lib/messages';

export type Unit = 'm' | 'h' | 'd';
export interface Every {
	count: number;
	unit: Unit;
}

/** As in the API: what is kept when nobody says. */
export const USUAL: Keep = { last: 7, daily: 7, weekly: 4, monthly: 0 };
export const USUAL_EVERY = '1d';
export const USUAL_CRON = '0 3 * * *';
/** The shortest time between two, in minutes. */
export const SHORTEST_MIN = 5;

/** A time after the one before; null where it is written as cron, or as nothing. */
export function everyOf(when: string): Every | null {
	const read = /^\s*(\d{1,5})\s*(m|min|h|d)\s*$/.exec(when);
	return read ? { count: Number(read[1]), unit: (read[2] === 'min' ? 'm' : read[2]) as Unit } : null;
}

export const written = (every: Every): string => `${every.count}${every.unit}`;

const fieldsOf = (when: string): string[] => when.trim().split(/\s+/).filter(Boolean);
/** Whether there are the five fields of cron, whatever they say. */
export const isCron = (when: string): boolean => fieldsOf(when).length === 5;

/** As people say it; what is no everyday rhythm stays as it is written. */
export function inWords(when: string): string {
	const every = everyOf(when);
	if (every) return m.schedules.everyText(every.count, every.unit);
	const [minute = '', hour = '', date = '', month = '', weekday = ''] = fieldsOf(when);
	const distance = /^\*\/(\d{1,2})$/.exec(minute);
	if (distance && [hour, date, month, weekday].every((f) => f === '*')) return m.schedules.everyText(Number(distance[1]), 'm');
	const plain = /^\d{1,2}$/;
	if (!plain.test(minute) || month !== '*') return m.schedules.cronText(when.trim());
	if (hour === '*' && date === '*' && weekday === '*') return m.schedules.hourText(minute.padStart(2, '0'));
	if (!plain.test(hour)) return m.schedules.cronText(when.trim());
	const time = `${hour.padStart(2, '0')}:${minute.padStart(2, '0')}`;
	if (date === '*' && weekday === '*') return m.schedules.dayText(time);
	if (plain.test(date) && weekday === '*') return m.schedules.monthText(Number(date), time);
	const days = date === '*' ? daysOf(weekday) : null;
	return days ? m.schedules.weekText(days, time) : m.schedules.cronText(when.trim());
}

const NAMES = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** `1`, `MON`, `MON-FRI`, `6,0`. */
function daysOf(field: string): string | null {
	const named = (text: string): string | null => {
		const at = /^[0-7]$/.test(text) ? Number(text) % 7 : NAMES.indexOf(text.toLowerCase());
		return m.schedules.weekdays[at] ?? null;
	};
	const span = field.split('-').map(named);
	if (span.length === 2) return span[0] && span[1] ? m.schedules.range(span[0], span[1]) : null;
	const days = field.split(',').map(named);
	return days.every((d) => d !== null) ? listed(days) : null;
}

/** Which backups stay: `the last 7, one for each of 7 days and one for each of 4 weeks`. */
export function keptText(keep: Keep): string {
	const said = [
		keep.last > 0 ? m.schedules.keepLast(keep.last) : '',
		...([[keep.daily, 'day'], [keep.weekly, 'week'], [keep.monthly, 'month']] as const).map(([n, unit]) => (n > 0 ? m.schedules.keepEach(n, unit) : ''))
	].filter(Boolean);
	return said.length === 0 ? m.schedules.keepNothing : listed(said);
}

const listed = (all: string[]): string => (all.length < 2 ? (all[0] ?? '') : `${all.slice(0, -1).join(', ')} ${m.schedules.and} ${all.at(-1) ?? ''}`);
