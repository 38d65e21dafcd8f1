// What people are told of a source before they migrate from it, by service.
import type { Check, ServiceKind } from '$lib/api/types';

export interface Guide {
	text: string;
	example: string;
	hint: string;
	/** The cluster can follow what is written to the source, where the source allows it. */
	follows: boolean;
	/** What happens where it does not. */
	unfollowed: string;
}

const tls = 'Behind it ?tls=encrypt, or ?tls=verify where this computer trusts who signed its certificate.';
const memory: Guide = {
	text: 'Every key is copied with the time it has left to live, while clients go on writing to the source. Its user must be able to read all keys, and to say CLIENT TRACKING for the cluster to follow.',
	example: 'redis://user@db.example.com:6379',
	hint: `rediss:// where it speaks TLS. ${tls}`,
	follows: true,
	unfollowed: 'Otherwise it ends as soon as the cluster has everything.'
};
const dump = 'Otherwise a dump of one moment comes in, and what is written after it stays behind.';
const postgres: Guide = {
	text: 'One database is copied as it is at one moment, with its extensions, and then followed by logical replication while clients go on writing. Its user must be able to read everything, to replicate, and to publish its tables; wal_level must be logical. Where that does not hold, a dump is taken and the checks say why.',
	example: 'postgres://user@db.example.com:5432/shop',
	hint: `The database stands behind the host. ${tls}`,
	follows: true,
	unfollowed: dump
};
const mysql: Guide = {
	text: 'Databases are copied as they are at one moment, with routines, triggers and events, and then followed by the binary log while clients go on writing. Its user needs SELECT, SHOW VIEW, TRIGGER, EVENT and LOCK TABLES, to follow also REPLICATION SLAVE and BINLOG MONITOR. Where that does not hold, a dump is taken and the checks say why.',
	example: 'mysql://user@db.example.com:3306/store',
	hint: `Without a database behind the host all of them come. ${tls}`,
	follows: true,
	unfollowed: dump
};
const GUIDES: Partial<Record<ServiceKind, Guide>> = { redis: memory, valkey: memory, keydb: memory, postgresql: postgres, timescaledb: postgres, hydra: postgres, mysql };

export const guideOf = (service: ServiceKind): Guide => GUIDES[service] ?? { text: '', example: '', hint: tls, follows: false, unfollowed: '' };

/** Whether what is written to the source meanwhile comes along, as its checks say; null where they did not come so far. */
export function wayOf(checks: Check[], follow: boolean): 'online' | 'dump' | null {
	const changes = checks.find((check) => check.id === 'changes');
	if (!follow || !changes || changes.state === 'skipped' || changes.state === 'failed') return null;
	return changes.state === 'passed' ? 'online' : 'dump';
}
