//! The archive of each cluster's log: what is in it, which moments it leads to, and what is missing. How pieces get into it is
//! `follow`'s business, how they come back `back`'s.

mod back;
mod era;
mod follow;

pub(crate) use back::lay;
pub(crate) use era::{begin as begin_era, end as end_era};
pub(crate) use follow::follow;

use crate::{engine::Shared, error::EngineError, facade::Result, repository::StateRepository};
use clusterdeck_domain::{
    Backup, BackupId, BackupState, ClusterId, ClusterSpec, LogBase, LogMark, LogPiece, LogRange, MomentFacts,
    PointInTime, RangeBase, ranges, replay, way,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::PoisonError,
    time::Instant,
};

/// An archive that is so far behind is told of.
const LATE: SignedDuration = SignedDuration::from_mins(3);
/// A hole that stays for so long is one, and no piece that is still on its way from another node.
const HOLE_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// An archive that was turned on leads on from the newest backup by then, or it never does.
const BEGINS_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// A backup that would end a hole is not made more often.
const BASE_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// A moment up to which the archive has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    mark: LogMark,
    /// See [`clusterdeck_driver::LogReady::quiet`].
    quiet: Option<u64>,
}

/// What is known of one cluster's archive.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    /// By the past that they are of.
    pieces: BTreeMap<u32, Vec<LogPiece>>,
    /// When each past but the first began.
    eras: Vec<era::Era>,
    /// The servers hold another past than when they were last told what to do with their log.
    fresh: bool,
    head: Option<Head>,
    /// Moments whose log is not archived yet, the oldest first.
    pending: VecDeque<Head>,
    waiting_bytes: u64,
    most_bytes: u64,
    problem: Option<String>,
    /// Since when there is a hole.
    hole_since: Option<Timestamp>,
    /// When the head was last written down.
    noted: Option<Instant>,
}

/// All archives of a home.
pub(crate) type Archives = BTreeMap<ClusterId, Archive>;

fn head_key(cluster: &ClusterId) -> String {
    format!("log-head/{cluster}")
}

/// Reads what is known of every archive.
pub(crate) async fn read(state: &dyn StateRepository) -> Result<Archives> {
    let mut all = Archives::new();
    for piece in state.log_pieces().await? {
        let archive = all.entry(piece.cluster.clone()).or_default();
        archive.pieces.entry(piece.era).or_default().push(piece);
    }
    for spec in state.clusters().await? {
        all.entry(spec.id).or_default();
    }
    for (cluster, archive) in &mut all {
        archive.eras = era::read(state, cluster).await?;
        let head = state.setting(&head_key(cluster)).await?;
        let head: Option<Head> = head.and_then(|head| serde_json::from_value(head).ok());
        archive.head = head.filter(|head| archive.era_at(head.mark.at) == archive.era());
    }
    Ok(all)
}

/// Where the pieces of a cluster's log lie in a vault, beside its backups.
fn folder(cluster: &ClusterId) -> Result<BackupId> {
    let digits = cluster.as_str().split('_').next_back().unwrap_or_default();
    let unique = u128::from_str_radix(digits, 16);
    let unique = unique.map_err(|_| EngineError::NotFound { what: format!("cluster {cluster}") })?;
    Ok(BackupId::new(unique))
}

fn with<T>(shared: &Shared, cluster: &ClusterId, look: impl FnOnce(&mut Archive) -> T) -> T {
    let mut all = shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
    look(all.entry(cluster.clone()).or_default())
}

/// A backup as a place in its cluster's log.
fn base(shared: &Shared, backup: &Backup) -> Option<LogBase> {
    let part = backup.part(None)?;
    let place = shared.driver(backup.of.service).ok()?.log_place(&part.position)?;
    let from = part.copied_at.or(backup.ended_at)?;
    Some(LogBase { backup: backup.id.clone(), from, place })
}

/// The backups that a cluster's log can be replayed on, the newest first.
fn bases(shared: &Shared, cluster: &ClusterId) -> Vec<LogBase> {
    let usable = super::of(shared, cluster).into_iter().filter(Backup::usable);
    usable.filter_map(|backup| base(shared, &backup)).collect()
}

impl Archive {
    /// The past that is being written.
    fn era(&self) -> u32 {
        u32::try_from(self.eras.len()).unwrap_or(u32::MAX)
    }
    /// The past that a moment was in.
    fn era_at(&self, at: Timestamp) -> u32 {
        u32::try_from(self.eras.iter().filter(|era| era.at <= at).count()).unwrap_or(u32::MAX)
    }
    fn of_era(&self, era: u32) -> &[LogPiece] {
        self.pieces.get(&era).map_or(&[], Vec::as_slice)
    }
    fn now(&self) -> &[LogPiece] {
        self.of_era(self.era())
    }
    fn all(&self) -> impl Iterator<Item = &LogPiece> {
        self.pieces.values().flatten()
    }
    /// The bases in each past, the newest past first, with what is known of its end.
    fn pasts<'a>(&'a self, bases: &'a [LogBase]) -> Vec<(Vec<LogBase>, &'a [LogPiece], Option<&'a LogMark>)> {
        let of = |era: u32| bases.iter().filter(|b| self.era_at(b.from) == era).cloned().collect();
        let mark = |era: u32| if era == self.era() { self.head() } else { self.left(era) };
        (0..=self.era()).rev().map(|era| (of(era), self.of_era(era), mark(era))).collect()
    }
    fn ranges(&self, bases: &[LogBase]) -> Vec<LogRange> {
        let pasts = self.pasts(bases).into_iter();
        let mut all: Vec<LogRange> =
            pasts.flat_map(|(bases, pieces, mark)| ranges(&bases, pieces, mark)).collect();
        all.sort_by_key(|range| range.from);
        all
    }
    /// What leads to a moment: the backup, and what is replayed on it.
    fn replay(&self, bases: &[LogBase], at: Timestamp) -> Option<Found> {
        self.pasts(bases).into_iter().find_map(|(bases, pieces, mark)| {
            let found = replay(&bases, pieces, mark, at)?;
            Some(Found {
                base: found.base.clone(),
                pieces: found.pieces.iter().map(|piece| (*piece).clone()).collect(),
                line: found.line,
                to_end: found.to_end,
            })
        })
    }
    /// How far a past that is over was archived.
    fn left(&self, era: u32) -> Option<&LogMark> {
        self.eras.get(usize::try_from(era).ok()?)?.left.as_ref()
    }
    fn head(&self) -> Option<&LogMark> {
        self.head.as_ref().map(|head| &head.mark)
    }
    /// The newest base of the past that is being written.
    fn newest<'a>(&self, bases: &'a [LogBase]) -> Option<&'a LogBase> {
        bases.iter().filter(|base| self.era_at(base.from) == self.era()).max_by_key(|base| base.from)
    }
    /// What is missing behind the newest backup.
    fn hole(&self, bases: &[LogBase]) -> Option<String> {
        let newest = self.newest(bases)?;
        way(newest, self.now(), None).hole
    }
}

/// What is replayed on which backup.
struct Found {
    base: LogBase,
    pieces: Vec<LogPiece>,
    line: u32,
    to_end: bool,
}

/// See [`crate::Engine::point_in_time`].
pub(crate) fn report(shared: &Shared, cluster: &ClusterId) -> PointInTime {
    let spec = shared.live(cluster).ok().map(|live| live.spec);
    let schedule = spec.as_ref().and_then(ClusterSpec::log_schedule).cloned();
    let (bases, now) = (bases(shared, cluster), shared.now());
    let backups = super::of(shared, cluster);
    let verified = |id: &BackupId| backups.iter().any(|b| b.id == *id && b.state == BackupState::Verified);
    let mut marks: Vec<RangeBase> = bases
        .iter()
        .map(|base| RangeBase {
            backup: base.backup.clone(),
            at: base.from,
            verified: verified(&base.backup),
        })
        .collect();
    marks.sort_by_key(|base| base.at);
    with(shared, cluster, |archive| {
        let on = schedule.is_some();
        let behind = archive.head().filter(|_| on).map(|head| now.duration_since(head.at));
        let hole = archive.hole(&bases).map(|hole| {
            format!("the log has a hole: {hole}; the next backup ends it, and what is between is lost to the archive")
        });
        let late = behind.filter(|behind| *behind > LATE);
        let late = late.map(|behind| format!("the archive is {} min behind", behind.as_mins()));
        PointInTime {
            on,
            vault: schedule
                .map(|schedule| schedule.vault)
                .or_else(|| archive.all().last().map(|p| p.vault.clone())),
            ranges: archive.ranges(&bases),
            bases: marks,
            behind_ms: behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(0)),
            waiting_bytes: archive.waiting_bytes,
            waiting_most_bytes: archive.most_bytes,
            stored_bytes: archive.all().map(|piece| piece.stored_bytes).sum(),
            problem: on.then(|| hole.or_else(|| archive.problem.clone()).or(late)).flatten(),
        }
    })
}

/// What a preview wants to know of a moment, and the backup that the log is then replayed on.
pub(crate) fn moment(shared: &Shared, at: Timestamp, named: &Backup) -> (MomentFacts, Option<Backup>) {
    let bases = bases(shared, &named.of.id);
    let (facts, base) = with(shared, &named.of.id, |archive| {
        let mut facts = MomentFacts { ranges: archive.ranges(&bases), ..MomentFacts::default() };
        let driver = shared.driver(named.of.service);
        facts.whole_seconds = driver.is_ok_and(|driver| !driver.log_is_exact(&named.of.version));
        let found = archive.replay(&bases, at);
        if let Some(found) = &found {
            facts.reached = true;
            facts.pieces = found.pieces.len();
            facts.log_bytes = found.pieces.iter().map(|piece| piece.used_bytes).sum();
        }
        (facts, found.map(|found| found.base.backup.clone()))
    });
    (facts, base.and_then(|id| super::find(shared, id.as_str()).ok()))
}

/// A backup is needed now, whatever the schedule says: the log has a hole behind the newest, or it is archived only since then.
pub(super) fn wants_base(shared: &Shared, spec: &ClusterSpec) -> bool {
    let (now, bases) = (shared.now(), bases(shared, &spec.id));
    let since = spec.log_schedule().and_then(|schedule| schedule.since);
    let older = |since: Timestamp| bases.iter().all(|base| base.from < since);
    let begun = with(shared, &spec.id, |archive| archive.eras.last().map(|era| era.at));
    let hole = with(shared, &spec.id, |archive| {
        let hole = archive.hole(&bases).is_some();
        let began = |since: &Timestamp| {
            let followed = archive.head().is_some_and(|head| head.at > *since);
            older(*since) && !followed && now.duration_since(*since) > BEGINS_WITHIN
        };
        hole && archive.hole_since.is_some_and(|since| now.duration_since(since) > HOLE_AFTER)
            || since.as_ref().is_some_and(began)
            || begun.is_some_and(older)
    });
    let made = super::of(shared, &spec.id).into_iter().map(|backup| backup.created_at);
    let last = made.filter(|at| begun.is_none_or(|begun| *at >= begun)).max();
    hole && last.is_none_or(|last| now.duration_since(last) > BASE_AGAIN_AFTER)
}

/// Whether anything of a log lies in a vault.
pub(super) fn lies_in(shared: &Shared, vault: &str) -> bool {
    let all = shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
    all.values().any(|archive| archive.all().any(|piece| piece.vault == vault))
}

/// Takes away what no backup needs any more: what was archived before the oldest of them was begun.
pub(super) async fn expire(shared: &Shared) {
    let clusters: Vec<ClusterId> = {
        let all = shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, archive)| archive.all().next().is_some()).map(|(id, _)| id.clone()).collect()
    };
    for cluster in clusters.iter().filter(|cluster| !is_replayed(shared, cluster)) {
        let kept: Vec<(Timestamp, BackupState)> =
            super::of(shared, cluster).iter().map(|backup| (backup.created_at, backup.state)).collect();
        let over: Vec<LogPiece> = with(shared, cluster, |archive| {
            let over = |piece: &&LogPiece| is_over(piece.stored_at, &kept);
            archive.all().filter(over).cloned().collect()
        });
        if let Err(error) = take_away(shared, cluster, &over).await {
            tracing::warn!(%cluster, %error, "old pieces of a log could not be taken away yet");
        }
    }
}

/// Whether no backup needs a piece any more: what was archived before a backup was begun lies before its place. Also one that is
/// being made or was found damaged counts: it may be needed yet.
fn is_over(stored_at: Timestamp, kept: &[(Timestamp, BackupState)]) -> bool {
    let begun = kept.iter().filter(|(_, state)| *state != BackupState::Failed).map(|(begun, _)| *begun);
    begun.min().is_none_or(|oldest| stored_at < oldest)
}

async fn take_away(shared: &Shared, cluster: &ClusterId, over: &[LogPiece]) -> Result<()> {
    let folder = folder(cluster)?;
    for piece in over {
        super::vault(shared, &piece.vault).await?.remove_piece(&folder, &piece.key()).await?;
    }
    forget(shared, cluster, over).await?;
    let Some(last) = over.last() else { return Ok(()) };
    if with(shared, cluster, |archive| archive.all().all(|piece| piece.vault != last.vault)) {
        super::vault(shared, &last.vault).await?.remove(&folder).await?;
    }
    Ok(())
}

/// Forgets pieces of which nothing is left.
async fn forget(shared: &Shared, cluster: &ClusterId, pieces: &[LogPiece]) -> Result<()> {
    if pieces.is_empty() {
        return Ok(());
    }
    shared.state.forget_log_pieces(pieces).await?;
    let keys: BTreeSet<String> = pieces.iter().map(LogPiece::key).collect();
    with(shared, cluster, |archive| {
        for of_era in archive.pieces.values_mut() {
            of_era.retain(|piece| !keys.contains(&piece.key()));
        }
    });
    Ok(())
}

/// Somebody brings a moment of this cluster back now.
fn is_replayed(shared: &Shared, cluster: &ClusterId) -> bool {
    let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    running.values().any(|running| {
        let row = running.record.snapshot();
        let of = ["from", "backup"].map(|begins_with| row.frame[begins_with]["of"]["id"].as_str());
        !row.operation.state.is_final() && of.contains(&Some(cluster.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_goes_when_the_oldest_backup_began_behind_it_and_never_while_one_may_need_it() {
        let at = |n| Timestamp::from_second(n).unwrap();
        let two = [(at(200), BackupState::Verified), (at(100), BackupState::Stored)];
        assert_eq!([99, 100, 150].map(|n| is_over(at(n), &two)), [true, false, false]);
        let newest = [(at(200), BackupState::Verified), (at(100), BackupState::Failed)];
        assert_eq!(
            [150, 200].map(|n| is_over(at(n), &newest)),
            [true, false],
            "nothing of a failed one is left"
        );
        for state in [BackupState::Making, BackupState::Damaged] {
            assert!(!is_over(at(150), &[(at(100), state)]), "{state:?}");
        }
        assert!(is_over(at(150), &[]), "a log alone leads nowhere");
    }
}
