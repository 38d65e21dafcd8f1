//! Fetching: every few seconds what each cluster has put aside goes into the vault, is read back, and is taken away on all its
//! nodes. Nothing is lost when this is killed at any moment: a piece waits where it is until its row is written.

use super::{super::of, Archive, HOLE_AFTER, Head, bases, folder, head_key, with};
use crate::{
    backups::{
        ensure_key,
        moving::both,
        stream::{Sum, Summing, pipe},
        vault,
    },
    engine::Shared,
    event::{Event, EventKind, Level},
    facade::Result,
    repository::AuditEntry,
};
use clusterdeck_domain::{ClusterId, ClusterSpec, Lifecycle, LogMark, LogPiece, LogSpan, way};
use clusterdeck_driver::{
    ClusterContext, DriverError, LogReady, LogTaken, LogWaiting, SealKey, ServiceDriver, Vault,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// A look that takes longer is begun anew; what it has fetched by then is fetched.
const LIMIT: Duration = Duration::from_secs(120);
/// A piece that does not get into the vault for so long does not.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
/// Pieces fetched in one look, so that what was fetched is taken away soon.
const AT_ONCE: usize = 16;
/// Moments that are remembered until their log is here: an hour of looks.
const PENDING: usize = 720;
/// How often the last moment is written down while no piece comes.
const NOTE: Duration = Duration::from_secs(30);

/// Fetches until the engine ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut ticks = interval_at(Instant::now() + LOOK, LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let all: Vec<ClusterSpec> = shared.lock_clusters().values().map(|live| live.spec.clone()).collect();
        let kept =
            all.iter().filter(|spec| spec.lifecycle == Lifecycle::Active && spec.log_schedule().is_some());
        let rounds = kept.map(|spec| async {
            let told = match timeout(LIMIT, round(&shared, spec)).await {
                Ok(Ok(problem)) => problem,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("fetching the log takes too long".to_owned()),
            };
            tell(&shared, spec, told).await;
        });
        let rounds = futures::future::join_all(rounds);
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = rounds => {}
        }
    }
}

/// One look at one cluster; what is wrong, in words.
async fn round(shared: &Arc<Shared>, spec: &ClusterSpec) -> Result<Option<String>> {
    let context = shared.context(&spec.id).await?;
    let driver = shared.driver(spec.service)?;
    let Some(schedule) = context.spec.log_schedule().cloned() else { return Ok(None) };
    if let Some(why) = driver.no_log(&context.spec) {
        return Ok(Some(format!("the log cannot be archived: {why}")));
    }
    if with(shared, &spec.id, |archive| archive.fresh) {
        driver.keep_log(&context).await?;
        with(shared, &spec.id, |archive| archive.fresh = false);
    }
    let ready = driver.log_ready(&context).await?;
    with(shared, &spec.id, |archive| archive.note(&ready));
    let mut problem = ready.problem.clone();
    if !ready.waiting.is_empty() {
        let (to, key) = (vault(shared, &schedule.vault).await?, ensure_key(shared).await?);
        let fetched = fetch(shared, &context, driver.as_ref(), (to.as_ref(), &key), &ready).await;
        let (taken, failed) = fetched;
        let differ = driver.log_taken(&context, &taken).await?;
        problem = failed.or(problem).or(judge(shared, &context, driver.as_ref(), &differ).await?);
    }
    let fresh = with(shared, &spec.id, |archive| archive.is_full());
    if !ready.given_up.is_empty() {
        driver.log_drop(&context, &[]).await?;
        let known = |name: &String| with(shared, &spec.id, |a| a.now().iter().any(|p| p.name == *name));
        if let Some(first) = ready.given_up.iter().find(|name| !known(name)) {
            problem = Some(format!(
                "pieces of the log were given up from {first} on: nobody fetched them, and their room was full"
            ));
        }
    }
    advance(shared, spec).await?;
    Ok(problem.or(fresh))
}

type Fetched = (Vec<LogTaken>, Option<String>);

/// What waits goes into the vault, in its order. The first that fails ends it: what comes behind has to wait too.
async fn fetch(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    to: (&dyn Vault, &SealKey),
    ready: &LogReady,
) -> Fetched {
    let mut each: BTreeMap<&str, Vec<&LogWaiting>> = BTreeMap::new();
    for piece in &ready.waiting {
        each.entry(&piece.name).or_default().push(piece);
    }
    let (mut taken, mut fetched) = (Vec::new(), 0);
    for (name, copies) in each {
        let known =
            with(shared, &cx.spec.id, |archive| archive.now().iter().find(|p| p.name == name).cloned());
        let piece = match known {
            Some(known) => known,
            None if fetched == AT_ONCE => break,
            None => {
                fetched += 1;
                match from_any(shared, cx, driver, to, &copies).await {
                    Ok(piece) => piece,
                    Err(error) => {
                        let kept = "it waits on the nodes";
                        return (taken, Some(format!("the log could not be archived: {error}; {kept}")));
                    }
                }
            }
        };
        taken.push(LogTaken { name: piece.name, sha256: piece.sha256 });
    }
    (taken, None)
}

/// From the first node that gives it.
async fn from_any(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    to: (&dyn Vault, &SealKey),
    copies: &[&LogWaiting],
) -> Result<LogPiece> {
    let mut failed = DriverError::transient("no node gives it");
    for copy in copies {
        let limited = timeout(PIECE_WITHIN, store(shared, cx, driver, to, copy)).await;
        match limited.unwrap_or_else(|_| Err(DriverError::transient(format!("{} takes too long", copy.name))))
        {
            Ok(piece) => {
                shared.state.put_log_piece(&piece).await?;
                with(shared, &cx.spec.id, |archive| {
                    archive.pieces.entry(piece.era).or_default().push(piece.clone());
                });
                return Ok(piece);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed.into())
}

/// One piece into the vault, and back past its checksum.
async fn store(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    (vault, key): (&dyn Vault, &SealKey),
    copy: &LogWaiting,
) -> std::result::Result<LogPiece, DriverError> {
    let folder = folder(&cx.spec.id).map_err(|e| DriverError::broken(e.to_string()))?;
    let era = with(shared, &cx.spec.id, |archive| archive.era());
    let mut piece = LogPiece {
        cluster: cx.spec.id.clone(),
        name: copy.name.clone(),
        era,
        span: LogSpan::Forks { line: 0, forks: Vec::new() },
        vault: vault.id().to_owned(),
        sealed_for: key.public.clone(),
        data_bytes: 0,
        used_bytes: 0,
        stored_bytes: 0,
        sha256: String::new(),
        stored_at: shared.now(),
    };
    let called = piece.key();
    let (mut inlet, mut outlet) = pipe(|_| {});
    let give = async {
        let span = driver.log_out(cx, copy, &mut inlet.to).await?;
        let sum = inlet.finish().await;
        Ok::<_, DriverError>((
            span,
            sum.map_err(|e| DriverError::transient(format!("passing on the log: {e}")))?,
        ))
    };
    let take = async {
        let taken = vault.put(&folder, &called, &mut outlet, key).await;
        drop(outlet);
        taken
    };
    let ((span, sum), stored_bytes) = both(tokio::join!(give, take))?;
    let mut back = Summing::new(tokio::io::sink(), |_| {});
    vault.get(&folder, &called, &mut back, key).await?;
    let Sum { bytes, sha256 } = back.sum();
    if (bytes, &sha256) != (sum.bytes, &sum.sha256) {
        let what = format!("what the vault returned of {} is not what was sent", copy.name);
        return Err(DriverError::rejected(what, "look at the disk of the vault"));
    }
    (piece.span, piece.stored_bytes, piece.stored_at) = (span, stored_bytes, stored_at(shared, &cx.spec.id));
    (piece.data_bytes, piece.used_bytes, piece.sha256) = (bytes, copy.used_bytes.min(bytes), sha256);
    Ok(piece)
}

/// Never before a backup that it follows, also when the clock was set back since that was begun: else it would go as one from
/// before the oldest of them.
fn stored_at(shared: &Shared, cluster: &ClusterId) -> Timestamp {
    of(shared, cluster).iter().map(|backup| backup.created_at).fold(shared.now(), Timestamp::max)
}

/// Pieces that lie somewhere with another content than the archive's. One in which a history was left may: everybody closes it
/// with what they have of it, and none of it is needed. Any other is a server that wrote what the others did not.
async fn judge(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    differ: &[String],
) -> Result<Option<String>> {
    let (left, strange): (Vec<String>, Vec<String>) =
        with(shared, &cx.spec.id, |archive| differ.iter().cloned().partition(|name| archive.was_left(name)));
    if !left.is_empty() {
        driver.log_drop(cx, &left).await?;
    }
    Ok(strange.first().map(|name| {
        format!("{name} lies on a node with another content than in the archive: two servers took writes, or a disk is bad")
    }))
}

impl Archive {
    fn note(&mut self, ready: &LogReady) {
        (self.waiting_bytes, self.most_bytes) = (ready.waiting_bytes, ready.most_bytes);
        if let Some(mark) = ready.mark {
            self.pending.push_back(Head { mark, quiet: ready.quiet });
            // The newest are enough to go on with; without the oldest the range is a little shorter meanwhile.
            while self.pending.len() > PENDING {
                self.pending.pop_front();
            }
        }
    }
    /// What waits takes more than half of its room.
    fn is_full(&self) -> Option<String> {
        let full = self.most_bytes > 0 && self.waiting_bytes > self.most_bytes / 2;
        full.then(|| {
            let percent = self.waiting_bytes.saturating_mul(100) / self.most_bytes;
            format!("{percent} % of the room for log that waits on the nodes is used; when it is full, the log gets a hole")
        })
    }
    /// A newer history began within this piece or before it.
    fn was_left(&self, name: &str) -> bool {
        let piece = self.now().iter().find(|piece| piece.name == name);
        let Some(LogSpan::Stretch { line, to, .. }) = piece.map(|piece| &piece.span) else { return false };
        self.now().iter().any(|piece| match &piece.span {
            LogSpan::Forks { forks, .. } => forks.iter().any(|fork| fork.line == *line && fork.at <= *to),
            LogSpan::Stretch { .. } => false,
        })
    }
}

/// Moves the last moment on as far as the archive now goes.
async fn advance(shared: &Shared, spec: &ClusterSpec) -> Result<()> {
    let (bases, now) = (bases(shared, &spec.id), shared.now());
    let to_note = with(shared, &spec.id, |archive| {
        let newest = archive.newest(&bases)?;
        let hole = way(newest, archive.now(), None).hole.is_some();
        archive.hole_since = hole.then(|| archive.hole_since.unwrap_or(now));
        let before = archive.head;
        while let Some(next) = archive.pending.front().copied() {
            let quiet = |head: &Head| head.quiet.is_some() && head.quiet == next.quiet;
            let moved = if way(newest, archive.now(), Some(&next.mark)).to >= next.mark.at {
                Some(next)
            } else {
                // Its place moved on, but nobody committed anything since.
                archive.head.filter(quiet).map(|head| Head {
                    mark: LogMark { at: next.mark.at, place: head.mark.place },
                    quiet: next.quiet,
                })
            };
            let Some(moved) = moved else { break };
            archive.pending.pop_front();
            if archive.head.is_none_or(|head| head.mark.at < moved.mark.at) {
                archive.head = Some(moved);
            }
        }
        let due = archive.noted.is_none_or(|noted| noted.elapsed() > NOTE);
        let changed = archive.head != before && due;
        if changed {
            archive.noted = Some(std::time::Instant::now());
        }
        archive.head.filter(|_| changed)
    });
    if let Some(head) = to_note {
        let value = serde_json::to_value(head).unwrap_or_default();
        shared.state.set_setting(&head_key(&spec.id), &value).await?;
    }
    Ok(())
}

/// Tells once when something is wrong, and once when it is over.
async fn tell(shared: &Shared, spec: &ClusterSpec, problem: Option<String>) {
    let (bases, now) = (bases(shared, &spec.id), shared.now());
    let (before, after) = with(shared, &spec.id, |archive| {
        let stays = archive.hole_since.is_some_and(|since| now.duration_since(since) > HOLE_AFTER);
        let hole = archive.hole(&bases).filter(|_| stays).map(|hole| format!("the log has a hole: {hole}"));
        let after = hole.or(problem);
        (std::mem::replace(&mut archive.problem, after.clone()), after)
    });
    // The words change with the figures in them; that it is still so is no news.
    let (level, result, text) = match (before.is_some(), after) {
        (false, Some(why)) => (
            Level::Error,
            "failed",
            format!("The log of {} is not archived as it should be: {why}", spec.name),
        ),
        (true, None) => (Level::Info, "succeeded", format!("The log of {} is archived again", spec.name)),
        _ => return,
    };
    let mut event = Event::new(EventKind::BackupChanged, level, text.clone());
    event.cluster_id = Some(spec.id.clone());
    event.cluster = Some(spec.name.to_string());
    shared.events.send(event, shared.now());
    shared.audit(entry(shared, &spec.id, spec.name.as_str(), result, text)).await;
}

fn entry(shared: &Shared, id: &ClusterId, name: &str, result: &str, text: String) -> AuditEntry {
    AuditEntry {
        id: 0,
        at: shared.now(),
        actor: "clusterdeck".to_owned(),
        action: "archive-log".to_owned(),
        cluster_id: Some(id.clone()),
        cluster: Some(name.to_owned()),
        node: None,
        operation: None,
        result: result.to_owned(),
        text,
    }
}
