//! More than one process, and processes that end badly.

use crate::made;
use clusterdeck_domain::{ClusterId, METRICS, Metric, NodeId, OperationId, OperationState};
use clusterdeck_engine::repository::{CacheRepository, Page, RepositoryError, SampleRow, StateRepository};
use clusterdeck_store::{Cache, State};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

const HOME: &str = "STORE_TEST_HOME";
const WORK: &str = "STORE_TEST_WORK";

/// Starts this test program again, to do `work` in `home`.
fn start(home: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "processes::the_other_process_does_its_work", "--nocapture", "--test-threads=1"])
        .env(HOME, home)
        .env(WORK, work)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// Does what the variables say when another test started this program; alone it checks that nothing was asked.
#[tokio::test]
async fn the_other_process_does_its_work() {
    let (Ok(home), Ok(work)) = (std::env::var(HOME), std::env::var(WORK)) else {
        assert!(std::env::var_os(HOME).is_none() && std::env::var_os(WORK).is_none(), "both or none");
        return;
    };
    let state = State::open(Path::new(&home)).expect("opens");
    match work.as_str() {
        "write for ever" => write_for_ever(&state).await,
        "measure for ever" => measure_for_ever(Path::new(&home)).await,
        who => add_generations(&state, who).await,
    }
}

fn say(what: u128) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "done {what}").and_then(|()| out.flush()).expect("the parent listens");
}

/// The number in such a line. The first one stands behind what the test harness says.
fn said(line: &str) -> Option<u128> {
    line.split_once("done ")?.1.parse().ok()
}

/// Writes operations, each in several calls, and says so after each is acknowledged.
async fn write_for_ever(state: &State) {
    for number in 0.. {
        let spec = made::cluster(number, &format!("c{number}"));
        let mut row = made::operation(number, &spec, Some(&format!("key{number}")));
        row.frame = serde_json::json!({ "pad": "x".repeat(3_000) });
        let (line, audit) = (made::line(&row, "begins"), made::audit(&row, "asked"));
        state.create_operation(&row, &line, &audit, Some(&spec)).await.expect("creates");
        row.operation.state = OperationState::Succeeded;
        state.record(&row, &made::line(&row, "ends")).await.expect("records");
        say(number);
    }
}

#[tokio::test]
async fn a_process_killed_while_it_writes_leaves_all_it_acknowledged() {
    // At several points: in the first log, around checkpoints (every 1,000 pages), and long after.
    for enough in [1_u128, 20, 300, 700] {
        let home = tempfile::tempdir().expect("a folder");
        let mut child = start(home.path(), "write for ever");
        let mut lines =
            BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let begun = lines.by_ref().filter_map(|line| said(&line)).find(|number| *number >= enough);
        child.kill().expect("kill -9");
        // What it still said before it died counts as well.
        let last = lines.filter_map(|line| said(&line)).chain(begun).max().expect("it had begun");
        assert!(!child.wait().expect("ended").success(), "it was killed");

        let state = State::open(home.path()).expect("the file is readable");
        let clusters = state.clusters().await.expect("reads").len();
        for number in 0..=last {
            let row = state.operation(&OperationId::new(number)).await.expect("reads");
            let row =
                row.unwrap_or_else(|| panic!("operation {number} of {last} was acknowledged and is gone"));
            assert_eq!(row.operation.state, OperationState::Succeeded, "operation {number} had ended");
            let journal = state.journal(&row.operation.id).await.expect("reads");
            assert_eq!(journal.len(), 2, "the journal of operation {number}");
        }
        // The one under way is there wholly or not at all, and never more than one.
        let unfinished = state.unfinished().await.expect("reads");
        assert!(unfinished.len() <= 1, "at most the last one was under way");
        let next = state.operation(&OperationId::new(last + 1)).await.expect("reads");
        assert_eq!(
            clusters as u128,
            last + 1 + u128::from(next.is_some()),
            "each operation with its cluster"
        );
        for row in &unfinished {
            assert_eq!(
                state.journal(&row.operation.id).await.expect("reads").len(),
                1,
                "with its first line"
            );
        }
    }
}

/// When the samples of the test below begin.
const START: i64 = 1_795_305_600_000;

/// Keeps a sample every 2 s of its own time, and says so.
async fn measure_for_ever(home: &Path) {
    let cache = Cache::open(home).expect("opens");
    for number in 0.. {
        let at = START + number * 2_000;
        let (cluster, node, values) =
            (ClusterId::new(1), NodeId::new(1), vec![Some(number as f64); METRICS.len()]);
        cache.add_samples(&[SampleRow { cluster, node, at, values }]).await.expect("adds");
        if number % 30 == 0 {
            cache.tidy(at).await.expect("tidies");
        }
        say(number as u128);
    }
}

#[tokio::test]
async fn a_killed_process_leaves_a_sound_cache_that_lacks_the_last_seconds_at_most() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = start(home.path(), "measure for ever");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let begun = lines.by_ref().filter_map(|line| said(&line)).find(|number| *number == 2_000);
    child.kill().expect("kill -9");
    let last = lines.filter_map(|line| said(&line)).chain(begun).max().expect("it had begun");
    child.wait().expect("ended");
    let cache = Cache::open(home.path()).expect("opens");
    assert!(!home.path().join("cache.db.damaged").exists(), "it was not damaged");
    let surely = START + last as i64 * 2_000 - 16_000;
    let points = cache
        .points(&NodeId::new(1), Metric::Clients, surely - 600_000, surely, 2_000)
        .await
        .expect("points");
    assert_eq!(points.len(), 300, "ten minutes");
    assert!(points.iter().all(|p| p.value.is_some()), "without a gap, up to 16 s before the end");
}

const GENERATIONS: u64 = 40;

/// Raises a cluster's generation so many times against somebody else who does the same, and writes who it was.
async fn add_generations(state: &State, who: &str) {
    let first = made::cluster(1, "demo");
    match state.put_cluster(&first).await {
        Ok(()) | Err(RepositoryError::Stale { .. }) => {}
        Err(error) => panic!("{who}: {error}"),
    }
    let row = made::operation(1, &first, None);
    let mut mine = 0;
    while mine < GENERATIONS {
        let mut spec = state.clusters().await.expect("reads").remove(0);
        spec.generation += 1;
        spec.version = format!("{}+", spec.version);
        match state.put_cluster(&spec).await {
            Ok(()) => {
                mine += 1;
                state.add_audit(&made::audit(&row, who)).await.expect("writes");
            }
            // The other one was faster: look again.
            Err(RepositoryError::Stale { .. }) => {}
            Err(error) => panic!("{who}: {error}"),
        }
    }
}

#[tokio::test]
async fn two_processes_that_start_at_once_on_a_new_home_do_not_undo_each_other() {
    let home = tempfile::tempdir().expect("a folder");
    let children = ["anna", "bert"].map(|who| start(home.path(), who));
    for child in children {
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let state = State::open(home.path()).expect("opens");
    let clusters = state.clusters().await.expect("reads");
    assert_eq!(clusters[0].generation, 1 + 2 * GENERATIONS, "every generation was written once");
    let pluses = clusters[0].version.matches('+').count() as u64;
    assert_eq!(pluses, 2 * GENERATIONS, "on top of the one before, not beside it");
    let (trail, _) = state.audit(&Page { limit: 500, ..Page::default() }).await.expect("reads");
    for who in ["anna", "bert"] {
        let lines = trail.iter().filter(|line| line.text == who).count() as u64;
        assert_eq!(lines, GENERATIONS, "all lines of {who}");
    }
}

#[tokio::test]
async fn a_file_held_by_another_program_is_told_so_and_nothing_is_written() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let other = rusqlite::Connection::open(home.path().join("state.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("held");
    let error = state.put_cluster(&made::cluster(1, "demo")).await.expect_err("held").to_string();
    assert!(error.contains("another program held it for more than 5 s"), "{error}");
    assert!(state.clusters().await.expect("it can still be read").is_empty(), "nothing was written");
    other.execute_batch("ROLLBACK").expect("let go");
    state.put_cluster(&made::cluster(1, "demo")).await.expect("now it can");
}
