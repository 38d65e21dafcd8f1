//! The log of Oracle's MySQL: its pieces lead on through a failover, and a copy is replayed to just before a mistake.

use crate::{
    ground::{Copied, Ground, PATIENCE},
    load::{Load, Tally},
};
use clusterdeck_domain::{BackupId, LogBase, LogMark, LogPiece, LogPlace, LogSpan, Topology, replay, way};
use clusterdeck_driver::{LogTarget, LogWaiting, ServiceDriver as _};
use jiff::Timestamp;
use mysql_async::prelude::Queryable as _;
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

/// What an engine keeps of a log, in a folder.
struct Archive {
    folder: tempfile::TempDir,
    pieces: BTreeMap<String, LogPiece>,
    mark: Option<LogMark>,
}

impl Archive {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), pieces: BTreeMap::new(), mark: None }
    }
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Fetches what is complete; says how many pieces were new.
    async fn fetch(&mut self, ground: &Ground) -> usize {
        let ready = ground.driver.log_ready(&ground.cx).await.unwrap();
        assert_eq!(ready.problem, None);
        self.mark = ready.mark.or(self.mark);
        let before = self.pieces.len();
        for piece in ready.waiting {
            if !self.pieces.contains_key(&piece.name) {
                self.store(ground, &piece).await;
            }
        }
        self.pieces.len() - before
    }
    async fn store(&mut self, ground: &Ground, piece: &LogWaiting) {
        let mut output = tokio::fs::File::create(self.file(&piece.name)).await.unwrap();
        let span = ground.driver.log_out(&ground.cx, piece, &mut output).await.unwrap();
        output.sync_all().await.unwrap();
        let bytes = output.metadata().await.unwrap().len();
        println!("{}: {bytes} bytes, {span:?}", piece.name);
        let kept = LogPiece {
            cluster: ground.cx.spec.id.clone(),
            name: piece.name.clone(),
            era: 0,
            span,
            vault: "local".to_owned(),
            sealed_for: String::new(),
            data_bytes: bytes,
            used_bytes: bytes,
            stored_bytes: bytes,
            sha256: String::new(),
            stored_at: Timestamp::now(),
        };
        self.pieces.insert(kept.name.clone(), kept);
    }
    /// Fetches until the log that leads from a base goes up to now.
    async fn follow(&mut self, ground: &Ground, base: &LogBase) {
        let (begun, now) = (Instant::now(), Timestamp::now());
        loop {
            // What a server does by itself after half a minute.
            let seen = ground.driver.observe(&ground.cx).await;
            if seen.primary().is_some() {
                ground.operator(ground.primary(&seen).ordinal, "FLUSH BINARY LOGS").await;
                self.fetch(ground).await;
            }
            let pieces = self.all();
            let way = way(base, &pieces, self.mark.as_ref());
            if way.to >= now && self.mark.is_some_and(|mark| mark.at >= now) {
                assert_eq!(way.hole, None);
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the log must lead on: {way:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    fn all(&self) -> Vec<LogPiece> {
        self.pieces.values().cloned().collect()
    }
    /// The machine of a single node of its own, with the log that leads from a base to a moment.
    async fn laid(&self, ground: &Ground, base: &LogBase, at: Timestamp) -> Ground {
        let pieces = self.all();
        let found =
            replay(std::slice::from_ref(base), &pieces, self.mark.as_ref(), at).expect("it is in range");
        let bare = ground.bare_beside(Topology::Single, 1).await;
        let node = bare.node(1);
        for piece in &found.pieces {
            let mut input = tokio::fs::File::open(self.file(&piece.name)).await.unwrap();
            bare.driver.log_in(&bare.cx, node, &piece.name, &mut input, piece.data_bytes).await.unwrap();
        }
        let names: Vec<String> = found.pieces.iter().map(|piece| piece.name.clone()).collect();
        println!("{} pieces lead to {at}", names.len());
        let target =
            LogTarget { at, line: found.line, from: base.place, to_end: found.to_end, pieces: names };
        bare.driver.log_until(&bare.cx, node, &target).await.unwrap();
        bare
    }
    /// A single node of its own, from a copy as it was at a moment.
    async fn bring_back(&self, ground: &Ground, copy: &Copied, base: &LogBase, at: Timestamp) -> Ground {
        let (bare, begun) = (self.laid(ground, base, at).await, Instant::now());
        let new = bare.restored(copy).await;
        println!("brought back in {:?}", begun.elapsed());
        for path in ["mysql/log.laid", "mysql/log.until", "mysql/copy-in"] {
            assert!(!new.machine(1).exists(path).await.unwrap(), "{path} is left");
        }
        let ours = "SELECT COUNT(*) FROM mysql.user WHERE User = 'clusterdeck_replay'";
        assert_eq!(new.operator(1, ours).await[0].get::<u64, _>(0), Some(0), "who replayed is gone");
        new
    }
}

async fn base(ground: &Ground, ordinal: u16) -> (Copied, LogBase) {
    let copy = ground.copy_out(ordinal).await.unwrap();
    println!("copied: {}", copy.position);
    let place = ground.driver.log_place(&copy.position).expect("a place");
    let base = LogBase { backup: BackupId::new(1), from: Timestamp::now(), place };
    (copy, base)
}

async fn there(ground: &Ground, table: &str) -> BTreeSet<u64> {
    let mut people = ground.people(1).await.unwrap();
    let found: Vec<u64> = people.query(format!("SELECT n FROM {table}")).await.unwrap();
    found.into_iter().collect()
}

/// Every write that was acknowledged by then is there, and no more than those that nobody was told of.
fn is_whole(there: &BTreeSet<u64>, tally: &Tally) {
    let lost = tally.acknowledged.iter().filter(|n| !there.contains(n)).count();
    let more = there.len() - (tally.acknowledged.len() - lost);
    println!("{} acknowledged, {lost} lost, {more} more, {} failed", tally.acknowledged.len(), tally.failed);
    assert_eq!(lost, 0, "acknowledged before and not there");
    assert!(more as u64 <= tally.failed, "{more} that nobody was told of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_mysql_is_brought_back_to_moments_before_and_after_its_primary_died() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    let mut archive = Archive::new();
    let first = Load::begin(&ground, "load_1").await;
    let many = [Load::begin(&ground, "many_1").await, Load::begin(&ground, "many_2").await];
    while first.acknowledged() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (copy, base) = base(&ground, 2).await;
    for _ in 0..4 {
        archive.follow(&ground, &base).await;
    }
    let first = first.end().await;
    for load in many {
        load.end().await;
    }
    let before = Timestamp::now();
    ground.people(0).await.unwrap().query_drop("DROP TABLE load_1").await.unwrap();
    archive.follow(&ground, &base).await;

    let new = archive.bring_back(&ground, &copy, &base, before).await;
    is_whole(&there(&new, "load_1").await, &first);
    drop(new);

    // Some of what it does now is in a file of its own that nobody fetched.
    let through = Load::begin(&ground, "load_2").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = ground.primary(&ground.driver.observe(&ground.cx).await).ordinal;
    ground.signal(old, Signal::KILL).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let through = through.end().await;
    let seen = ground.seen("one must lead", |seen| seen.primary().is_some()).await;
    assert_ne!(ground.primary(&seen).ordinal, old);
    let after = Timestamp::now();
    ground.people(0).await.unwrap().query_drop("DROP TABLE load_2").await.unwrap();
    archive.follow(&ground, &base).await;

    let new = archive.bring_back(&ground, &copy, &base, after).await;
    is_whole(&there(&new, "load_2").await, &through);
    assert!(new.operator(1, "SHOW TABLES IN app LIKE 'load_1'").await.is_empty(), "it was dropped by then");
    new.healthy().await;
    new.driver.probe(&new.cx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_numbers_in_blocks_takes_members_in_and_says_why_its_log_is_not_archived() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    // As it was formed before.
    for ordinal in [3, 2, 1] {
        ground.operator(ordinal, "STOP GROUP_REPLICATION").await;
    }
    for sql in [
        "SET GLOBAL group_replication_gtid_assignment_block_size = 1000000",
        "SET GLOBAL group_replication_bootstrap_group = ON",
        "START GROUP_REPLICATION",
        "SET GLOBAL group_replication_bootstrap_group = OFF",
    ] {
        ground.operator(1, sql).await;
    }
    ground.watch_until_healthy(PATIENCE).await;
    ground.driver.probe(&ground.cx).await.unwrap();
    let ready = ground.driver.log_ready(&ground.cx).await.unwrap();
    assert!(ready.problem.is_some_and(|why| why.contains("in blocks")), "and a range would not be honest");
    assert_eq!((ready.mark, ready.waiting), (None, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_mysql_is_brought_back_to_a_part_of_a_second() {
    let Some(ground) = Ground::of_a_group(Topology::Single, 1).await else { return };
    ground.healthy().await;
    let (copy, base) = base(&ground, 1).await;
    assert_eq!(base.place, LogPlace { line: 0, at: 1 });
    let mut people = ground.people(1).await.unwrap();
    people.query_drop("CREATE TABLE t (n INT PRIMARY KEY)").await.unwrap();
    let mut moments = Vec::new();
    for n in 1..=20 {
        people.query_drop(format!("INSERT INTO t VALUES ({n})")).await.unwrap();
        moments.push(Timestamp::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut archive = Archive::new();
    archive.follow(&ground, &base).await;
    let piece = archive.all().pop().unwrap();
    let LogSpan::Stretch { last: Some(last), .. } = piece.span else { panic!("{piece:?}") };
    assert!(moments[18] < last && last < moments[19], "{last}: it tells its last commit");
    // A piece that is not what it was.
    let (file, whole) = (archive.file(&piece.name), std::fs::read(archive.file(&piece.name)).unwrap());
    let mut bad = whole.clone();
    bad[whole.len() / 2..].fill(0xff);
    std::fs::write(&file, bad).unwrap();
    let bare = archive.laid(&ground, &base, moments[19]).await;
    let refused = bare.copy_in(&copy, copy.bytes).await.unwrap_err().to_string();
    assert!(refused.contains("the log could not be replayed") && !refused.contains("unbound"), "{refused}");
    for path in ["mysql/data", "mysql/copied-in", "mysql/copy-in", "mysql/log.laid"] {
        assert!(!bare.machine(1).exists(path).await.unwrap(), "{path} is left");
    }
    drop(bare);
    std::fs::write(&file, whole).unwrap();
    let new = archive.bring_back(&ground, &copy, &base, moments[11]).await;
    assert_eq!(there(&new, "t").await, (1..=12).collect::<BTreeSet<u64>>());
    // Most of what it has was never in its own log, which goes on from there.
    let (_, base) = self::base(&new, 1).await;
    new.people(1).await.unwrap().query_drop("INSERT INTO t VALUES (100)").await.unwrap();
    Archive::new().follow(&new, &base).await;
}
