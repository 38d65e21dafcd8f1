//! Two nodes never take writes, whoever dies or hangs.

use crate::ground::{Ground, PATIENCE};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ServiceDriver as _, StartAs};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Watches the nodes themselves, not what anybody says of them, until another one takes writes; how long that took. Two
/// looks in a row that find two count: within one look the nodes are not asked in the same instant.
async fn replaced(ground: &Ground, old: u16) -> Duration {
    let begun = Instant::now();
    let mut before = 0;
    loop {
        let (one, two, three) =
            tokio::join!(ground.takes_writes(1), ground.takes_writes(2), ground.takes_writes(3));
        let writable: Vec<u16> =
            [(1, one), (2, two), (3, three)].into_iter().filter(|(_, w)| *w).map(|(n, _)| n).collect();
        assert!(writable.len().min(before) <= 1, "two nodes take writes: {writable:?}");
        before = writable.len();
        if matches!(writable.as_slice(), [one] if *one != old) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "nobody took over; writable: {writable:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts again what crashed, as the watcher does.
pub(crate) async fn repair(ground: &Ground, node: &NodeSpec) {
    let begun = Instant::now();
    let machine = ground.cx.machine(node).unwrap();
    while !machine.restart_due("patroni").await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it must be due some day");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ground.driver.start_node(&ground.cx, node, &StartAs::Member).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patroni_that_hangs_or_dies_never_leaves_two_nodes_that_take_writes() {
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    let seen = ground.healthy().await;
    let first = ground.primary(&seen).clone();

    // Killed: it is started again at once and finds its server running; nobody else is elected.
    ground.signal_patroni(first.ordinal, Signal::KILL);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).id, first.id, "nobody had to take over");

    // Hung: the guard ends its server before another one is elected.
    ground.signal_patroni(first.ordinal, Signal::STOP);
    let took = replaced(&ground, first.ordinal).await;
    println!("Patroni hung: another node took writes after {took:?}");
    repair(&ground, &first).await;
    let seen = ground.healthy().await;
    let second = ground.primary(&seen).clone();
    assert_ne!(second.id, first.id);

    // Node dead: the guard and all it ran.
    let unit = ground.machine(second.ordinal).state("patroni").await.unwrap();
    assert!(unit.is_running());
    ground.signal_all(second.ordinal, Signal::KILL);
    let took = replaced(&ground, second.ordinal).await;
    println!("everything on a node killed: another one took writes after {took:?}");
    ground.machine(second.ordinal).restart("etcd").await.ok();
    repair(&ground, &second).await;
    ground.healthy().await;
}

/// The node whose voter leads the voters, as they say themselves.
fn leads_the_voters(ground: &Ground) -> Option<u16> {
    const ASK: &str = "import json, ssl, sys, urllib.request as u\n\
        trust = ssl.create_default_context(cafile=sys.argv[2] + '/ca.crt')\n\
        trust.load_cert_chain(sys.argv[2] + '/node.crt', sys.argv[2] + '/node.key')\n\
        said = json.load(u.urlopen(u.Request(sys.argv[1], b'{}'), timeout=2, context=trust))\n\
        sys.exit(0 if said['leader'] == said['header']['member_id'] else 3)";
    (1..=3).find(|ordinal| {
        let machine = ground.machine(*ordinal);
        let at = format!("https://{}:{}/v3/maintenance/status", machine.address(), machine.port(2379));
        let mut ask = std::process::Command::new("python3");
        let asked = ask.args(["-c", ASK, &at]).arg(machine.path("tls")).output().unwrap();
        assert!(matches!(asked.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&asked.stderr));
        asked.status.success()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_the_cluster_does_not_lead_its_voters() {
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    for round in 0..3 {
        let seen = ground.healthy().await;
        let primary = ground.primary(&seen).ordinal;
        let begun = Instant::now();
        let leads = loop {
            let leads = leads_the_voters(&ground);
            if leads.is_some_and(|other| other != primary) {
                break leads;
            }
            assert!(begun.elapsed() < PATIENCE, "{primary} leads the cluster, and {leads:?} the voters");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        println!("{primary} leads the cluster, {leads:?} the voters, after {:?}", begun.elapsed());
        if round < 2 {
            crate::life::promote(&ground, leads.unwrap()).await;
        }
    }
}
