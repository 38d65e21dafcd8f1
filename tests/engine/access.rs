//! From which addresses a cluster may be reached, tried by clients that come from several: 127.0.0.1 is where we come from,
//! 127.8.8.8 a friend, 127.9.9.9 a stranger.

use crate::home::{Home, PATIENCE};
use clusterdeck_domain::{AllowWish, Change, ChangeKind, NodeSpec, OperationState, ServiceKind, Topology};
use clusterdeck_engine::repository::Page;
use jiff::{SignedDuration, Timestamp};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const US: &str = "127.0.0.1";
const FRIEND: &str = "127.8.8.8";
const STRANGER: &str = "127.9.9.9";
/// For an answer of a server that is there.
const ANSWER: Duration = Duration::from_secs(5);

fn limit(entries: &[&str]) -> Change {
    limit_for(entries, None)
}

fn limit_for(entries: &[&str], keep_within_ms: Option<u64>) -> Change {
    let wish = |text: &&str| AllowWish { cidr: (*text).to_owned(), ..AllowWish::default() };
    let entries = entries.iter().map(wish).collect();
    Change::SetAllowlist { cluster: "demo".to_owned(), entries, keep_within_ms }
}

/// Comes from an address and says the first word of the protocol. The first byte of the server's answer and the open
/// connection; `None` where nobody answers because the connection was closed.
async fn knock(service: ServiceKind, from: &str, at: SocketAddr) -> Option<(u8, TcpStream)> {
    let knocked = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(format!("{from}:0").parse().unwrap())?;
        let mut stream = socket.connect(at).await?;
        match service {
            ServiceKind::Redis => stream.write_all(b"PING\r\n").await?,
            ServiceKind::Postgresql => {
                let said = b"\0\x03\0\0user\0app\0database\0app\0\0";
                let length = u32::try_from(said.len() + 4).unwrap().to_be_bytes();
                stream.write_all(&[length.as_slice(), said].concat()).await?;
            }
            // The server speaks first.
            _ => {}
        }
        let first = stream.read_u8().await?;
        std::io::Result::Ok((first, stream))
    };
    timeout(ANSWER, knocked).await.expect("let in or refused, not left waiting").ok()
}

/// Whether somebody who comes from there may try to sign in.
async fn comes_in(service: ServiceKind, from: &str, at: SocketAddr) -> bool {
    match knock(service, from, at).await {
        // PostgreSQL refuses an address with an error in place of the question for a password.
        Some((first, _)) => service != ServiceKind::Postgresql || first == b'R',
        None => false,
    }
}

/// Signs in to PostgreSQL as people do, from an address.
async fn signed_in(home: &Home, from: &str, at: SocketAddr) -> tokio_postgres::Client {
    let found = home.engine.credentials("demo", true, "test").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(at).await.unwrap();
    let mut config = tokio_postgres::Config::new();
    config.user(&found.username).dbname("app").password(found.password.unwrap().reveal());
    let (client, connection) = config.connect_raw(stream, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client.simple_query("SELECT 1").await.unwrap();
    client
}

/// Waits until an open connection is closed from the other side.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(ANSWER, stream.read_to_end(&mut rest)).await.is_ok()
}

async fn endpoint(home: &Home) -> SocketAddr {
    let cluster = home.cluster().await;
    let endpoint = &cluster.endpoints[0];
    format!("{}:{}", endpoint.host, endpoint.port).parse().unwrap()
}

fn port(node: &NodeSpec, at: SocketAddr) -> SocketAddr {
    SocketAddr::new(node.machine.address, at.port())
}

async fn endpoint_works(home: &Home) {
    home.until("the endpoint must be known to work", |c| {
        c.observed.as_ref().and_then(|o| o.endpoint_up) == Some(true)
    })
    .await;
}

/// Sets a list, sees it held to at the endpoint, and where the servers can on a node that comes later too.
async fn held_to(home: &Home, service: ServiceKind) -> SocketAddr {
    home.create(service, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let at = endpoint(home).await;
    let (_, strangers) = knock(service, STRANGER, at).await.expect("an open cluster lets everybody in");
    let (_, friends) = knock(service, FRIEND, at).await.expect("an open cluster lets everybody in");
    let node = home.cluster().await.spec.nodes[0].clone();
    assert!(comes_in(service, STRANGER, port(&node, at)).await, "and so do its nodes");
    let knows = service.knows_addresses();
    let direct = if knows { Some(signed_in(home, STRANGER, port(&node, at)).await) } else { None };

    home.done(limit(&[US, "127.8.0.0/16"])).await;
    assert!(is_closed(strangers).await, "what a stranger had open is closed");
    assert!(!comes_in(service, STRANGER, at).await, "a stranger is refused at the endpoint");
    assert!(comes_in(service, FRIEND, at).await && comes_in(service, US, at).await);
    // A server asks for its password in time, so a friend's connection that was let in is not looked at for longer.
    drop(friends);
    if let Some(direct) = direct {
        assert!(
            direct.simple_query("SELECT 1").await.is_err(),
            "what a stranger had open at the node is closed"
        );
    }
    assert_eq!(comes_in(service, STRANGER, port(&node, at)).await, !knows, "at the node itself");
    assert!(comes_in(service, FRIEND, port(&node, at)).await);
    endpoint_works(home).await;

    let added = home.done(Change::AddNode { cluster: "demo".to_owned(), count: None, plan: None }).await;
    home.until_healthy().await;
    assert!(!comes_in(service, STRANGER, at).await, "still refused after the endpoints were written anew");
    let later = home.cluster().await.spec.find_node(&added.outcome.nodes[0]).unwrap().clone();
    assert_eq!(comes_in(service, STRANGER, port(&later, at)).await, !knows, "at a node that came later");
    assert!(comes_in(service, FRIEND, port(&later, at)).await);
    at
}

/// Begins to try a list that leaves us out.
async fn tried(home: &Home, at: SocketAddr, ms: u64) -> clusterdeck_domain::OperationId {
    let change = limit_for(&["127.8.0.0/16"], Some(ms));
    let preview = home.engine.preview(change.clone()).await.unwrap().preview;
    assert_eq!(preview.confirm.as_deref(), Some("demo"), "leaving oneself out is typed: {preview:#?}");
    let operation = home.begin(change).await;
    let begun = Instant::now();
    while home.engine.operation(&operation.id).await.unwrap().state != OperationState::Waiting {
        assert!(begun.elapsed() < PATIENCE, "it must come to wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!comes_in(ServiceKind::Redis, US, at).await, "we are left out while it is tried");
    assert!(comes_in(ServiceKind::Redis, FRIEND, at).await);
    operation.id
}

async fn until_we_come_in(at: SocketAddr) -> Duration {
    let begun = Instant::now();
    while !comes_in(ServiceKind::Redis, US, at).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "the list before must come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_lets_in_who_is_in_the_list_and_a_list_that_shuts_us_out_goes_back_unless_it_is_kept() {
    let mut home = Home::open().await;
    let at = held_to(&home, ServiceKind::Redis).await;
    let list = home.cluster().await.spec.allowlist;

    // Nobody keeps it.
    let operation = tried(&home, at, 3_000).await;
    let ended = home.engine.wait(&operation).await.unwrap();
    assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
    assert!(ended.error.as_ref().unwrap().title.contains("Nobody kept"), "{:?}", ended.error);
    until_we_come_in(at).await;
    let spec = home.cluster().await.spec;
    assert_eq!((&spec.allowlist, &spec.allow_trial), (&list, &None));
    let late = home.engine.keep(&operation, "test").await.unwrap_err();
    assert!(late.to_string().contains("ended"), "{late}");

    // Nobody keeps it, and nobody is there: the endpoint goes back alone.
    let operation = tried(&home, at, 4_000).await;
    home.engine.shutdown(Duration::ZERO).await;
    let waited = until_we_come_in(at).await;
    println!("without an engine we came in again after {waited:?}");
    home.reopen().await;
    let ended = home.engine.wait(&operation).await.unwrap();
    assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
    let spec = home.cluster().await.spec;
    assert_eq!((&spec.allowlist, &spec.allow_trial), (&list, &None), "row and endpoint agree");
    assert!(comes_in(ServiceKind::Redis, US, at).await && !comes_in(ServiceKind::Redis, STRANGER, at).await);

    // Somebody keeps it. We do without the endpoint then.
    let operation = tried(&home, at, 60_000).await;
    let kept = home.engine.keep(&operation, "test").await.unwrap();
    assert!(kept.trial.unwrap().kept);
    let ended = home.engine.wait(&operation).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    assert!(!comes_in(ServiceKind::Redis, US, at).await && comes_in(ServiceKind::Redis, FRIEND, at).await);
    home.until_healthy().await;
    endpoint_works(&home).await;
    home.done(Change::RotateCredentials { cluster: "demo".to_owned() }).await;

    // An entry with an end lets in until then, and is taken off.
    let expires_at = Timestamp::now() + SignedDuration::from_secs(4);
    let wish = |cidr: &str, expires_at| AllowWish { cidr: cidr.to_owned(), comment: None, expires_at };
    let entries = vec![wish(US, None), wish("127.9.0.0/16", Some(expires_at))];
    let change = Change::SetAllowlist { cluster: "demo".to_owned(), entries, keep_within_ms: None };
    home.done(change).await;
    let (_, guests) =
        knock(ServiceKind::Redis, STRANGER, at).await.expect("a stranger is let in for a while");
    home.until("what is over is taken off", |c| c.spec.allowlist.len() == 1).await;
    assert!(is_closed(guests).await, "and what came in by it is closed");
    assert!(!comes_in(ServiceKind::Redis, STRANGER, at).await);
    let page = Page { limit: 50, cursor: None, cluster: None };
    let (audit, _) = home.engine.audit(&page).await.unwrap();
    let by_itself =
        audit.iter().any(|entry| entry.actor == "schedule" && entry.action == ChangeKind::SetAllowlist.id());
    assert!(by_itself, "who did that stands in the audit trail: {audit:#?}");

    home.done(limit(&[])).await;
    assert!(comes_in(ServiceKind::Redis, STRANGER, at).await, "an empty list is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_lets_in_who_is_in_the_list_at_the_endpoint_and_at_every_node() {
    let home = Home::open().await;
    let at = held_to(&home, ServiceKind::Postgresql).await;
    home.done(limit(&[])).await;
    let node = home.cluster().await.spec.nodes[0].clone();
    for at in [at, port(&node, at)] {
        assert!(comes_in(ServiceKind::Postgresql, STRANGER, at).await, "an empty list is open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_lets_in_who_is_in_the_list_at_the_endpoint() {
    held_to(&Home::open().await, ServiceKind::Mysql).await;
}
