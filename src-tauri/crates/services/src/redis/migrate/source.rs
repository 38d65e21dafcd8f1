//! The server that data comes from: one, or the primaries of its cluster. We read, and listen to which keys are written.
//!
//! Which keys those are a server tells clients that keep copies of them (`CLIENT TRACKING … BCAST`, from Redis 6 on). That is a
//! right that everybody has, with managed services too, where being a replica (PSYNC) is refused; and it leaves nothing there.

use super::slots;
use crate::{
    outside::{Refused, tls},
    redis::{info::Info, session::command},
};
use clusterdeck_domain::{SourceTls, SourceUrl};
use clusterdeck_driver::{DriverError, Result};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// For connecting and signing in.
const CONNECT: Duration = Duration::from_secs(5);
/// For one answer; a very large value takes its time.
const ANSWER: Duration = Duration::from_secs(60);
/// What may be noted of keys that were written and are not copied again yet. Beyond it everything counts as written.
const NOTED_BYTES: usize = 48 << 20;
/// What a noted key costs beside its name.
const NOTED_EACH: usize = 64;

/// Keys that were written since they were copied.
#[derive(Default)]
pub(super) struct Written {
    keys: HashSet<Vec<u8>>,
    bytes: usize,
    /// All keys may have been.
    everything: bool,
    /// Nobody tells any more.
    lost: bool,
}

/// Hears which keys are written.
#[derive(Default)]
pub(super) struct Ear {
    written: Mutex<Written>,
    heard: Notify,
}

impl Ear {
    fn with<T>(&self, act: impl FnOnce(&mut Written) -> T) -> T {
        act(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn hear(&self, push: PushInfo) {
        self.with(|written| match push.kind {
            PushKind::Disconnection => written.lost = true,
            PushKind::Invalidate => match push.data.into_iter().next() {
                Some(Value::Array(keys)) => {
                    for key in keys {
                        let Value::BulkString(key) = key else { continue };
                        let cost = key.len() + NOTED_EACH;
                        if written.keys.insert(key) {
                            written.bytes += cost;
                        }
                    }
                    if written.bytes > NOTED_BYTES {
                        *written = Written { everything: true, lost: written.lost, ..Written::default() };
                    }
                }
                // A database was emptied.
                _ => written.everything = true,
            },
            _ => {}
        });
        self.heard.notify_one();
    }
    /// Those that were written, at most so many; they count as copied from now on.
    fn take(&self, most: usize) -> Vec<Vec<u8>> {
        self.with(|written| {
            let some: Vec<Vec<u8>> = written.keys.iter().take(most).cloned().collect();
            for key in &some {
                written.keys.remove(key);
                written.bytes = written.bytes.saturating_sub(key.len() + NOTED_EACH);
            }
            if written.keys.is_empty() {
                written.bytes = 0;
            }
            some
        })
    }
    pub(super) fn is_written(&self, key: &[u8]) -> bool {
        self.with(|written| written.everything || written.keys.contains(key))
    }
}

/// A value on its way.
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    /// When it goes by itself, in milliseconds since 1970; 0: never.
    pub(super) ends: i64,
    /// As the server writes it down; `None`: there is no such key.
    pub(super) value: Option<Vec<u8>>,
}

impl Item {
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
    /// The value without the version and the checksum behind it.
    pub(super) fn body(&self) -> Option<&[u8]> {
        let value = self.value.as_ref()?;
        value.get(..value.len().saturating_sub(10))
    }
}

/// One server of the source.
pub(super) struct Server {
    /// Where, for errors.
    pub(super) at: String,
    data: MultiplexedConnection,
    tells: Option<MultiplexedConnection>,
    pub(super) ear: Arc<Ear>,
    pub(super) info: Info,
    /// Knows `PEXPIRETIME`.
    pub(super) modern: bool,
    /// The database its session is in.
    in_database: u32,
    /// Databases that ever held a key while we looked.
    databases: BTreeSet<u32>,
    sharded: bool,
}

fn refused(url: &SourceUrl, e: &RedisError) -> Refused {
    let at = url.place();
    let detail = e.detail().unwrap_or_default();
    let code = e.code().unwrap_or_default();
    if e.kind() == ErrorKind::AuthenticationFailed || ["WRONGPASS", "NOAUTH", "NOPERM"].contains(&code) {
        return Refused::Credentials(format!("{at} does not accept the user or the password"));
    }
    if e.is_connection_refusal() {
        return Refused::Unreachable(format!("nobody listens at {at}"));
    }
    if let Some(refused) = tls::distrusted(url, e) {
        return refused;
    }
    if e.is_timeout() {
        return Refused::Unreachable(format!("{at} does not answer within {} s", CONNECT.as_secs()));
    }
    if e.is_io_error() || e.is_connection_dropped() {
        return Refused::Unreachable(format!("{at} cannot be reached: {e}"));
    }
    Refused::Other(format!("{at} refused: {code} {detail}"))
}

/// What the source said, in the words of the contract. Its answers hold no password.
fn broke(at: &str, e: &RedisError) -> DriverError {
    if e.is_timeout() || e.is_io_error() || e.is_connection_dropped() || e.is_connection_refusal() {
        return DriverError::transient(format!("the source at {at} does not answer"));
    }
    let said = format!("{} {}", e.code().unwrap_or_default(), e.detail().unwrap_or_default());
    match e.code() {
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK") => {
            DriverError::transient(format!("the source at {at} says: {said}"))
        }
        _ => DriverError::rejected(
            format!("the source at {at} refused: {said}"),
            "Look at the rights of its user.",
        ),
    }
}

async fn connect(
    url: &SourceUrl,
    place: (&str, u16),
    ear: Option<Arc<Ear>>,
) -> std::result::Result<MultiplexedConnection, RedisError> {
    let (host, port) = (place.0.to_owned(), place.1);
    let address = match url.tls {
        SourceTls::Off => ConnectionAddr::Tcp(host, port),
        way => ConnectionAddr::TcpTls { host, port, insecure: way == SourceTls::Encrypt, tls_params: None },
    };
    let protocol = if ear.is_some() { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let mut settings = RedisConnectionInfo::default().set_protocol(protocol).set_skip_set_lib_name();
    if let Some(user) = &url.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &url.password {
        settings = settings.set_password(password.reveal());
    }
    let mut config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
    if let Some(ear) = ear {
        config = config.set_push_sender(move |push| {
            ear.hear(push);
            Ok::<(), redis::aio::SendError>(())
        });
    }
    let at = address.into_connection_info()?.set_redis_settings(settings);
    let client = match tls::authorities(url) {
        Some(ca) => Client::build_with_tls(
            at,
            TlsCertificates { client_tls: None, root_cert: Some(ca.pem().into_bytes()) },
        )?,
        None => Client::open(at)?,
    };
    match tokio::time::timeout(CONNECT, client.get_multiplexed_async_connection_with_config(&config)).await {
        Ok(done) => done,
        Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}

impl Server {
    /// Signs in and asks what it is.
    pub(super) async fn open(url: &SourceUrl, host: &str, port: u16) -> std::result::Result<Self, Refused> {
        let there = SourceUrl { host: host.to_owned(), port: Some(port), ..url.clone() };
        if url.tls == SourceTls::Verify {
            tls::roots(url)?;
        }
        let at = there.place();
        let mut data = connect(url, (host, port), None).await.map_err(|e| refused(&there, &e))?;
        let said: std::result::Result<String, _> = command("INFO").query_async(&mut data).await;
        let info = Info::parse(&said.map_err(|e| refused(&there, &e))?);
        let modern = version(&info) >= (7, 0) || info.text("valkey_version").is_some();
        let sharded = info.is("cluster_enabled", "1");
        Ok(Self {
            at,
            data,
            tells: None,
            ear: Arc::default(),
            info,
            modern,
            in_database: 0,
            databases: BTreeSet::new(),
            sharded,
        })
    }
    /// Begins to listen. What a server from before Redis 6, or one that lets nobody, says is `Err`.
    pub(super) async fn listen(
        &mut self,
        url: &SourceUrl,
        host: &str,
        port: u16,
    ) -> std::result::Result<(), String> {
        let said =
            |e: RedisError| format!("{} {}", e.code().unwrap_or_default(), e.detail().unwrap_or_default());
        let mut tells = connect(url, (host, port), Some(self.ear.clone())).await.map_err(said)?;
        command("CLIENT TRACKING ON BCAST").query_async::<()>(&mut tells).await.map_err(said)?;
        self.tells = Some(tells);
        Ok(())
    }
    /// Keys of it that wait to be copied again.
    pub(super) fn ear_waiting(&self) -> u64 {
        self.ear.with(|written| written.keys.len() as u64)
    }
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T> {
        command.query_async(&mut self.data).await.map_err(|e| broke(&self.at, &e))
    }
    /// What it refuses is `Ok(Err)` in its own words.
    pub(super) async fn try_out(&mut self, command: &Cmd) -> Result<std::result::Result<Value, String>> {
        match command.query_async::<Value>(&mut self.data).await {
            Ok(value) => Ok(Ok(value)),
            Err(e) => match broke(&self.at, &e) {
                DriverError::Rejected { what, .. } => Ok(Err(what)),
                other => Err(other),
            },
        }
    }
    async fn together<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T> {
        commands.query_async(&mut self.data).await.map_err(|e| broke(&self.at, &e))
    }
    /// Databases that hold keys, or did while we looked, with how many keys each has now.
    pub(super) async fn databases(&mut self) -> Result<BTreeMap<u32, u64>> {
        let said: String = self.ask(&command("INFO keyspace")).await?;
        let found = said.lines().filter_map(|line| {
            let (database, figures) = line.trim().strip_prefix("db")?.split_once(':')?;
            let keys = figures.split(',').find_map(|f| f.strip_prefix("keys=")?.parse().ok())?;
            Some((database.parse().ok()?, keys))
        });
        let mut found: BTreeMap<u32, u64> = found.collect();
        self.databases.extend(found.keys());
        for database in &self.databases {
            found.entry(*database).or_default();
        }
        Ok(found)
    }
    pub(super) async fn enter(&mut self, database: u32) -> Result<()> {
        if self.in_database != database {
            self.ask::<()>(command("SELECT").arg(database)).await?;
            self.in_database = database;
        }
        Ok(())
    }
    /// Some keys from where `cursor` is, and where to go on.
    pub(super) async fn scan(
        &mut self,
        database: u32,
        cursor: u64,
        count: usize,
    ) -> Result<(u64, Vec<Vec<u8>>)> {
        self.enter(database).await?;
        self.ask(command("SCAN").arg(cursor).arg("COUNT").arg(count)).await
    }
    /// Values as they are now, with the moments at which they go by themselves.
    pub(super) async fn fetch(&mut self, database: u32, keys: &[Vec<u8>]) -> Result<Vec<Item>> {
        self.enter(database).await?;
        let now = jiff::Timestamp::now().as_millisecond();
        let ends = if self.modern { "PEXPIRETIME" } else { "PTTL" };
        let mut all = redis::pipe();
        for key in keys {
            all.cmd("DUMP").arg(key).cmd(ends).arg(key);
        }
        let answers: Vec<(Option<Vec<u8>>, i64)> =
            self.together::<Vec<Value>>(&all).await.and_then(|values| {
                let odd = || DriverError::broken("the source answered DUMP with something else");
                let pairs = values.chunks_exact(2).map(|pair| {
                    let value = match &pair[0] {
                        Value::BulkString(value) => Some(value.clone()),
                        _ => None,
                    };
                    match &pair[1] {
                        Value::Int(ends) => Ok((value, *ends)),
                        _ => Err(odd()),
                    }
                });
                pairs.collect()
            })?;
        let at = |ends: i64| match (ends, self.modern) {
            (..=0, _) => 0,
            (ends, true) => ends,
            (left, false) => now + left,
        };
        let made = keys.iter().zip(answers);
        Ok(made.map(|(key, (value, ends))| Item { key: key.clone(), ends: at(ends), value }).collect())
    }
    /// Which of these keys it has.
    pub(super) async fn has(&mut self, database: u32, keys: &[&Vec<u8>]) -> Result<Vec<bool>> {
        self.enter(database).await?;
        let mut all = redis::pipe();
        for key in keys {
            all.cmd("EXISTS").arg(*key);
        }
        self.together(&all).await
    }
    /// Its library of functions, where it has one.
    pub(super) async fn functions(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.modern {
            return Ok(None);
        }
        match self.try_out(&command("FUNCTION DUMP")).await? {
            // Nothing but a version and a checksum.
            Ok(Value::BulkString(dump)) if dump.len() > 10 => Ok(Some(dump)),
            _ => Ok(None),
        }
    }
}

/// `7.0.15` as numbers, of Redis or what it says it is like.
pub(super) fn version(info: &Info) -> (u32, u32) {
    let text = info.text("redis_version").unwrap_or_default();
    let mut parts = text.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// All servers of the source.
pub(super) struct Source {
    pub(super) servers: Vec<Server>,
    /// Which server has which slot, where it is a cluster.
    by_slot: Option<Vec<usize>>,
    /// Why nobody tells what is written.
    pub(super) deaf: Option<String>,
}

impl Source {
    /// Opens all of it and begins to listen.
    pub(super) async fn open(url: &SourceUrl) -> Result<Self> {
        let mut first = Server::open(url, &url.host, url.port()).await?;
        let (mut servers, mut by_slot, mut deaf) = (Vec::new(), None, None);
        if first.sharded {
            let said: Vec<Value> = first.ask(&command("CLUSTER SLOTS")).await?;
            let mut map = vec![usize::MAX; usize::from(slots::SLOTS)];
            let mut places: Vec<(String, u16)> = Vec::new();
            for (range, host, port) in said.iter().filter_map(|one| slots::range(one, &url.host)) {
                let known = places.iter().position(|p| *p == (host.clone(), port));
                let at = known.unwrap_or_else(|| {
                    places.push((host, port));
                    places.len() - 1
                });
                for slot in range {
                    map[usize::from(slot)] = at;
                }
            }
            if map.contains(&usize::MAX) {
                return Err(DriverError::transient("some slots of the source have no server"));
            }
            by_slot = Some(map);
            for (host, port) in &places {
                let mut server = Server::open(url, host, *port).await?;
                deaf = server.listen(url, host, *port).await.err().or(deaf);
                servers.push(server);
            }
        } else {
            deaf = first.listen(url, &url.host, url.port()).await.err();
            servers.push(first);
        }
        Ok(Self { servers, by_slot, deaf })
    }
    pub(super) fn is_sharded(&self) -> bool {
        self.by_slot.is_some()
    }
    /// Which of its servers has a key.
    pub(super) fn of(&self, key: &[u8]) -> usize {
        self.by_slot.as_ref().map_or(0, |map| map[usize::from(slots::slot(key))])
    }
    /// Keys in all of it.
    pub(super) async fn keys(&mut self) -> Result<u64> {
        let mut sum = 0;
        for server in &mut self.servers {
            sum += server.databases().await?.values().sum::<u64>();
        }
        Ok(sum)
    }
    /// Everything that was acknowledged before this call has been heard of when it returns: what a server tells comes in order,
    /// at the latest in the round after the one that wrote it.
    pub(super) async fn heard_all(&mut self) -> Result<()> {
        for server in &mut self.servers {
            let Some(tells) = &mut server.tells else { continue };
            for _ in 0..2 {
                command("PING").query_async::<Value>(tells).await.map_err(|e| broke(&server.at, &e))?;
            }
        }
        self.still_told()
    }
    /// Fails when what was written may have been missed.
    pub(super) fn still_told(&self) -> Result<()> {
        match self.servers.iter().find(|server| server.ear.with(|written| written.lost)) {
            None => Ok(()),
            Some(server) => Err(DriverError::transient(format!(
                "the source at {} closed the session that tells what is written",
                server.at
            ))),
        }
    }
    /// More was written than could be noted, or a database was emptied: all must be looked at again. Says so once.
    pub(super) fn everything_written(&self) -> bool {
        let said = |server: &Server| server.ear.with(|written| std::mem::take(&mut written.everything));
        // Each is asked: none may keep it.
        self.servers.iter().filter(|server| said(server)).count() > 0
    }
    /// Keys that wait to be copied again.
    pub(super) fn waiting(&self) -> u64 {
        let count =
            |server: &Server| server.ear.with(|written| written.keys.len() + usize::from(written.everything));
        self.servers.iter().map(|server| count(server) as u64).sum()
    }
    pub(super) fn take(&self, server: usize, most: usize) -> Vec<Vec<u8>> {
        self.servers[server].ear.take(most)
    }
    /// Waits until one of them tells something.
    pub(super) async fn until_heard(&self) {
        let heard = self.servers.iter().map(|server| Box::pin(server.ear.heard.notified()));
        drop(futures::future::select_all(heard).await);
    }
}
