import { expect, test } from 'vitest';
import { DEFAULTS, FIELDS, read, shown } from './figures';

test('each figure survives being shown and read back', () => {
	for (const field of FIELDS) expect(read(field, shown(field, DEFAULTS)), field.id).toBe(DEFAULTS[field.id]);
});

test('what is no number of 0 or more is refused', () => {
	const [lag] = FIELDS;
	if (!lag) throw new Error('there is a first field');
	expect([read(lag, ''), read(lag, '-1'), read(lag, 'many'), read(lag, '0,5')]).toEqual([null, null, null, 512 * 1024]);
});
