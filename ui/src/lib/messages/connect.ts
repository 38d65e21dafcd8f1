// Connection strings for common languages: the texts that differ by service. The password is never part of them: they name
// a variable that holds it. Where a server has several databases, people own one that is called as they are.
import type { Cluster, Endpoint } from '$lib/api/types';

export type Language = 'cli' | 'url' | 'node' | 'python' | 'java' | 'go' | 'php' | 'rust' | 'ruby' | 'dotnet';
export const LANGUAGES: { id: Language; label: string }[] = [
	{ id: 'cli', label: 'Command line' }, { id: 'url', label: 'URL' }, { id: 'node', label: 'Node.js' }, { id: 'python', label: 'Python' }, { id: 'java', label: 'Java' },
	{ id: 'go', label: 'Go' }, { id: 'php', label: 'PHP' }, { id: 'ruby', label: 'Ruby' }, { id: 'rust', label: 'Rust' }, { id: 'dotnet', label: '.NET' }
];

const REDIS_LIKE = new Set(['redis', 'valkey', 'keydb']);
const POSTGRES_LIKE = new Set(['postgresql', 'timescaledb', 'hydra']);
const MYSQL_LIKE = new Set(['mysql']);

/** Who connects: a user of the cluster, and the program of a terminal that its servers know (`mariadb`); both are the API's to say. */
export interface Who {
	user: string;
	program: string;
}

/** The languages that a client is known for. */
export const languagesOf = (service: Cluster['service']): typeof LANGUAGES =>
	LANGUAGES.filter((l) => l.id === 'url' || REDIS_LIKE.has(service) || POSTGRES_LIKE.has(service) || MYSQL_LIKE.has(service));

/** The text that connects to `endpoint` from `language`; null where no client of that language is known for the service. */
export function connectionString(cluster: Pick<Cluster, 'service' | 'topology'>, endpoint: Pick<Endpoint, 'host' | 'port'>, who: Who, language: Language): string | null {
	const { host, port } = endpoint;
	const { user, program } = who;
	if (REDIS_LIKE.has(cluster.service)) return redis(program, cluster.topology === 'sharded', host, port, user, language);
	if (POSTGRES_LIKE.has(cluster.service)) return postgres(program, host, port, user, language);
	if (MYSQL_LIKE.has(cluster.service)) return mysql(program, host, port, user, language);
	return language === 'url' ? `${cluster.service}://${user}:$PASSWORD@${at(host)}:${port}` : null;
}

function redis(program: string, sharded: boolean, host: string, port: number, user: string, language: Language): string {
	const address = `${at(host)}:${port}`;
	switch (language) {
		// The client reads the password from REDISCLI_AUTH, so that it is in no argument list.
		case 'cli': return `REDISCLI_AUTH="$PASSWORD" ${program} ${sharded ? '-c ' : ''}-h ${host} -p ${port} --user ${user}`;
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

function postgres(program: string, host: string, port: number, user: string, language: Language): string {
	switch (language) {
		case 'cli': return `PGPASSWORD="$PASSWORD" ${program} -h ${host} -p ${port} -U ${user} ${user}`;
		case 'url': return `postgresql://${user}:$PASSWORD@${at(host)}:${port}/${user}`;
		case 'node': return `new Pool({ host: "${host}", port: ${port}, user: "${user}", password: process.env.PASSWORD, database: "${user}" })`;
		case 'python': return `psycopg.connect(host="${host}", port=${port}, user="${user}", password=os.environ["PASSWORD"], dbname="${user}")`;
		case 'java': return `DriverManager.getConnection("jdbc:postgresql://${at(host)}:${port}/${user}", "${user}", System.getenv("PASSWORD"))`;
		case 'go': return `pgx.Connect(ctx, fmt.Sprintf("postgresql://${user}:%s@${at(host)}:${port}/${user}", os.Getenv("PASSWORD")))`;
		case 'php': return `new PDO("pgsql:host=${host};port=${port};dbname=${user}", "${user}", getenv("PASSWORD"))`;
		case 'ruby': return `PG.connect(host: "${host}", port: ${port}, user: "${user}", password: ENV["PASSWORD"], dbname: "${user}")`;
		case 'rust': return `Config::new().host("${host}").port(${port}).user("${user}").password(std::env::var("PASSWORD")?).dbname("${user}")`;
		case 'dotnet': return `new NpgsqlConnection($"Host=${host};Port=${port};Username=${user};Password={Environment.GetEnvironmentVariable("PASSWORD")};Database=${user}")`;
	}
}

function mysql(program: string, host: string, port: number, user: string, language: Language): string {
	switch (language) {
		case 'cli': return `MYSQL_PWD="$PASSWORD" ${program} -h ${host} -P ${port} -u ${user} ${user}`;
		case 'url': return `mysql://${user}:$PASSWORD@${at(host)}:${port}/${user}`;
		case 'node': return `mysql.createPool({ host: "${host}", port: ${port}, user: "${user}", password: process.env.PASSWORD, database: "${user}" })`;
		case 'python': return `pymysql.connect(host="${host}", port=${port}, user="${user}", password=os.environ["PASSWORD"], database="${user}")`;
		case 'java': return `DriverManager.getConnection("jdbc:mysql://${at(host)}:${port}/${user}", "${user}", System.getenv("PASSWORD"))`;
		case 'go': return `sql.Open("mysql", fmt.Sprintf("${user}:%s@tcp(${at(host)}:${port})/${user}", os.Getenv("PASSWORD")))`;
		case 'php': return `new PDO("mysql:host=${host};port=${port};dbname=${user}", "${user}", getenv("PASSWORD"))`;
		case 'ruby': return `Mysql2::Client.new(host: "${host}", port: ${port}, username: "${user}", password: ENV["PASSWORD"], database: "${user}")`;
		case 'rust': return `OptsBuilder::new().ip_or_hostname(Some("${host}")).tcp_port(${port}).user(Some("${user}")).pass(std::env::var("PASSWORD").ok()).db_name(Some("${user}"))`;
		case 'dotnet': return `new MySqlConnection($"Server=${host};Port=${port};User ID=${user};Password={Environment.GetEnvironmentVariable("PASSWORD")};Database=${user}")`;
	}
}

/** `host:port`, an IPv6 address in brackets. */
export const addressOf = (host: string, port: number): string => `${at(host)}:${String(port)}`;
const at = (host: string): string => (host.includes(':') ? `[${host}]` : host);
