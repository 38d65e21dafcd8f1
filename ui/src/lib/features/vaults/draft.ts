// What is typed into the form of a vault, and what becomes of it.
import type { NewVault, VaultPlace } from '$lib/api/types';

export type PlaceKind = VaultPlace['kind'];
export const KINDS: PlaceKind[] = ['local', 's3', 'borg'];

export interface Draft {
	kind: PlaceKind;
	id: string;
	path: string;
	endpoint: string;
	region: string;
	bucket: string;
	prefix: string;
	accessKey: string;
	repository: string;
	secret: string;
}
export const EMPTY: Draft = { kind: 'local', id: '', path: '', endpoint: '', region: 'us-east-1', bucket: '', prefix: '', accessKey: '', repository: '', secret: '' };

function placeOf(draft: Draft): VaultPlace {
	switch (draft.kind) {
		case 'local':
			return { kind: 'local', path: draft.path.trim() };
		case 's3':
			return {
				kind: 's3', endpoint: draft.endpoint.trim(), region: draft.region.trim() || EMPTY.region, bucket: draft.bucket.trim(), prefix: draft.prefix.trim(), access_key: draft.accessKey.trim()
			};
		case 'borg':
			return { kind: 'borg', repository: draft.repository.trim() };
	}
}

/** A passphrase may begin or end with a blank; a folder has no secret. */
export const vaultOf = (draft: Draft): NewVault => ({ ...placeOf(draft), id: draft.id.trim(), ...(draft.kind === 'local' ? {} : { secret: draft.secret }) });

/** There is enough to ask the place. */
export function triable(draft: Draft): boolean {
	const typed = (...texts: string[]): boolean => texts.every((text) => text.trim() !== '');
	switch (draft.kind) {
		case 'local':
			return typed(draft.path);
		case 's3':
			return typed(draft.endpoint, draft.bucket, draft.accessKey, draft.secret);
		case 'borg':
			return typed(draft.repository, draft.secret);
	}
}
