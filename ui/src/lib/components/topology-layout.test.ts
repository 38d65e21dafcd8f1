import { expect, test } from 'vitest';
import { draw, type DrawnNode } from './topology-layout';

const box = { width: 100, height: 40, gapX: 20, gapY: 30 };
const node = (key: string, role: DrawnNode['role'], shard: number | null = null): DrawnNode => ({ key, role, shard, link: 'up' });
const overlapping = (boxes: { x: number; y: number }[]): boolean =>
	boxes.some((a, i) => boxes.some((b, j) => i < j && Math.abs(a.x - b.x) < box.width && Math.abs(a.y - b.y) < box.height));

test('the primary stands above its replicas and nothing overlaps', () => {
	const drawing = draw('primary-replica', [node('a', 'replica'), node('b', 'primary'), node('c', 'replica')], 400, box);
	const at = Object.fromEntries(drawing.boxes.map((b) => [b.key, b]));
	expect(at.b?.y).toBe(0);
	expect(at.a?.y).toBeGreaterThan(box.height);
	expect(overlapping(drawing.boxes)).toBe(false);
});

test('too many nodes for a row go on in the next and stay inside the room', () => {
	const nodes = [node('p', 'primary'), ...Array.from({ length: 8 }, (_, i) => node(`r${i}`, 'replica'))];
	const drawing = draw('primary-replica', nodes, 360, box);
	expect(drawing.boxes).toHaveLength(9);
	expect(Math.max(...drawing.boxes.map((b) => b.x + box.width))).toBeLessThanOrEqual(360);
	expect(overlapping(drawing.boxes)).toBe(false);
});

test('each shard has its column with its primary on top', () => {
	const nodes = [0, 1, 2].flatMap((s) => [node(`r${s}`, 'shard-replica', s), node(`p${s}`, 'shard-primary', s)]);
	const drawing = draw('sharded', nodes, 500, box);
	for (const s of [0, 1, 2]) {
		const primary = drawing.boxes.find((b) => b.key === `p${s}`);
		const replica = drawing.boxes.find((b) => b.key === `r${s}`);
		expect(primary && replica && primary.y < replica.y).toBe(true);
	}
	expect(drawing.captions.map((c) => c.shard)).toEqual([0, 1, 2]);
	expect(overlapping(drawing.boxes)).toBe(false);
});

test('a cluster whose primary is unknown is drawn too', () => {
	const drawing = draw('primary-replica', [node('a', null), node('b', null)], 400, box);
	expect(drawing.boxes).toHaveLength(2);
	expect(drawing.height).toBeGreaterThan(0);
});

test('a node alone has no lines', () => {
	expect(draw('single', [node('a', 'primary')], 300, box).lines).toEqual([]);
});
