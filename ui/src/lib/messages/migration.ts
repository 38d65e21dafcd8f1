// What people are told of a source before they migrate from it, by service.
import type { ServiceKind } from '$lib/api/types';

export interface Guide {
	text: string;
	example: string;
	hint: string;
	/** The cluster can follow what is written to the source. */
	follows: boolean;
}

const tls = 'Behind it ?tls=encrypt, or ?tls=verify where its certificate is one that this computer trusts.';
const memory: Guide = {
	text: 'Every key is copied with the time it has left to live, while clients go on writing to the source. Its user must be able to read all keys, and to say CLIENT TRACKING for the cluster to follow.',
	example: 'redis://user@db.example.com:6379',
	hint: `rediss:// where it speaks TLS. ${tls}`,
	follows: true
};
const postgres: Guide = {
	text: 'One database is copied as it is at one moment, with its extensions. Its user must be able to read all tables and sequences. Let nobody write to it from when the copy begins.',
	example: 'postgres://user@db.example.com:5432/shop',
	hint: `The database stands behind the host. ${tls}`,
	follows: false
};
const mysql: Guide = {
	text: 'Databases are copied as they are at one moment, with routines, triggers and events. Its user needs SELECT, SHOW VIEW, TRIGGER, EVENT and LOCK TABLES. Let nobody write to them from when the copy begins.',
	example: 'mysql://user@db.example.com:3306/store',
	hint: `Without a database behind the host all of them come. ${tls}`,
	follows: false
};
const GUIDES: Partial<Record<ServiceKind, Guide>> = { redis: memory, valkey: memory, keydb: memory, postgresql: postgres, timescaledb: postgres, hydra: postgres, mysql };

export const guideOf = (service: ServiceKind): Guide => GUIDES[service] ?? { text: '', example: '', hint: tls, follows: false };
