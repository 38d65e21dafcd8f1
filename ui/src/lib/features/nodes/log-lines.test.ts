import { expect, test } from 'vitest';
import { addLines, type Line } from './log-lines';

test('a log that never ends keeps only its newest lines', () => {
	let lines: Line[] = [];
	for (let i = 0; i < 100; i++) lines = addLines(lines, [`a${i}`, `b${i}`], 10);
	expect(lines).toHaveLength(10);
	expect(lines.at(-1)).toEqual({ n: 200, text: 'b99' });
});

test('a burst larger than the bound keeps its end and the numbers go on', () => {
	const lines = addLines([{ n: 5, text: 'x' }], Array.from({ length: 30 }, (_, i) => String(i)), 10);
	expect(lines.map((l) => l.text)).toEqual(['20', '21', '22', '23', '24', '25', '26', '27', '28', '29']);
	expect(new Set(lines.map((l) => l.n)).size).toBe(10);
	expect(lines[0]?.n).toBe(26);
});
