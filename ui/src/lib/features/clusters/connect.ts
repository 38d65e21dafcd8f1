// Connection strings for common languages. The password is never part of them: they name a variable that holds it.
import type { Cluster, Credentials, Endpoint } from '$lib/api/types';

export type Language = 'cli' | 'url' | 'node' | 'python' | 'java' | 'go' | 'php' | 'rust' | 'ruby' | 'dotnet';
export const LANGUAGES: { id: Language; label: string }[] = [
	{ id: 'cli', label: 'Command line' }, { id: 'url', label: 'URL' }, { id: 'node', label: 'Node.js' }, { id: 'python', label: 'Python' }, { id: 'java', label: 'Java' },
	{ id: 'go', label: 'Go' }, { id: 'php', label: 'PHP' }, { id: 'ruby', label: 'Ruby' }, { id: 'rust', label: 'Rust' }, { id: 'dotnet', label: '.NET' }
];

const REDIS_LIKE = new Set(['redis', 'valkey', 'keydb']);
const POSTGRES_LIKE = new Set(['postgresql', 'timescaledb', 'hydra']);

/** The text that connects to `endpoint` from `language`; null where no client of that language is known for the service. */
export function connectionString(cluster: Pick<Cluster, 'service' | 'topology'>, endpoint: Pick<Endpoint, 'host' | 'port'>, user: Credentials['username'], language: Language): string | null {
	const { host, port } = endpoint;
	if (REDIS_LIKE.has(cluster.service)) return redis(cluster.service, cluster.topology === 'sharded', host, port, user, language);
	if (POSTGRES_LIKE.has(cluster.service)) return postgres(host, port, user, language);
	return language === 'url' ? `${cluster.service}://${user}:$PASSWORD@${at(host)}:${port}` : null;
}

function redis(service: string, sharded: boolean, host: string, port: number, user: string, language: Language): string {
	const cli = service === 'valkey' ? 'valkey-cli' : service === 'keydb' ? 'keydb-cli' : 'redis-cli';
	const address = `${at(host)}:${port}`;
	switch (language) {
		// The client reads the password from REDISCLI_AUTH, so that it is in no argument list.
		case 'cli': return `REDISCLI_AUTH="$PASSWORD" ${cli} ${sharded ? '-c ' : ''}-h ${host} -p ${port} --user ${user}`;
		case 'url': return `redis://${user}:$PASSWORD@${address}`;
		case 'node': return sharded
			? `createCluster({ rootNodes: [{ url: "redis://${address}" }], defaults: { username: "${user}", password: process.env.PASSWORD } })`
			: `createClient({ url: "redis://${address}", username: "${user}", password: process.env.PASSWORD })`;
		case 'python': return `redis.${sharded ? 'RedisCluster' : 'Redis'}(host="${host}", port=${port}, username="${user}", password=os.environ["PASSWORD"])`;
		case 'java': return sharded
			? `new JedisCluster(new HostAndPort("${host}", ${port}), DefaultJedisClientConfig.builder().user("${user}").password(System.getenv("PASSWORD")).build())`
			: `new JedisPooled(new HostAndPort("${host}", ${port}), DefaultJedisClientConfig.builder().user("${user}").password(System.getenv("PASSWORD")).build())`;
		case 'go': return sharded
			? `redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"${address}"}, Username: "${user}", Password: os.Getenv("PASSWORD")})`
			: `redis.NewClient(&redis.Options{Addr: "${address}", Username: "${user}", Password: os.Getenv("PASSWORD")})`;
		case 'php': return sharded
			? `new RedisCluster(null, ["${address}"], 2, 2, false, ["user" => "${user}", "pass" => getenv("PASSWORD")])`
			: `$redis = new Redis(); $redis->connect("${host}", ${port}); $redis->auth(["${user}", getenv("PASSWORD")]);`;
		case 'ruby': return sharded
			? `RedisClient.cluster(nodes: ["redis://${address}"], username: "${user}", password: ENV["PASSWORD"]).new_client`
			: `Redis.new(host: "${host}", port: ${port}, username: "${user}", password: ENV["PASSWORD"])`;
		case 'rust': return sharded
			? `redis::cluster::ClusterClient::new(vec![format!("redis://${user}:{}@${address}", std::env::var("PASSWORD")?)])?`
			: `redis::Client::open(format!("redis://${user}:{}@${address}", std::env::var("PASSWORD")?))?`;
		case 'dotnet': return `ConnectionMultiplexer.Connect(new ConfigurationOptions { EndPoints = { "${address}" }, User = "${user}", Password = Environment.GetEnvironmentVariable("PASSWORD") })`;
	}
}

function postgres(host: string, port: number, user: string, language: Language): string {
	switch (language) {
		case 'cli': return `PGPASSWORD="$PASSWORD" psql -h ${host} -p ${port} -U ${user} postgres`;
		case 'url': return `postgresql://${user}:$PASSWORD@${at(host)}:${port}/postgres`;
		case 'node': return `new Pool({ host: "${host}", port: ${port}, user: "${user}", password: process.env.PASSWORD, database: "postgres" })`;
		case 'python': return `psycopg.connect(host="${host}", port=${port}, user="${user}", password=os.environ["PASSWORD"], dbname="postgres")`;
		case 'java': return `DriverManager.getConnection("jdbc:postgresql://${at(host)}:${port}/postgres", "${user}", System.getenv("PASSWORD"))`;
		case 'go': return `pgx.Connect(ctx, fmt.Sprintf("postgresql://${user}:%s@${at(host)}:${port}/postgres", os.Getenv("PASSWORD")))`;
		case 'php': return `new PDO("pgsql:host=${host};port=${port};dbname=postgres", "${user}", getenv("PASSWORD"))`;
		case 'ruby': return `PG.connect(host: "${host}", port: ${port}, user: "${user}", password: ENV["PASSWORD"], dbname: "postgres")`;
		case 'rust': return `Config::new().host("${host}").port(${port}).user("${user}").password(std::env::var("PASSWORD")?).dbname("postgres")`;
		case 'dotnet': return `new NpgsqlConnection($"Host=${host};Port=${port};Username=${user};Password={Environment.GetEnvironmentVariable("PASSWORD")};Database=postgres")`;
	}
}

const at = (host: string): string => (host.includes(':') ? `[${host}]` : host);
