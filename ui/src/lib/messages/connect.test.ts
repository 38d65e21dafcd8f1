import { expect, test } from 'vitest';
import { connectionString, LANGUAGES, languagesOf } from './connect';

const endpoint = { host: '127.20.1.1', port: 6379 };
const who = (program: string): { user: string; program: string } => ({ user: 'default', program });

test('no connection string carries a password, each names the variable that holds it', () => {
	for (const service of ['redis', 'postgresql', 'mysql'] as const) {
		for (const topology of ['primary-replica', 'sharded'] as const) {
			for (const { id } of LANGUAGES) {
				const text = connectionString({ service, topology }, endpoint, who('some-cli'), id);
				expect(text, `${service} ${id}`).toContain('PASSWORD');
				expect(text, `${service} ${id}`).toContain('127.20.1.1');
			}
		}
	}
});

test('a sharded cluster gets a client that follows redirections', () => {
	expect(connectionString({ service: 'redis', topology: 'sharded' }, endpoint, who('redis-cli'), 'cli')).toContain('redis-cli -c ');
	expect(connectionString({ service: 'valkey', topology: 'single' }, endpoint, who('valkey-cli'), 'cli')).toContain('valkey-cli -h');
});

test('an IPv6 address is put in brackets where a port follows', () => {
	expect(connectionString({ service: 'redis', topology: 'single' }, { host: '::1', port: 6379 }, who('redis-cli'), 'url')).toBe('redis://default:$PASSWORD@[::1]:6379');
});

test('a service without a known client has only its address', () => {
	expect(connectionString({ service: 'rabbitmq', topology: 'single' }, endpoint, who(''), 'python')).toBe(null);
	expect(languagesOf('rabbitmq').map((l) => l.id)).toEqual(['url']);
});

test('the program of a terminal is the one that its servers name, not that of the protocol', () => {
	expect(connectionString({ service: 'mysql', topology: 'multi-master' }, { host: '127.20.1.1', port: 3306 }, { user: 'app', program: 'mariadb' }, 'cli')).toBe(
		'MYSQL_PWD="$PASSWORD" mariadb -h 127.20.1.1 -P 3306 -u app app'
	);
});
