//! Endpoints that other computers reach: tried from another computer, a network of its own with a cable to this one.

use crate::home::{Home, signal};
use clusterdeck_domain::{AllowWish, Change, NodeState, ServiceKind, Topology};
use clusterdeck_engine::Asker;
use clusterdeck_testkit::neighbour::{Call, Neighbour};
use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

fn expose(on: Option<IpAddr>, port: Option<u16>) -> Change {
    Change::ExposeEndpoint { cluster: "demo".to_owned(), on, port }
}

fn limit(entries: &[IpAddr]) -> Change {
    let wish = |address: &IpAddr| AllowWish { cidr: address.to_string(), ..AllowWish::default() };
    let entries = entries.iter().map(wish).collect();
    Change::SetAllowlist { cluster: "demo".to_owned(), entries, keep_within_ms: None }
}

/// Where other computers write and read, and whether that works, as people are told.
async fn exposed(home: &Home) -> Vec<(SocketAddr, Option<bool>)> {
    let endpoints = home.cluster().await.endpoints;
    let outside = endpoints.iter().filter(|e| e.exposed);
    outside.map(|e| (format!("{}:{}", e.host, e.port).parse().unwrap(), e.up)).collect()
}

/// A connection from there that has signed in, as people do.
async fn signed_in(home: &Home, from: &Neighbour, at: SocketAddr) -> Option<Call> {
    let found = home.engine.credentials("demo", true, "test").await.unwrap();
    let auth = format!("AUTH {} {}\r\n", found.username, found.password.unwrap().reveal());
    let (first, mut call) = from.knock(at, auth.as_bytes())?;
    assert_eq!(first, b'+', "the password is right");
    rest_of_line(&mut call);
    Some(call)
}

fn rest_of_line(call: &mut Call) -> String {
    let mut line = String::new();
    while let Some(byte) = call.hears().filter(|byte| *byte != b'\n') {
        line.push(char::from(byte));
    }
    line.trim().to_owned()
}

fn says(call: &mut Call, what: &str) -> String {
    call.says(format!("{what}\r\n").as_bytes());
    rest_of_line(call)
}

/// Waits until somebody who signs in there may write.
async fn until_written(home: &Home, from: &Neighbour, at: SocketAddr) {
    let begun = Instant::now();
    loop {
        if let Some(mut call) = signed_in(home, from, at).await
            && says(&mut call, "SET from elsewhere") == "+OK"
        {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "a write from another computer must be taken at {at}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn kill_gateway(home: &Home) {
    let gateway = home.cluster().await.spec.gateway.unwrap().id;
    signal(home.pid_on(&gateway, "haproxy"), "-9");
}

fn codes(found: &[clusterdeck_domain::Finding]) -> Vec<&str> {
    found.iter().map(|finding| finding.code.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_computer_reaches_a_redis_where_it_was_opened_by_its_list_until_it_is_closed() {
    let mut home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let neighbour = Neighbour::connected();
    let here = neighbour.here;

    // What cannot be, and what must be confirmed.
    let foreign =
        home.engine.preview(expose(Some("192.0.2.7".parse().unwrap()), None)).await.unwrap().preview;
    assert_eq!(codes(&foreign.blockers), ["not-an-own-address"]);
    let hint = foreign.blockers[0].hint.clone().unwrap_or_default();
    assert!(hint.contains(&here.to_string()), "it says which there are: {hint}");
    let somebody = TcpListener::bind((here, 6379)).unwrap();
    let taken = home.engine.preview(expose(Some(here), Some(6379))).await.unwrap().preview;
    assert_eq!(codes(&taken.blockers), ["port-taken"]);
    let own = format!("(process {})", std::process::id());
    assert!(taken.blockers[0].text.contains("6379") && taken.blockers[0].text.contains(&own), "{taken:#?}");
    let open = home.engine.preview(expose(Some(here), None)).await.unwrap().preview;
    assert_eq!(codes(&open.warnings), ["open-to-everybody", "not-encrypted"]);
    assert_eq!(open.confirm.as_deref(), Some("demo"), "no list is in force");
    assert!(open.effects[0].contains(&format!("{here}:6380")), "the next free port: {open:#?}");

    // Open: the other computer comes in, and what is open here stays.
    let at = SocketAddr::new(here, 6380);
    assert!(neighbour.knock(at, b"PING\r\n").is_none(), "nobody listens there yet");
    home.done(expose(Some(here), None)).await;
    drop(somebody);
    until_written(&home, &neighbour, at).await;
    let mut reader =
        signed_in(&home, &neighbour, SocketAddr::new(here, 6381)).await.expect("for reads as well");
    let refused = says(&mut reader, "SET from elsewhere");
    assert!(refused.starts_with("-READONLY"), "reads go to a replica: {refused}");
    home.until("both work, as is told", |c| {
        let outside: Vec<_> = c.endpoints.iter().filter(|e| e.exposed).map(|e| (e.port, e.up)).collect();
        outside == [(6380, Some(true)), (6381, Some(true))]
    })
    .await;

    // The list is held to there as well.
    home.done(limit(&[IpAddr::from([127, 0, 0, 1])])).await;
    assert!(reader.is_closed(), "what somebody has open who is not in the list is closed");
    assert!(neighbour.knock(at, b"PING\r\n").is_none(), "and nobody else comes in");
    home.done(limit(&[IpAddr::from([127, 0, 0, 1]), neighbour.there])).await;
    until_written(&home, &neighbour, at).await;

    // It follows the primary, and survives its own crash and the app.
    home.done(Change::PromoteNode { node: "demo-2".to_owned() }).await;
    until_written(&home, &neighbour, at).await;
    home.reopen().await;
    kill_gateway(&home).await;
    home.kill_server("demo-2", ServiceKind::Redis).await;
    home.until("somebody else leads", |c| {
        let seen = c.observed.as_ref();
        let leads = seen.and_then(|o| o.primary()).and_then(|p| c.spec.node(&p.node));
        leads.is_some_and(|n| n.name != "demo-2")
    })
    .await;
    until_written(&home, &neighbour, at).await;

    // Closed, and opened again at the same port.
    home.until_healthy().await;
    let mut left = signed_in(&home, &neighbour, at).await.unwrap();
    home.done(expose(None, None)).await;
    assert!(left.is_closed(), "what came in that way is closed");
    assert!(neighbour.knock(at, b"PING\r\n").is_none());
    assert_eq!(exposed(&home).await, []);
    home.done(expose(Some(here), None)).await;
    until_written(&home, &neighbour, at).await;

    // In another network this computer has that address no longer; it works here all the same, also after a start.
    drop(neighbour);
    home.until("it is told", |c| c.endpoints.iter().filter(|e| e.exposed).all(|e| e.up == Some(false))).await;
    kill_gateway(&home).await;
    home.until("the endpoint is down", |c| c.endpoints[0].up != Some(true)).await;
    home.until("it is back", |c| c.endpoints[0].up == Some(true)).await;
    home.until("so are the nodes", |c| {
        c.observed.as_ref().is_some_and(|o| o.nodes.iter().all(|n| n.state == NodeState::Running))
    })
    .await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// What `psql` on the other computer says of its connection, or why it has none.
async fn asked(home: &Home, from: &Neighbour, at: SocketAddr, tls: &str) -> String {
    let found = home.engine.credentials("demo", true, "test").await.unwrap();
    let node = home.cluster().await.spec.nodes[0].machine.id.clone();
    let roots = home.dir.path().join(format!("machines/{node}/tls/ca.crt"));
    let said = from
        .command("psql")
        .args(["-X", "-A", "-t", "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
        .envs([
            ("PGHOST", at.ip().to_string()),
            ("PGPORT", at.port().to_string()),
            ("PGUSER", found.username),
        ])
        .envs([("PGPASSWORD", found.password.unwrap().reveal().as_str()), ("PGDATABASE", "app")])
        .envs([("PGSSLMODE", tls), ("PGCONNECT_TIMEOUT", "10")])
        .env("PGSSLROOTCERT", roots)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    format!("{out}{err}").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_computer_reaches_a_postgresql_over_tls_by_a_certificate_that_names_the_address() {
    let home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let neighbour = Neighbour::connected();
    let us = IpAddr::from([127, 0, 0, 1]);
    home.done(limit(&[us, neighbour.there])).await;
    let preview = home.engine.preview(expose(Some(neighbour.here), None)).await.unwrap().preview;
    assert_eq!(codes(&preview.warnings), ["encrypted-on-request"], "a list is in force");
    assert_eq!(preview.confirm, None);
    home.done(expose(Some(neighbour.here), None)).await;
    let at = exposed(&home).await[0].0;
    assert_eq!(asked(&home, &neighbour, at, "require").await, "t", "encrypted");
    assert_eq!(
        asked(&home, &neighbour, at, "verify-full").await,
        "t",
        "and by a certificate for that address"
    );
    home.done(limit(&[us])).await;
    let refused = asked(&home, &neighbour, at, "require").await;
    assert!(refused.contains("closed the connection") || refused.contains("reset"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_shows_other_computers_a_certificate_that_names_the_address_without_a_restart() {
    let home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    let before = home.pid("demo-1", "mysql").await;
    let neighbour = Neighbour::connected();
    home.done(expose(Some(neighbour.here), None)).await;
    home.until_healthy().await;
    let node = home.cluster().await.spec.nodes[0].machine.id.clone();
    let roots = home.dir.path().join(format!("machines/{node}/tls/ca.crt")).display().to_string();
    for (at, _) in exposed(&home).await {
        let (at, here) = (at.to_string(), neighbour.here.to_string());
        for (address, fits) in [(here.as_str(), true), ("192.0.2.200", false)] {
            let shown = [
                "s_client",
                "-starttls",
                "mysql",
                "-connect",
                &at,
                "-CAfile",
                &roots,
                "-verify_ip",
                address,
                "-brief",
            ];
            let mut asks = neighbour.command("openssl");
            let said = asks.args(shown).stdin(std::process::Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert_eq!(said.contains("Verification: OK"), fits, "{address} at {at}: {said}");
        }
    }
    assert_eq!(home.pid("demo-1", "mysql").await, before, "the servers went on");
}

/// Tables of the system's rules that are a cluster's.
fn tables(of: &str) -> usize {
    let said = std::process::Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).lines().filter(|line| line.contains(of)).count()
}

fn nft(args: &[&str]) {
    assert!(std::process::Command::new("nft").args(args).status().unwrap().success(), "nft {args:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_of_containers_holds_nodes_to_the_list_and_gives_everything_back() {
    let Some(mut home) = Home::in_containers().await else { return };
    nft(&["add", "table", "inet", "others"]);
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let neighbour = Neighbour::connected();
    neighbour.inside("ip", &["route", "add", "default", "via", &neighbour.here.to_string()]);
    let us = home.engine.access("demo", Asker::Here).await.unwrap().your_address.unwrap().0;
    let at = |spec: &clusterdeck_domain::ClusterSpec, n: usize| {
        SocketAddr::new(spec.nodes[n].machine.address, 6379)
    };
    let spec = home.cluster().await.spec;
    let (_, mut open) = neighbour.knock(at(&spec, 0), b"PING\r\n").expect("without a list everybody comes");
    assert_eq!(tables("clusterdeck"), 0);

    // Others are refused at once, from elsewhere and from within the network; the cluster's own and we are not.
    home.done(limit(&[us])).await;
    assert_eq!(tables("clusterdeck"), 2, "one for what passes through, one for what stays within");
    open.says(b"PING\r\n");
    assert!(open.is_closed(), "what a stranger has open ends with its next packet");
    assert!(neighbour.knock(at(&spec, 1), b"PING\r\n").is_none(), "and nobody else comes in");
    assert!(std::net::TcpStream::connect(at(&spec, 1)).is_ok(), "this computer does");
    let ways = home.engine.access("demo", Asker::Here).await.unwrap().ways;
    assert!(ways[1].enforced && ways[1].text.contains("nftables"), "{ways:#?}");
    let ground = home.ground.as_ref().unwrap();
    let networks = ground.podman(&["network", "ls", "--format", "{{.Name}}"]);
    let network =
        networks.lines().find(|name| name.starts_with("clusterdeck")).expect("the cluster's").to_owned();
    let knock = format!("timeout 2 bash -c '</dev/tcp/{}/6379' && echo in || echo out", at(&spec, 0).ip());
    let image = "docker.io/library/redis:8.0";
    let within = ["run", "--rm", "--network", &network, "--entrypoint", "sh", image, "-c", &knock];
    assert_eq!(ground.podman(&within), "out", "a stranger within the network");

    // So it is at a node that comes later.
    home.done(Change::AddNode { cluster: "demo".to_owned(), count: Some(1), plan: None }).await;
    home.until_healthy().await;
    let spec = home.cluster().await.spec;
    assert!(neighbour.knock(at(&spec, 3), b"PING\r\n").is_none(), "at a node that came later");
    home.done(limit(&[us, neighbour.there])).await;
    assert!(neighbour.knock(at(&spec, 3), b"PING\r\n").is_some(), "who is in the list comes in");
    home.done(limit(&[us])).await;
    assert!(neighbour.knock(at(&spec, 3), b"PING\r\n").is_none());

    // A restarted computer has no such rules any more, until we look.
    let table = format!("clusterdeck_{}", spec.id);
    home.engine.shutdown(Duration::from_secs(1)).await;
    nft(&["delete", "table", "inet", &table]);
    assert!(neighbour.knock(at(&spec, 0), b"PING\r\n").is_some(), "the rules were what kept it out");
    home.reopen().await;
    let begun = Instant::now();
    while neighbour.knock(at(&spec, 0), b"PING\r\n").is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is held to again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("held to again {:?} after the start", begun.elapsed());

    // Open again, and at the end, nothing of ours is left; what others have is.
    home.done(limit(&[])).await;
    assert_eq!(tables("clusterdeck"), 0);
    assert!(neighbour.knock(at(&spec, 0), b"PING\r\n").is_some());
    home.done(limit(&[us])).await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!((tables("clusterdeck"), tables("others")), (0, 1));
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
