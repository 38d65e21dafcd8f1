import { describe, expect, it } from 'vitest';
import { EMPTY, triable, vaultOf } from './draft';

describe('the form of a vault', () => {
	it('sends only what belongs to its kind, and no secret for a folder', () => {
		const typed = { ...EMPTY, id: ' nas ', path: ' /mnt/nas ', repository: '/srv/borg', secret: ' two words ' };
		expect(vaultOf(typed)).toEqual({ kind: 'local', id: 'nas', path: '/mnt/nas' });
		expect(vaultOf({ ...typed, kind: 'borg' })).toEqual({ kind: 'borg', id: 'nas', repository: '/srv/borg', secret: ' two words ' });
	});
	it('is asked when there is enough to ask with, whatever it will be called', () => {
		expect(triable(EMPTY)).toBe(false);
		expect(triable({ ...EMPTY, path: '/mnt/nas' })).toBe(true);
		expect(triable({ ...EMPTY, kind: 's3', endpoint: 'https://s3.example.org', bucket: 'b', accessKey: 'A' })).toBe(false);
		expect(triable({ ...EMPTY, kind: 's3', endpoint: 'https://s3.example.org', bucket: 'b', accessKey: 'A', secret: 's' })).toBe(true);
	});
});
