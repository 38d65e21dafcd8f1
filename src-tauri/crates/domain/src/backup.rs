//! Copies of a cluster's data that outlive it: what is known of each, and where copies go.

use crate::{
    AllowEntry, BackupId, BackupSchedule, ClusterId, ClusterOptions, ClusterSpec, OperationId, Parameters,
    PlanId, Problem, ProviderId, ServiceKind, Topology,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The vault in the home's own folder. It is always there.
pub const LOCAL_VAULT: &str = "local";
/// The vault for snapshots, in the home's own folder as well: they share what did not change between them. It is always there.
pub const SNAPSHOT_VAULT: &str = "snapshots";
/// How long the final backup of a deleted cluster is kept, unless the settings say otherwise. Days.
pub const FINAL_BACKUP_DAYS: u32 = 15;

/// Which of the four kinds a backup is: it follows from where it lies and how it was made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// A folder of this computer.
    Local,
    /// A copy of the data as it stands, beside it on the same disk, that shares with others what did not change.
    Snapshot,
    /// A Borg repository.
    Borg,
    /// An S3-compatible store.
    S3,
}

/// As what a backup is handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupFormat {
    /// The files that the service's own tools copy and restore, in a tar.
    #[default]
    Copy,
    /// Statements for the service's own client, compressed.
    Logical,
}

impl std::str::FromStr for BackupFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "copy" => Ok(Self::Copy),
            "logical" => Ok(Self::Logical),
            _ => Err(()),
        }
    }
}

/// Whether a backup can be handed out in a format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FormatOffer {
    /// Which.
    pub format: BackupFormat,
    /// What the file would be called.
    pub file: String,
    /// Why it cannot, in words; `null`: it can.
    pub why_not: Option<String>,
}

/// Why a backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupReason {
    /// Somebody asked for it.
    Asked,
    /// Its time had come.
    Scheduled,
    /// The last one before its cluster was deleted.
    BeforeDelete,
    /// What a cluster held before the data of another backup took its place.
    BeforeRestore,
    /// A clone was made of it.
    ForClone,
}

/// What is known of a backup. Only `verified` counts as one that can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupState {
    /// Being made; nothing of it can be used.
    Making,
    /// Made, and read back from its vault with the right checksum. Nobody has restored it yet.
    Stored,
    /// A server started on it, answered, and held what was written down.
    Verified,
    /// It could not be made. Nothing of it is left in the vault, unless `leftover` says so.
    Failed,
    /// What the vault returned is not what was sent, or no server started on it.
    Damaged,
}

/// How many of something a server held while it was copied: it was seen between these two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Count {
    /// Of what, in words: `keys in database 0`, `rows in app.orders`.
    pub of: String,
    /// The fewest.
    pub low: u64,
    /// The most.
    pub high: u64,
    /// Clients change it all the time: at the moment of the copy it may have been a little beyond what was seen before and
    /// after.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moves: bool,
}

impl Count {
    /// Exactly so many of something that seldom changes: databases, tables.
    pub fn exactly(of: impl Into<String>, n: u64) -> Self {
        Self { of: of.into(), low: n, high: n, moves: false }
    }
    /// So many of what clients write: rows, keys.
    pub fn moving(of: impl Into<String>, low: u64, high: u64) -> Self {
        Self { of: of.into(), low, high, moves: true }
    }
    /// Whether a number that was counted elsewhere, itself between two, can be the same thing. None at all is never the same as
    /// more than a few.
    pub const fn agrees(&self, other: &Self) -> bool {
        let slack = if self.moves { 20 + self.high / 50 } else { 0 };
        self.low <= other.high.saturating_add(slack) && other.low <= self.high.saturating_add(slack)
    }
}

/// What was counted twice, at the start and at the end of a copy: the widest of both. What was there only once had none the
/// other time; but of what clients write it was not counted in time, which says nothing.
pub fn spanning(one: &[Count], other: &[Count]) -> Vec<Count> {
    let beside = |all: &[Count], of: &str| -> (u64, u64) {
        all.iter().find(|c| c.of == of).map_or((0, 0), |c| (c.low, c.high))
    };
    let mut found: Vec<Count> = one.to_vec();
    found.extend(other.iter().filter(|c| one.iter().all(|o| o.of != c.of)).cloned());
    let both = |count: &Count| [one, other].iter().all(|all| all.iter().any(|c| c.of == count.of));
    found.retain(|count| !count.moves || both(count));
    for count in &mut found {
        let (a, b) = (beside(one, &count.of), beside(other, &count.of));
        (count.low, count.high) = (a.0.min(b.0), a.1.max(b.1));
    }
    found
}

/// What a restored server holds that it should not, or lacks, in sentences. What was not counted in the first place says
/// nothing, and neither does a table that could not be counted in time in the second, unless none was: counting everything of a
/// large server takes long.
pub fn disagreements(meant: &[Count], found: &[Count]) -> Vec<String> {
    let some_counted = found.iter().any(|c| c.moves);
    let complaint = |want: &Count| {
        let have = found.iter().find(|c| c.of == want.of).cloned();
        if have.is_none() && want.moves && some_counted {
            return None;
        }
        let have = have.unwrap_or_else(|| Count::exactly(want.of.clone(), 0));
        (!want.agrees(&have)).then(|| format!("{}: {} instead of {}", want.of, range(&have), range(want)))
    };
    meant.iter().filter_map(complaint).collect()
}

fn range(count: &Count) -> String {
    if count.low == count.high { count.low.to_string() } else { format!("{} to {}", count.low, count.high) }
}

/// A piece that is copied as a whole: all of a cluster, or one shard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackupPart {
    /// `data`, or `shard-0`.
    pub name: String,
    /// The node it was copied from.
    pub node: String,
    /// Bytes as the server gave them.
    pub data_bytes: u64,
    /// Bytes in the vault: compressed and encrypted.
    pub stored_bytes: u64,
    /// SHA-256 of what the server gave, in hexadecimal digits.
    pub sha256: String,
    /// The place in the server's log up to which it goes, in the server's own words.
    pub position: String,
    /// What the server held.
    pub counts: Vec<Count>,
    /// When it was copied: from then on its cluster's log can be replayed on it. `null`: when the backup was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub copied_at: Option<Timestamp>,
}

/// The cluster a backup is of, as far as it takes to make one like it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackedUp {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// What ran in it.
    pub service: ServiceKind,
    /// In which version.
    pub version: String,
    /// How its nodes stood to each other.
    pub topology: Topology,
    /// Data nodes.
    pub nodes: u16,
    /// Shards; 0 where it was not sharded.
    pub shards: u16,
    /// Where.
    pub provider: ProviderId,
    /// In which region.
    pub region: String,
    /// How large each node was.
    pub plan: PlanId,
    /// Whether it was protected.
    pub protected: bool,
    /// Whether a dead primary was replaced by vote.
    pub auto_failover: bool,
    /// Its switches.
    pub options: ClusterOptions,
    /// Settings of its servers that somebody had changed.
    pub parameters: Parameters,
    /// Backups that were made of it by themselves.
    #[serde(default)]
    pub schedules: Vec<BackupSchedule>,
    /// Addresses that could come in; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowlist: Vec<AllowEntry>,
}

impl From<&ClusterSpec> for BackedUp {
    fn from(spec: &ClusterSpec) -> Self {
        Self {
            id: spec.id.clone(),
            name: spec.name.to_string(),
            service: spec.service,
            version: spec.version.clone(),
            topology: spec.topology,
            nodes: u16::try_from(spec.data_nodes().count()).unwrap_or(u16::MAX),
            shards: spec.shards,
            provider: spec.provider.clone(),
            region: spec.region.clone(),
            plan: spec.plan.clone(),
            protected: spec.protected,
            auto_failover: spec.auto_failover,
            options: spec.options,
            parameters: spec.parameters.clone(),
            schedules: spec.backup_schedules.clone(),
            allowlist: spec.allowlist.clone(),
        }
    }
}

/// A backup. In the vault the same lies beside the data, as `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// The name of the cluster it is of.
    pub cluster: String,
    /// That cluster, as it was.
    pub of: BackedUp,
    /// Which of the four kinds.
    pub kind: BackupKind,
    /// Why it was made.
    pub reason: BackupReason,
    /// What is known of it.
    pub state: BackupState,
    /// The vault it lies in.
    pub vault: String,
    /// The key it is encrypted for (`age1…`), which is no secret.
    pub sealed_for: String,
    /// Its pieces.
    pub parts: Vec<BackupPart>,
    /// Bytes in the vault.
    pub size_bytes: u64,
    /// Bytes as the servers gave them.
    pub data_bytes: u64,
    /// When it was begun: it holds what had been acknowledged by then.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was complete.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When it was last restored and found good.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub verified_at: Option<Timestamp>,
    /// When it goes by itself; `null`: its schedule, or nobody, takes it away.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Why it could not be made, or what is wrong with it.
    pub error: Option<Problem>,
    /// The operation that made it.
    pub operation: Option<OperationId>,
    /// It failed, and its vault did not let go of what had got there. That is taken away once the vault can be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leftover: bool,
    /// Its time was over when nobody was there, or by a clock that was set: it was given a day more, once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reprieved: bool,
}

impl Backup {
    /// There is something in a vault that may be restored.
    pub const fn usable(&self) -> bool {
        matches!(self.state, BackupState::Stored | BackupState::Verified)
    }
    /// Its part for a shard, or the only one.
    pub fn part(&self, shard: Option<u16>) -> Option<&BackupPart> {
        let name = part_name(shard);
        self.parts.iter().find(|part| part.name == name)
    }
}

/// What the piece of a shard is called; of a cluster without shards there is one.
pub fn part_name(shard: Option<u16>) -> String {
    shard.map_or_else(|| "data".to_owned(), |shard| format!("shard-{shard}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(of: &str, low: u64, high: u64) -> Count {
        Count { of: of.to_owned(), low, high, moves: false }
    }

    #[test]
    fn what_changes_while_it_is_copied_is_between_the_two_counts_and_a_new_thing_began_at_none() {
        let (before, after) = ([count("keys", 10, 12)], [count("keys", 20, 22), count("tables", 1, 1)]);
        assert_eq!(spanning(&before, &after), [count("keys", 10, 22), count("tables", 0, 1)]);
        assert_eq!(spanning(&after, &before), [count("keys", 10, 22), count("tables", 0, 1)]);
        let rows = [Count::moving("rows", 5, 5)];
        assert_eq!(spanning(&rows, &[]), [], "counted once is not counted");
        assert_eq!(spanning(&rows, &[Count::moving("rows", 7, 8)]), [Count::moving("rows", 5, 8)]);
    }

    #[test]
    fn an_empty_copy_and_one_that_holds_too_much_are_told_and_what_nobody_counted_is_not() {
        let meant = [count("keys", 10, 22)];
        assert_eq!(disagreements(&meant, &[count("keys", 22, 22), count("others", 5, 5)]), [""; 0]);
        assert_eq!(disagreements(&meant, &[]), ["keys: 0 instead of 10 to 22"]);
        assert_eq!(disagreements(&meant, &[count("keys", 23, 23)]), ["keys: 23 instead of 10 to 22"]);
    }

    #[test]
    fn what_clients_write_may_be_a_little_beyond_and_never_far() {
        let meant = Count::moving("rows", 1000, 1000);
        let found = |n| meant.agrees(&Count::moving("rows", n, n));
        assert!(found(960) && found(1040) && !found(950) && !found(1050) && !found(0));
        assert!(!Count::moving("rows", 21, 21).agrees(&Count::exactly("rows", 0)));
        let (one, other) = (Count::moving("rows in a", 500, 500), Count::moving("rows in b", 500, 500));
        assert_eq!(disagreements(&[one.clone(), other.clone()], &[other]), [""; 0], "not counted in time");
        assert_eq!(disagreements(&[one], &[]), ["rows in a: 0 instead of 500"]);
    }
}
