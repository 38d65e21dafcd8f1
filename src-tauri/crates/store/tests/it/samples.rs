//! Samples: what is measured, rolled up, drawn and let go.

use clusterdeck_domain::{ClusterId, METRICS, Metric, NodeId, Point};
use clusterdeck_engine::repository::{CacheRepository, SampleRow};
use clusterdeck_store::{Cache, Limits};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-11-22T00:00:00Z.
const START: i64 = 1_795_305_600_000;

fn row(node: u128, at: i64, value: Option<f64>) -> SampleRow {
    let values = vec![value; METRICS.len()];
    SampleRow { cluster: ClusterId::new(1), node: NodeId::new(node), at, values }
}

async fn cpu(cache: &Cache, from: i64, to: i64, step: i64) -> Vec<Point> {
    cache.points(&NodeId::new(1), Metric::CpuPercent, from, to, step).await.expect("points")
}

fn values(points: &[Point]) -> Vec<Option<f64>> {
    points.iter().map(|p| p.value).collect()
}

#[tokio::test]
async fn points_are_means_at_multiples_of_the_step_and_gaps_are_gaps() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    for (second, value) in [(0, Some(10.0)), (2, Some(12.3)), (4, None), (12, Some(5.0)), (18, Some(6.0))] {
        cache.add_samples(&[row(1, START + second * SECOND, value)]).await.expect("adds");
    }
    let points = cpu(&cache, START + SECOND, START + 21 * SECOND, 5 * SECOND).await;
    let times: Vec<i64> = points.iter().map(|p| (p.at - START) / SECOND).collect();
    assert_eq!(times, [0, 5, 10, 15, 20], "at multiples of the step");
    assert_eq!(
        values(&points),
        [Some(12.3), None, Some(5.0), Some(6.0), None],
        "what lies in the range only: the sample of second 0 is before it; null is no zero"
    );
    let fine = cpu(&cache, START, START + 6 * SECOND, 2 * SECOND).await;
    assert_eq!(values(&fine), [Some(10.0), Some(12.3), None], "each as it was measured");
    assert!(cpu(&cache, START, START, SECOND).await.is_empty(), "an empty range has no points");
    let unknown = cache.points(&NodeId::new(9), Metric::Clients, START, START + 4 * SECOND, SECOND).await;
    assert_eq!(values(&unknown.expect("points")), [None; 4], "an unknown node has gaps only");
}

#[tokio::test]
async fn every_metric_keeps_its_own_values() {
    let home = tempfile::tempdir().expect("a folder");
    let numbers: Vec<f64> =
        vec![99.9, 1_073_741_824.0, 8_589_934_592.0, 0.5, 0.0, 123_456.0, 7.0, 98.76, 1_048_577.0];
    {
        let cache = Cache::open(home.path()).expect("opens");
        let values = numbers.iter().copied().map(Some).collect();
        let sample = SampleRow { cluster: ClusterId::new(1), node: NodeId::new(1), at: START, values };
        cache.add_samples(&[sample]).await.expect("adds");
    }
    // What was in memory only is written when the cache is closed.
    let cache = Cache::open(home.path()).expect("opens again");
    for (metric, number) in METRICS.into_iter().zip(numbers) {
        let points =
            cache.points(&NodeId::new(1), metric, START, START + SECOND, SECOND).await.expect("points");
        assert_eq!(values(&points), [Some(number)], "{}", metric.id());
    }
}

/// A ramp: a sample every 10 s whose value is the minute it lies in.
async fn ramp(cache: &Cache, minutes: i64) {
    let samples: Vec<SampleRow> =
        (0..minutes * 6).map(|i| row(1, START + i * 10 * SECOND, Some((i / 6) as f64))).collect();
    for some in samples.chunks(500) {
        cache.add_samples(some).await.expect("adds");
    }
}

#[tokio::test]
async fn nothing_is_drawn_before_the_first_sample() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    // The first sample lies in the middle of a ten-minute mean.
    let began = START + 7 * MINUTE + 30 * SECOND;
    for i in 0..90 {
        cache.add_samples(&[row(1, began + i * 10 * SECOND, Some(64.0))]).await.expect("adds");
    }
    cache.tidy(began + 30 * MINUTE).await.expect("rolls up");
    for step in [SECOND, 5 * SECOND, MINUTE] {
        let before = cpu(&cache, START, START + 7 * MINUTE, step).await;
        assert!(before.iter().all(|p| p.value.is_none()), "by {step} ms: {:?}", values(&before));
        let after = cpu(&cache, began, began + 10 * MINUTE, 10 * SECOND.max(step)).await;
        assert!(after.iter().skip(1).all(|p| p.value == Some(64.0)), "by {step} ms: {:?}", values(&after));
    }
}

#[tokio::test]
async fn rolled_up_samples_give_the_same_means_as_the_raw_ones() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    ramp(&cache, 300).await;
    let end = START + 300 * MINUTE;
    let steps = [MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE];
    let mut before = Vec::new();
    for step in steps {
        before.push(cpu(&cache, START, end, step).await);
    }
    cache.tidy(end).await.expect("rolls up");
    for (step, before) in steps.into_iter().zip(before) {
        assert_eq!(cpu(&cache, START, end, step).await, before, "step {step} after rolling up");
        assert!(before.iter().all(|p| p.value.is_some()), "without a gap");
    }
    assert_eq!(
        cpu(&cache, START, end, 10 * MINUTE).await[1].value,
        Some(14.5),
        "the mean of minutes 10 to 19"
    );

    // Rolling up again and again, while samples go on, neither doubles nor misses any.
    for minute in 300..330 {
        for second in (0..60).step_by(10) {
            let sample = row(1, START + minute * MINUTE + second * SECOND, Some(minute as f64));
            cache.add_samples(&[sample]).await.expect("adds");
        }
        cache.tidy(START + minute * MINUTE + 30 * SECOND).await.expect("tidies");
        cache.tidy(START + minute * MINUTE + 31 * SECOND).await.expect("tidies");
    }
    let points = cpu(&cache, START, START + 330 * MINUTE, 10 * MINUTE).await;
    let expected: Vec<Option<f64>> = (0..33).map(|ten| Some(f64::from(ten) * 10.0 + 4.5)).collect();
    assert_eq!(values(&points), expected, "old means, new means, and what is not rolled up yet");
}

#[tokio::test]
async fn a_long_range_is_answered_from_all_resolutions_together() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let minutes = 4 * 24 * 60;
    let end = START + minutes * MINUTE;
    // Four days, tidied every hour as time goes on.
    for hour in 0..minutes / 60 {
        let samples: Vec<SampleRow> =
            (0..120).map(|i| row(1, START + hour * HOUR + i * 30 * SECOND, Some(hour as f64))).collect();
        cache.add_samples(&samples).await.expect("adds");
        cache.tidy(START + (hour + 1) * HOUR).await.expect("tidies");
    }
    let points = cpu(&cache, START, end, HOUR).await;
    let expected: Vec<Option<f64>> = (0..minutes / 60).map(|hour| Some(hour as f64)).collect();
    assert_eq!(values(&points), expected, "every hour of four days");

    // Finer than what is left of the first day: its 10-minute means stand for the time they cover.
    let first = cpu(&cache, START, START + HOUR, MINUTE).await;
    assert_eq!(values(&first), vec![Some(0.0); 60], "no gaps where there was no gap");
    let newest = cpu(&cache, end - MINUTE, end, 30 * SECOND).await;
    assert_eq!(values(&newest), [Some(95.0), Some(95.0)], "the newest are still as they were measured");
}

#[tokio::test]
async fn each_resolution_is_kept_as_long_as_it_says() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    // Two samples in the first minute: only their mean is left once the raw ones are gone.
    cache
        .add_samples(&[row(1, START, Some(1.0)), row(1, START + 40 * SECOND, Some(3.0))])
        .await
        .expect("adds");
    cache.tidy(START + 11 * MINUTE).await.expect("tidies");
    let read = || cpu(&cache, START, START + MINUTE, 20 * SECOND);
    assert_eq!(values(&read().await), [Some(1.0), None, Some(3.0)], "as measured");
    cache.tidy(START + 6 * HOUR - MINUTE).await.expect("tidies");
    assert_eq!(values(&read().await), [Some(1.0), None, Some(3.0)], "for six hours");
    cache.tidy(START + 6 * HOUR + 2 * MINUTE).await.expect("tidies");
    assert_eq!(values(&read().await), [Some(2.0); 3], "then the mean of the minute");
    cache.tidy(START + 47 * HOUR).await.expect("tidies");
    let minute_after = || cpu(&cache, START + MINUTE, START + 2 * MINUTE, MINUTE);
    assert_eq!(values(&minute_after().await), [None], "the next minute has no mean of its own");
    cache.tidy(START + 50 * HOUR).await.expect("tidies");
    assert_eq!(
        values(&minute_after().await),
        [Some(2.0)],
        "after two days the mean of ten minutes covers it"
    );
    cache.tidy(START + 30 * DAY).await.expect("tidies");
    assert_eq!(values(&read().await), [Some(2.0); 3], "for thirty days");
    cache.tidy(START + 32 * DAY).await.expect("tidies");
    assert_eq!(values(&read().await), [None; 3], "then it is gone");
    drop(cache);
    let file = rusqlite::Connection::open(home.path().join("cache.db")).expect("opens");
    let left: i64 = file
        .query_row("SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM nodes)", [], |row| {
            row.get(0)
        })
        .expect("counts");
    assert_eq!(left, 0, "with every trace");
}

#[tokio::test]
async fn the_oldest_go_first_when_there_is_too_much() {
    let home = tempfile::tempdir().expect("a folder");
    let limits =
        Limits { raw_bytes: 200_000, minute_bytes: 20_000, ten_minute_bytes: 20_000, ..Limits::default() };
    let cache = Cache::open_with(home.path(), limits).expect("opens");
    let path = home.path().join("cache.db");
    let mut largest = 0;
    for minute in 0..180 {
        for second in (0..60).step_by(2) {
            let at = START + minute * MINUTE + second * SECOND;
            let round: Vec<SampleRow> = (0..20).map(|node| row(node, at, Some(minute as f64))).collect();
            cache.add_samples(&round).await.expect("adds");
        }
        cache.tidy(START + (minute + 1) * MINUTE).await.expect("tidies");
        largest = largest.max(std::fs::metadata(&path).expect("a file").len());
    }
    let end = START + 180 * MINUTE;
    let fine = cpu(&cache, START, end, 2 * SECOND).await;
    assert!(fine.last().is_some_and(|p| p.value == Some(179.0)), "the newest are there");
    let minutes = values(&cpu(&cache, START, end, MINUTE).await);
    assert_eq!(minutes[179], Some(179.0), "as means too");
    let gone = minutes.iter().take_while(|v| v.is_none()).count();
    assert!(minutes[gone..].iter().all(Option::is_some), "what is gone is the oldest: {minutes:?}");
    // 20 nodes × 30 samples × 40 bytes a minute: 200 kB are eight minutes. Unbounded it would be 4.3 MB.
    assert!(largest < 600_000, "the file stays near its bound: {largest} bytes");
}

#[tokio::test]
async fn a_forgotten_cluster_leaves_nothing_and_others_keep_theirs() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let mut other = row(2, START, Some(2.0));
    other.cluster = ClusterId::new(2);
    cache.add_samples(&[row(1, START, Some(1.0)), other]).await.expect("adds");
    cache.tidy(START + 20 * MINUTE).await.expect("rolls up");
    cache.add_samples(&[row(1, START + 20 * MINUTE, Some(1.0))]).await.expect("adds what is in memory only");
    cache.forget(&ClusterId::new(1)).await.expect("forgets");
    let points = |node| {
        let (node, cache) = (NodeId::new(node), &cache);
        async move { cache.points(&node, Metric::CpuPercent, START, START + 30 * MINUTE, MINUTE).await }
    };
    assert!(points(1).await.expect("points").iter().all(|p| p.value.is_none()), "nothing is left of it");
    assert_eq!(points(2).await.expect("points")[0].value, Some(2.0), "the other one's is");
    // A node of that id may come again, in another cluster.
    cache.add_samples(&[row(1, START + 25 * MINUTE, Some(7.0))]).await.expect("adds");
    assert_eq!(points(1).await.expect("points")[25].value, Some(7.0), "and begins anew");
}

#[tokio::test]
async fn a_clock_that_jumps_does_not_stop_the_charts() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let far = START + 400 * DAY;
    cache.add_samples(&[row(1, far, Some(9.0))]).await.expect("adds");
    cache.tidy(far + HOUR).await.expect("tidies");
    // Set right again.
    for second in (0..1_200).step_by(2) {
        cache.add_samples(&[row(1, START + second * SECOND, Some(1.0))]).await.expect("adds");
    }
    cache.tidy(START + 20 * MINUTE).await.expect("tidies");
    let points = cpu(&cache, START, START + 20 * MINUTE, 10 * MINUTE).await;
    assert_eq!(values(&points), [Some(1.0); 2], "rolled up from where the clock is now");
    assert_eq!(
        values(&cpu(&cache, far, far + HOUR, HOUR).await),
        [None],
        "what lies in the far future is gone"
    );
    // Out of order within a minute, twice, and before 1970.
    let odd = [
        row(1, START + 21 * MINUTE + 2, Some(4.0)),
        row(1, START + 21 * MINUTE, Some(2.0)),
        row(1, -5, Some(1.0)),
    ];
    cache.add_samples(&odd).await.expect("adds");
    cache.add_samples(&odd).await.expect("adds again");
    assert_eq!(
        cpu(&cache, START + 21 * MINUTE, START + 22 * MINUTE, MINUTE).await[0].value,
        Some(3.0),
        "each once"
    );
}

#[tokio::test]
async fn a_question_for_too_many_points_is_answered_in_wider_steps() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    cache.add_samples(&[row(1, START, Some(1.0))]).await.expect("adds");
    for (from, to, step) in
        [(START, START + DAY, 1), (i64::MIN, i64::MAX, 0), (0, i64::MAX, 1), (START, START + 2, -9)]
    {
        let points = cpu(&cache, from, to, step).await;
        assert!(!points.is_empty() && points.len() <= 20_000, "{} points", points.len());
    }
}
