import { expect, test } from 'vitest';
import { connectionString, LANGUAGES } from './connect';

const endpoint = { host: '127.20.1.1', port: 6379 };

test('no connection string carries a password, each names the variable that holds it', () => {
	for (const service of ['redis', 'postgresql', 'mysql'] as const) {
		for (const topology of ['primary-replica', 'sharded'] as const) {
			for (const { id } of LANGUAGES) {
				const text = connectionString({ service, topology }, endpoint, 'default', id);
				expect(text, `${service} ${id}`).toContain('PASSWORD');
				expect(text, `${service} ${id}`).toContain('127.20.1.1');
			}
		}
	}
});

test('a sharded cluster gets a client that follows redirections', () => {
	expect(connectionString({ service: 'redis', topology: 'sharded' }, endpoint, 'default', 'cli')).toContain('redis-cli -c ');
	expect(connectionString({ service: 'valkey', topology: 'single' }, endpoint, 'default', 'cli')).toContain('valkey-cli -h');
});

test('an IPv6 address is put in brackets where a port follows', () => {
	expect(connectionString({ service: 'redis', topology: 'single' }, { host: '::1', port: 6379 }, 'default', 'url')).toBe('redis://default:$PASSWORD@[::1]:6379');
});

test('a service without a known client has only its address', () => {
	expect(connectionString({ service: 'rabbitmq', topology: 'single' }, endpoint, 'admin', 'python')).toBe(null);
});
