import { expect, test } from 'vitest';
import type { Parameter } from '$lib/api/types';
import { asked, edited, grouped, kept, shown, unfinished } from './draft';

const parameter = (name: string, over: Partial<Parameter> = {}): Parameter =>
	({ name, group: 'Memory', about: '', value: '4MB', chosen: null, unit: 'kB', kind: 'text', restart: false, fixed: null, ...over }) as Parameter;

test('an edit that changes nothing is no edit', () => {
	const work = parameter('work_mem');
	expect(edited({}, work, '64MB')).toEqual({ work_mem: '64MB' });
	expect(edited({ work_mem: '64MB' }, work, '4MB')).toEqual({});
	expect(shown(edited({}, work, ''), work), 'an emptied field stays empty').toBe('');
	expect(asked({ work_mem: ' 64MB ' })).toEqual({ work_mem: '64MB' });
	const set = parameter('work_mem', { chosen: '64MB' });
	expect(edited({}, set, null)).toEqual({ work_mem: null });
	expect(edited({ work_mem: null }, set, ' 64MB ')).toEqual({});
	expect(shown({ work_mem: null }, set)).toBe('');
	expect(shown({}, set)).toBe('64MB');
});

test('an emptied text is an edit like any other, an emptied number is not finished', () => {
	const names = parameter('search_path', { value: 'public' });
	const emptied = edited({}, names, '  ');
	expect(asked(emptied)).toEqual({ search_path: '' });
	expect(unfinished(emptied, names)).toBe(false);
	expect(edited({}, parameter('empty', { value: '' }), ''), 'it was empty before').toEqual({});
	const size = parameter('work_mem', { kind: 'number', min: 64, max: 1024, whole: true } as Partial<Parameter>);
	expect(unfinished(edited({}, size, ''), size)).toBe(true);
	expect(unfinished(edited({}, size, '8MB'), size)).toBe(false);
});

test('an edit that was applied meanwhile is none any more', () => {
	const draft = { work_mem: '64MB', shared: null, other: 'x' };
	expect(kept(draft, [parameter('work_mem', { chosen: '64MB' }), parameter('shared')])).toEqual({ other: 'x' });
	expect(kept(draft, [parameter('work_mem'), parameter('shared', { chosen: '1' })])).toEqual(draft);
});

test('parameters are found by name, by what they do, and by having been set', () => {
	const all = [parameter('a_one'), parameter('b_two', { group: 'Log', about: 'Writes slow queries' }), parameter('a_three', { chosen: '1' })];
	expect(grouped(all, '', false).map((g) => [g.name, g.items.length])).toEqual([['Memory', 2], ['Log', 1]]);
	expect(grouped(all, 'SLOW', false)[0]?.items[0]?.name).toBe('b_two');
	expect(grouped(all, '', true).flatMap((g) => g.items.map((p) => p.name))).toEqual(['a_three']);
	expect(grouped(all, 'nothing', false)).toEqual([]);
});
