import { expect, test } from 'vitest';
import { EventReader } from './event-reader';
import type { StreamEvent } from './transport';

function read(...pieces: string[]): StreamEvent[] {
	const events: StreamEvent[] = [];
	const reader = new EventReader((e) => events.push(e));
	for (const piece of pieces) reader.push(piece);
	return events;
}

test('an event that arrives in pieces is put together', () => {
	expect(read('id: 7\nev', 'ent: cluster-changed\ndata: {"a"', ':1}\n', '\n')).toEqual([
		{ event: 'cluster-changed', id: '7', data: '{"a":1}' }
	]);
});

test('several data lines are one text, comments are left out and the id stays for the next event', () => {
	expect(read(': hello\nid: 1\ndata: a\ndata: b\n\ndata: c\n\n')).toEqual([
		{ event: 'message', id: '1', data: 'a\nb' },
		{ event: 'message', id: '1', data: 'c' }
	]);
});

test('a carriage return split from its line feed does not end the event twice', () => {
	expect(read('data: a\r', '\n\r\n')).toHaveLength(1);
});

test('an event without data is still told, since `reset` carries none', () => {
	expect(read('event: reset\n\n')).toEqual([{ event: 'reset', id: null, data: '' }]);
});
