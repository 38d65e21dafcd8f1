import { describe, expect, test } from 'vitest';
import type { PointInTime } from '$lib/api/types';
import { held, line, read, written } from './moment';

const range: PointInTime = {
	on: true, vault: 'local', behind_ms: 0, waiting_bytes: 0, waiting_most_bytes: 0, stored_bytes: 0, problem: null,
	ranges: [{ from: '2026-11-29T10:00:00.5Z', to: '2026-11-29T11:00:00Z' }, { from: '2026-11-29T13:00:00Z', to: '2026-11-29T14:00:01Z' }],
	bases: [{ backup: 'bak_1', at: '2026-11-29T10:00:00.5Z', verified: true }, { backup: 'bak_2', at: '2026-11-29T13:00:00Z', verified: false }]
};

describe('moments', () => {
	test('are written and read as the clocks of a zone show them', () => {
		expect(written('2026-11-29T12:00:00Z', 'Europe/Berlin')).toBe('2026-11-29 13:00:00');
		expect(read('2026-11-29 13:00:00', 'Europe/Berlin')).toBe('2026-11-29T12:00:00Z');
		expect(read('2026-07-01T13:00', 'America/New_York')).toBe('2026-07-01T17:00:00Z');
		// An hour that came twice is the first; one that never came is none.
		expect(read('2026-10-25 02:30:00', 'Europe/Berlin')).toBe('2026-10-25T00:30:00Z');
		expect(read('2026-03-29 02:30:00', 'Europe/Berlin')).toBeNull();
	});
	test('that are none are told', () => {
		for (const text of ['', 'yesterday', '2026-02-30 10:00:00', '2026-11-29 24:00:00', '2026-11-29 12:60:00']) expect(read(text, 'UTC')).toBeNull();
	});
	test('lie on a line with its holes', () => {
		const drawn = line(range);
		expect(drawn?.to).toBe(Date.parse('2026-11-29T14:00:01Z') / 1000);
		expect(drawn?.parts.map((p) => p.wide.toFixed(2))).toEqual(['0.25', '0.25']);
		expect(drawn?.marks.map((mark) => mark.at.toFixed(2))).toEqual(['0.00', '0.75']);
		expect(held('2026-11-29T10:30:00Z', range)).toBe(true);
		expect(held('2026-11-29T12:00:00Z', range)).toBe(false);
		expect(line({ ...range, ranges: [] })).toBeNull();
	});
});
