//! From a change and what is known to what will happen: the pure half of every change.
//!
//! Each change has its own file with its rules in the order of `safety.md`. A *blocker* refuses, a *warning* must be
//! accepted. What is not known blocks. The step that acts checks again; nothing relies on the preview having been true.

mod add_node;
mod allow;
mod backup;
mod clone;
mod create;
mod delete;
mod drain;
mod expose;
mod facts;
mod failover;
mod in_place;
mod migrate;
mod moment;
mod options;
mod parameters;
mod promote;
mod protection;
mod reboot;
mod remove;
mod resize;
mod resolve;
mod resync;
mod rolling;
mod rotate;
mod rules;
mod shard;
mod undrain;
mod upgrade;

pub use allow::{NodeFence, WayIn, allow_trial_ms, chosen_allowlist, ways_in};
pub use backup::{copy_source, last_of, pieces, restored_cluster};
pub use clone::{CLONE_KEPT_HOURS, cloned_cluster};
pub use expose::chosen_exposure;
pub use facts::{
    Busy, Capacity, Carrier, ComesFrom, Facts, Figures, Instead, MissingSoftware, MomentFacts, Subject,
    VaultFacts,
};
pub use parameters::chosen_parameters;
pub use promote::dead_primary_of;
pub use resize::{plan_holds, resize_order};
pub use resolve::{ResolvedCreate, default_version, resolve_create};
pub use resync::resync_order;
pub use rules::{nodes_per_shard, promotion_candidate, replica_needed_for_writes, voters};
pub use upgrade::{upgrade_order, upgrade_target};

use crate::{Change, Check};
use serde::{Deserialize, Serialize};

/// A reason to refuse, or something to accept first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// Stable name of the rule: `lag-unknown`, `name-taken`.
    pub code: String,
    /// In a sentence: what is so, and what it means.
    pub text: String,
    /// The member of the change it is about, as a JSON pointer (`/name`), when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What to do about it, in words or as a command to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A change that would clear the way, offered in one click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<Box<WayOut>>,
}

/// A change that clears the way for another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WayOut {
    /// What its button says: *Promote demo-2 first*.
    pub label: String,
    /// The change.
    #[schema(no_recursion)]
    pub change: Change,
}

impl Finding {
    /// A finding of the rule `code`.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), pointer: None, hint: None, way_out: None }
    }
    /// Names the member it is about.
    #[must_use]
    pub fn at(mut self, pointer: &str) -> Self {
        self.pointer = Some(pointer.to_owned());
        self
    }
    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// Adds a change that clears the way.
    #[must_use]
    pub fn way_out(mut self, label: impl Into<String>, change: Change) -> Self {
        self.way_out = Some(Box::new(WayOut { label: label.into(), change }));
        self
    }
}

/// What a change would do, before anybody does it. Who keeps it adds an id and an end of validity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preview {
    /// The dialog's title and the primary button's words: *Promote demo-2*.
    pub title: String,
    /// It takes something away that cannot be brought back.
    pub destructive: bool,
    /// What will happen, in order, in plain sentences.
    pub effects: Vec<String>,
    /// What was looked at first, each with its result, where a change begins with that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What must be accepted.
    pub warnings: Vec<Finding>,
    /// What refuses it.
    pub blockers: Vec<Finding>,
    /// What must be typed to confirm; `null` when a click is enough.
    pub confirm: Option<String>,
    /// Longest time without writes that is expected, in milliseconds; 0 when none.
    pub expected_downtime_ms: u64,
}

impl Preview {
    /// A preview that as yet finds nothing.
    fn titled(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            destructive: false,
            effects: Vec::new(),
            checks: Vec::new(),
            warnings: Vec::new(),
            blockers: Vec::new(),
            confirm: None,
            expected_downtime_ms: 0,
        }
    }
    fn effect(&mut self, text: impl Into<String>) {
        self.effects.push(text.into());
    }
    fn warn(&mut self, finding: impl Into<Option<Finding>>) {
        self.warnings.extend(finding.into());
    }
    fn block(&mut self, finding: impl Into<Option<Finding>>) {
        self.blockers.extend(finding.into());
    }
}

/// Works out what `change` would do.
pub fn preview(change: &Change, facts: &Facts<'_>) -> Preview {
    if let Some(id) = change.backup() {
        let Some(found) = facts.backup else { return backup::not_found(id, change) };
        return match change {
            Change::RestoreBackup(wish) => backup::restore(wish, found, facts),
            Change::DeleteBackup { .. } => backup::delete(found, facts),
            Change::RestoreInPlace { at, discard_present, keep_within_ms, .. } => match facts.subject {
                Some(subject) => {
                    let (at, discard_present, keep_within_ms) = (*at, *discard_present, *keep_within_ms);
                    let wish = in_place::Wish { at, discard_present, keep_within_ms };
                    in_place::preview(&subject, found, wish, facts)
                }
                None => not_found(change),
            },
            _ => backup::verify(found, facts),
        };
    }
    let subject = match (change, facts.subject) {
        (Change::CreateCluster(wish), _) => return create::preview(wish, facts),
        (_, Some(subject)) => subject,
        (_, None) => return not_found(change),
    };
    if let Some(node) = subject.node {
        match change {
            Change::PromoteNode { .. } => return promote::preview(&subject, node, facts),
            Change::DrainNode { .. } => return drain::preview(&subject, node, facts),
            Change::UndrainNode { .. } => return undrain::preview(&subject, node, facts),
            Change::RebootNode { .. } => return reboot::preview(&subject, node, facts),
            Change::RemoveNode { .. } => return remove::preview(&subject, node, facts),
            _ => {}
        }
    }
    match change {
        Change::AddNode { count, plan, .. } => {
            let count = count.unwrap_or_else(|| subject.spec.added_by_default());
            add_node::preview(&subject, count, plan.as_ref(), facts)
        }
        Change::AddShard { .. } => shard::add(&subject, facts),
        Change::RemoveShard { shard, .. } => shard::remove(&subject, *shard, facts),
        Change::ResizeCluster { plan, .. } => resize::preview(&subject, plan, facts),
        Change::UpgradeCluster { version, .. } => upgrade::preview(&subject, version.as_deref(), facts),
        Change::ResyncCluster { .. } => resync::preview(&subject, facts),
        Change::SetProtection { enabled, .. } => protection::preview(&subject, *enabled),
        Change::SetAutoFailover { enabled, .. } => failover::preview(&subject, *enabled, facts),
        Change::SetOptions { options, .. } => options::preview(&subject, options, facts),
        Change::SetParameters { parameters, .. } => parameters::preview(&subject, parameters, facts),
        Change::SetAllowlist { entries, keep_within_ms, .. } => {
            allow::preview(&subject, entries, *keep_within_ms, facts)
        }
        Change::ExposeEndpoint { on, port, .. } => expose::preview(&subject, *on, *port, facts),
        Change::CloneCluster(wish) => clone::preview(wish, &subject, facts),
        Change::RotateCredentials { .. } => rotate::preview(&subject, facts),
        Change::BackUp { verify, .. } => backup::back_up(&subject, verify.unwrap_or(true), facts),
        Change::SetBackupSchedule { schedule, .. } => backup::schedule(&subject, schedule.as_ref(), facts),
        Change::Migrate(wish) => migrate::preview(&subject, wish, facts),
        Change::CutOver { .. } => migrate::cut_over(&subject, facts),
        Change::DeleteCluster { discard_backups, .. } => delete::preview(&subject, *discard_backups, facts),
        // What names a node and came here has a cluster but no such node in it.
        _ => not_found(change),
    }
}

/// What the change is about is not there.
fn not_found(change: &Change) -> Preview {
    let (what, name, pointer) = match (change.node(), change.cluster()) {
        (Some(node), _) => ("node", node, "/node"),
        (None, cluster) => ("cluster", cluster.unwrap_or_default(), "/cluster"),
    };
    let act = change.kind().id().replace('-', " ");
    let mut preview = Preview::titled(format!("{}: {name}", rules::words::sentence(&act)));
    preview.block(
        Finding::new("not-found", format!("There is no {what} called `{name}`.")).at(pointer).hint(
            "`clusterdeck cluster list` shows the clusters, `clusterdeck node list CLUSTER` their nodes.",
        ),
    );
    preview
}
