//! A network that is cut between nodes while clients reach all of them: the old primary stops before another one leads, and
//! when the network is whole again everybody is on one timeline.

use crate::ground::{Ground, PATIENCE};
use clusterdeck_domain::{ClusterOptions, NodeSpec, Topology};
use clusterdeck_driver::{ServiceDriver as _, StartAs};
use std::{
    collections::BTreeSet,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// What a client saw.
#[derive(Default)]
struct Written {
    acknowledged: BTreeSet<i64>,
    longest: Duration,
}

/// Writes numbers through the endpoint until it is told to stop.
async fn write(ground: &Ground, stop: &AtomicBool) -> Written {
    let (mut written, mut open, mut last) = (Written::default(), None, Instant::now());
    let mut number: i64 = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        if open.is_none() {
            open = timeout(Duration::from_secs(1), ground.people(0)).await.ok().and_then(Result::ok);
        }
        if let Some(client) = &open {
            let text = format!("INSERT INTO numbers VALUES ({number})");
            match timeout(Duration::from_secs(1), client.batch_execute(&text)).await {
                Ok(Ok(())) => {
                    written.acknowledged.insert(number);
                    written.longest = written.longest.max(last.elapsed());
                    last = Instant::now();
                }
                _ => open = None,
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    written.longest = written.longest.max(last.elapsed());
    written
}

/// Asks the nodes themselves. Two looks in a row that find two count: within one look they are not asked in the same instant.
async fn watch(ground: &Ground, stop: &AtomicBool) {
    let (mut before, mut looks) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let (one, two, three) =
            tokio::join!(ground.takes_writes(1), ground.takes_writes(2), ground.takes_writes(3));
        let writable = [one, two, three].into_iter().filter(|w| *w).count();
        assert!(writable.min(before) <= 1, "two nodes take writes: {:?}", [one, two, three]);
        before = writable;
        looks += 1;
        sleep(Duration::from_millis(50)).await;
    }
    assert!(looks > 20, "it was looked at");
}

/// Lets nothing through between two nodes, in either direction, or again everything. Rules of the node's own network.
fn cut(ground: &Ground, node: &NodeSpec, other: &NodeSpec, off: bool) {
    let machine = ground.cx.machine(node).unwrap();
    let pid =
        ground.podman(&["inspect", "--format", "{{.State.Pid}}", &format!("clusterdeck-{}", machine.id())]);
    let other = ground.cx.machine(other).unwrap().address().to_string();
    for (chain, end) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
        let how = if off { "-I" } else { "-D" };
        let rule = ["-w", how, chain, end, &other, "-j", "DROP"];
        let done = Command::new("nsenter").args(["-t", &pid, "-n", "iptables"]).args(rule).output().unwrap();
        assert!(done.status.success(), "iptables {rule:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Starts again what ended, as the watcher does, until the cluster is healthy and on one timeline.
async fn whole_again(ground: &Ground) {
    let begun = Instant::now();
    loop {
        for node in ground.cx.spec.data_nodes() {
            let machine = ground.cx.machine(node).unwrap();
            if !machine.state("patroni").await.unwrap().is_running()
                && machine.restart_due("patroni").await.unwrap()
            {
                ground.driver.start_node(&ground.cx, node, &StartAs::Member).await.unwrap();
            }
        }
        let seen = ground.driver.observe(&ground.cx).await;
        let timeline = |n: &clusterdeck_domain::NodeObserved| {
            n.facts.iter().find(|f| f.id == "timeline").map(|f| f.value.clone())
        };
        let lines: BTreeSet<_> =
            seen.nodes.iter().filter(|n| n.role.is_some()).filter_map(timeline).collect();
        let healthy = seen.nodes.iter().all(|n| n.health == clusterdeck_domain::Health::Healthy);
        if healthy && lines.len() == 1 && seen.failover.ready {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it must come together again: {seen:#?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Cuts the primary off from these other nodes for a while, under a client. What was acknowledged and is gone.
async fn drill(ground: &Ground, what: &str, from: usize, lasting: Duration) -> usize {
    let seen = ground.healthy().await;
    let primary = ground.primary(&seen).clone();
    let others: Vec<NodeSpec> =
        ground.cx.spec.data_nodes().filter(|n| n.id != primary.id).take(from).cloned().collect();
    ground
        .people(0)
        .await
        .unwrap()
        .batch_execute("DROP TABLE IF EXISTS numbers; CREATE TABLE numbers (n bigint)")
        .await
        .unwrap();
    let stop = AtomicBool::new(false);
    let story = async {
        sleep(Duration::from_secs(1)).await;
        others.iter().for_each(|other| cut(ground, &primary, other, true));
        let begun = Instant::now();
        let mut replaced = None;
        while begun.elapsed() < lasting {
            for other in ground.cx.spec.data_nodes().filter(|n| n.id != primary.id) {
                if replaced.is_none() && ground.takes_writes(other.ordinal).await {
                    replaced = Some(begun.elapsed());
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        others.iter().for_each(|other| cut(ground, &primary, other, false));
        let healed = Instant::now();
        whole_again(ground).await;
        sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        (replaced, healed.elapsed())
    };
    let ((replaced, healed), written, ()) = tokio::join!(story, write(ground, &stop), watch(ground, &stop));
    let rows = ground.people(0).await.unwrap().query("SELECT n FROM numbers", &[]).await.unwrap();
    let there: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let lost = written.acknowledged.difference(&there).count();
    println!(
        "{what}: another one led after {replaced:?}, client waited {:?}, {} acknowledged, {lost} lost, whole again {healed:?} after",
        written.longest,
        written.acknowledged.len()
    );
    assert!(written.acknowledged.len() > 100, "{what}: the client wrote");
    // Cut off from one of two it may be replaced or not: that depends on whom the voters had chosen to lead them.
    assert!(replaced.is_some() || from == 1, "{what}: who sees a majority leads");
    assert!(
        written.longest < Duration::from_secs(25),
        "{what}: somebody takes writes: {:?}",
        written.longest
    );
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_stops_before_another_one_leads() {
    let Some(mut ground) = Ground::in_containers(Topology::PrimaryReplica, 3).await else { return };
    let lasting = Duration::from_secs(16);
    let lost = drill(&ground, "cut off, asynchronous", 2, lasting).await;
    // What it acknowledged alone, until it knew. At 5 ms a write that is a second or two.
    assert!(lost < 1000, "{lost}");
    drill(&ground, "cut off from one of two, asynchronous", 1, lasting).await;
    ground.cx.spec.options = ClusterOptions { synchronous: true, stop_writes_without_replica: true };
    ground.driver.apply_options(&ground.cx).await.unwrap();
    let lost = drill(&ground, "cut off, synchronous", 2, lasting).await;
    assert_eq!(lost, 0, "a write is acknowledged when another node has it");
    let lost = drill(&ground, "cut off from one of two, synchronous", 1, lasting).await;
    assert_eq!(lost, 0);
}
