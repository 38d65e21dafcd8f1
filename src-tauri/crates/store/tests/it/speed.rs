//! Whether it keeps up. The limits are loose (a debug build on a busy machine); the figures are printed.

use crate::made;
use clusterdeck_domain::{ClusterId, METRICS, Metric, NodeId};
use clusterdeck_engine::repository::{CacheRepository, SampleRow, StateRepository};
use clusterdeck_store::{Cache, State};
use std::time::{Duration, Instant};

const NODES: u128 = 2_000;

#[tokio::test]
async fn two_thousand_nodes_every_two_seconds_can_be_kept_up_with() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let start = 1_795_305_600_000_i64;
    let (mut total, mut slowest) = (Duration::ZERO, Duration::ZERO);
    let rounds = 60;
    for round in 0..rounds {
        let samples: Vec<SampleRow> = (0..NODES)
            .map(|node| SampleRow {
                cluster: ClusterId::new(node / 5),
                node: NodeId::new(node),
                at: start + round * 2_000,
                values: vec![Some(node as f64); METRICS.len()],
            })
            .collect();
        let begun = Instant::now();
        cache.add_samples(&samples).await.expect("adds");
        slowest = slowest.max(begun.elapsed());
        total += begun.elapsed();
    }
    let begun = Instant::now();
    cache.tidy(start + rounds * 2_000).await.expect("tidies");
    let tidy = begun.elapsed();
    let begun = Instant::now();
    let points = cache
        .points(&NodeId::new(77), Metric::Clients, start, start + rounds * 2_000, 2_000)
        .await
        .expect("points");
    let query = begun.elapsed();
    assert_eq!(points.iter().filter(|p| p.value == Some(77.0)).count(), 60, "every round of that node");
    let rate = NODES as f64 * rounds as f64 / total.as_secs_f64();
    println!(
        "{rate:.0} samples/s; slowest round {slowest:?}; tidying 2 minutes at once {tidy:?}; 60 points {query:?}"
    );
    assert!(total / u32::try_from(rounds).expect("few") < Duration::from_secs(1), "half of the time it has");
    assert!(slowest < Duration::from_secs(4), "a slow round is caught up with: {slowest:?}");
    assert!(query < Duration::from_secs(1), "a chart does not wait: {query:?}");
}

#[tokio::test]
async fn six_hours_of_a_node_are_drawn_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let start = 1_795_305_600_000_i64;
    let samples: Vec<SampleRow> = (0..10_800)
        .map(|round| SampleRow {
            cluster: ClusterId::new(1),
            node: NodeId::new(1),
            at: start + round * 2_000,
            values: vec![Some(round as f64); METRICS.len()],
        })
        .collect();
    for round in samples.chunks(30) {
        cache.add_samples(round).await.expect("adds");
    }
    cache.tidy(start + 10_800 * 2_000).await.expect("tidies");
    for step in [2_000, 30_000, 60_000, 600_000] {
        let begun = Instant::now();
        let points = cache
            .points(&NodeId::new(1), Metric::Clients, start, start + 21_600_000, step)
            .await
            .expect("points");
        println!("{} points of 6 h in steps of {step} ms: {:?}", points.len(), begun.elapsed());
        assert!(points.iter().all(|p| p.value.is_some()), "without a gap");
        assert!(begun.elapsed() < Duration::from_secs(1), "at once");
    }
}

#[tokio::test]
async fn a_journal_line_costs_little() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let spec = made::cluster(1, "demo");
    let row = made::operation(1, &spec, None);
    let (line, audit) = (made::line(&row, "begins"), made::audit(&row, "asked"));
    state.create_operation(&row, &line, &audit, Some(&spec)).await.expect("creates");
    let begun = Instant::now();
    for _ in 0..1_000 {
        state.record(&row, &line).await.expect("records");
    }
    let each = begun.elapsed() / 1_000;
    println!("a journal line: {each:?}");
    assert!(each < Duration::from_millis(20), "a step has two of them");
}
