// Where the boxes of a topology drawing stand, and the lines between them. Pure: widths in, positions out.
import type { Link, Role, Topology } from '$lib/api/types';

export interface DrawnNode {
	key: string;
	role: Role | null;
	shard: number | null;
	link: Link | null;
}
export interface Placed {
	key: string;
	x: number;
	y: number;
}
export interface Line {
	d: string;
	link: Link | null;
}
export interface Caption {
	shard: number;
	x: number;
	y: number;
}
export interface Drawing {
	boxes: Placed[];
	lines: Line[];
	captions: Caption[];
	width: number;
	height: number;
}
export interface Sizes {
	width: number;
	height: number;
	gapX: number;
	gapY: number;
}

const leads = (role: Role | null): boolean => role === 'primary' || role === 'shard-primary';
const CAPTION = 20;

export function draw(topology: Topology, nodes: DrawnNode[], room: number, box: Sizes): Drawing {
	if (topology === 'sharded') return columns(nodes, room, box);
	const head = topology === 'primary-replica' ? nodes.find((n) => leads(n.role)) : undefined;
	return bus(head, nodes.filter((n) => n !== head), room, box, nodes.length > 1);
}

/** The head on top, everybody else in rows below it, each row hanging on a line. */
function bus(head: DrawnNode | undefined, members: DrawnNode[], room: number, box: Sizes, joined: boolean): Drawing {
	const perRow = Math.max(1, Math.min(members.length, Math.floor((room + box.gapX) / (box.width + box.gapX))));
	const rows = Math.ceil(members.length / perRow);
	const rowWidth = perRow * box.width + (perRow - 1) * box.gapX;
	const width = Math.max(box.width, Math.min(room, Math.max(rowWidth, box.width)));
	const left = (width - rowWidth) / 2;
	const out: Drawing = { boxes: [], lines: [], captions: [], width, height: 0 };
	const middle = width / 2;
	let y = 0;
	if (head) {
		out.boxes.push({ key: head.key, x: middle - box.width / 2, y: 0 });
		y = box.height;
	}
	let above = y;
	for (let row = 0; row < rows; row++) {
		const inRow = members.slice(row * perRow, (row + 1) * perRow);
		const top = head || joined ? y + box.gapY : y;
		const rail = top - box.gapY / 2;
		const centres = inRow.map((_, i) => left + i * (box.width + box.gapX) + box.width / 2);
		inRow.forEach((node, i) => {
			const centre = centres[i] ?? middle;
			out.boxes.push({ key: node.key, x: centre - box.width / 2, y: top });
			if (joined) out.lines.push({ d: `M${centre} ${rail}V${top}`, link: node.link });
		});
		if (joined) {
			// Rows after the first hang on a trunk at the left edge, so that no line crosses a box.
			const from = Math.min(...centres, row === 0 && head ? middle : Infinity, rows > 1 ? 2 : Infinity);
			const to = Math.max(...centres, row === 0 && head ? middle : 0);
			out.lines.push({ d: `M${from} ${rail}H${to}`, link: 'up' });
			if (row === 0 && head) out.lines.push({ d: `M${middle} ${above}V${rail}`, link: 'up' });
			if (row > 0) out.lines.push({ d: `M2 ${above}V${rail}`, link: 'up' });
			above = rail;
		}
		y = top + box.height;
	}
	out.height = y;
	return out;
}

/** A column for each shard: its primary on top, its replicas below on a trunk at the left. */
function columns(nodes: DrawnNode[], room: number, box: Sizes): Drawing {
	const shards = [...new Set(nodes.map((n) => n.shard ?? -1))].sort((a, b) => a - b);
	const indent = 14;
	const column = box.width + indent;
	const perRow = Math.max(1, Math.min(shards.length, Math.floor((room + box.gapX) / (column + box.gapX))));
	const out: Drawing = { boxes: [], lines: [], captions: [], width: perRow * column + (perRow - 1) * box.gapX, height: 0 };
	const step = box.height + box.gapY / 2;
	let top = 0;
	for (let start = 0; start < shards.length; start += perRow) {
		let lowest = top;
		shards.slice(start, start + perRow).forEach((shard, i) => {
			const x = i * (column + box.gapX);
			const members = nodes.filter((n) => (n.shard ?? -1) === shard).sort((a, b) => Number(leads(b.role)) - Number(leads(a.role)));
			if (shard >= 0) out.captions.push({ shard, x, y: top });
			const y0 = top + CAPTION;
			members.forEach((node, at) => {
				const y = y0 + at * step;
				out.boxes.push({ key: node.key, x: at === 0 ? x : x + indent, y });
				if (at > 0) out.lines.push({ d: `M${x + 5} ${y0 + box.height}V${y + box.height / 2}H${x + indent}`, link: node.link });
			});
			lowest = Math.max(lowest, y0 + members.length * step - box.gapY / 2);
		});
		top = lowest + box.gapY;
	}
	out.height = Math.max(0, top - box.gapY);
	return out;
}
