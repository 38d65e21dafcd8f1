//! Let every node run a newer minor version: one at a time, replicas first, whoever takes the writes last. Only within what
//! reads the same data files, and never downwards: what a newer server has written an older one may not read.

use super::rules::{self, entry, fresh, leaders_well, software};
use super::{Capacity, Facts, Finding, Preview, Subject, rolling};
use crate::{
    ClusterObserved, ClusterSpec, NodeSpec,
    version::{belongs, numbers, release_line},
};

/// The data nodes that do not run this version yet, in the order in which they get it: whoever leads comes last. One that
/// does not say what it runs is among them.
pub fn upgrade_order<'a>(spec: &'a ClusterSpec, seen: &ClusterObserved, to: &str) -> Vec<&'a NodeSpec> {
    rolling::in_order(spec.data_nodes().filter(|n| !runs(seen, n).is_some_and(|has| belongs(has, to))), seen)
}

/// The newest version found that is of the cluster's line and, when one was asked for, is or begins with that one.
pub fn upgrade_target(spec: &ClusterSpec, wanted: Option<&str>, capacity: &Capacity) -> Option<String> {
    let line = release_line(spec.service, &spec.version);
    let found = capacity.versions.iter().filter(|v| release_line(spec.service, v) == line);
    found.filter(|v| wanted.is_none_or(|w| belongs(v, w))).max_by_key(|v| numbers(v)).cloned()
}

/// What a node says that it runs.
fn runs<'a>(seen: &'a ClusterObserved, node: &NodeSpec) -> Option<&'a str> {
    seen.node(&node.id)?.version.as_deref()
}

pub(super) fn preview(subject: &Subject<'_>, wanted: Option<&str>, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let to = facts.capacity.and_then(|c| upgrade_target(spec, wanted, c));
    let what = entry(spec).name_of(&spec.version);
    let mut preview = Preview::titled(match to.as_deref().or(wanted) {
        Some(to) => format!("Upgrade {} to {what} {to}", spec.name),
        None => format!("Upgrade {}", spec.name),
    });
    preview.block(rules::free(subject));
    if spec.service.is_extension() {
        let text = format!("The version of {what} is that of an extension, which its databases hold too.");
        let hint = "On this computer, install the newer package and reboot the nodes. In containers, add nodes, which are \
                    made from the newer image, promote one of them and remove the old ones. Then run `ALTER EXTENSION … \
                    UPDATE`.";
        preview.block(Finding::new("extension-by-hand", text).hint(hint));
        return preview;
    }
    let to = target(spec, wanted, to, facts, &mut preview);
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    let well =
        rolling::all_well(spec, seen, "upgraded", &mut preview) && leaders_well(spec, seen, &mut preview);
    let (Some(to), true) = (to, well) else { return preview };
    if !upwards(spec, seen, &to, wanted, &mut preview) {
        return preview;
    }
    let order = upgrade_order(spec, seen, &to);
    for node in &order {
        preview.block(rolling::quorum(spec, seen, node));
    }
    let done = format!("runs {to}");
    rolling::warnings(spec, seen, &order, &done, &mut preview);
    preview.warn(Finding::new(
        "no-way-back",
        format!("A node that runs {to} does not go back: what it has written an older server may not read."),
    ));
    let act = |node: &NodeSpec| format!("goes from {} to {to}", runs(seen, node).unwrap_or("what it runs"));
    rolling::turns(spec, seen, &order, &done, act, &mut preview);
    preview.effect(
        "If a step fails, the nodes that are done keep the new version and all go on serving; ask again to go on from there.",
    );
    preview
}

/// The version, when its place has it and it reads the cluster's files.
fn target(
    spec: &ClusterSpec,
    wanted: Option<&str>,
    to: Option<String>,
    facts: &Facts<'_>,
    preview: &mut Preview,
) -> Option<String> {
    let what = entry(spec).name_of(&spec.version);
    let line = release_line(spec.service, &spec.version);
    let lines = |v: &[u64]| v.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    if let Some(wanted) = wanted {
        let theirs = release_line(spec.service, wanted);
        if !line.starts_with(&theirs) || theirs.is_empty() {
            let text = format!(
                "{} runs {what} {}; {wanted} is not of its line {}, and may not read the same files.",
                spec.name,
                spec.version,
                lines(&line)
            );
            let hint = "Make a new cluster of that version and copy the data there.";
            preview.block(Finding::new("other-major", text).at("/version").hint(hint));
            return None;
        }
    }
    let Some(capacity) = facts.capacity else {
        let text = format!("What `{}` can carry could not be found out.", spec.provider);
        let hint = format!("`clusterdeck provider check {}` says why.", spec.provider);
        preview.block(Finding::new("capacity-unknown", text).hint(hint));
        return None;
    };
    // Servers are stopped and must start again.
    preview.blockers.extend(software(capacity));
    if to.is_none() && preview.blockers.iter().all(|b| b.code != "software-missing") {
        let asked = wanted.map_or_else(|| lines(&line), str::to_owned);
        let text = format!("{what} {asked} is not found in `{}`: {}.", spec.provider, there(capacity));
        preview.block(Finding::new("version-not-found", text).at("/version").hint(GET_IT));
    }
    to
}

/// Something is to be done, and nothing would go downwards.
fn upwards(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    to: &str,
    wanted: Option<&str>,
    preview: &mut Preview,
) -> bool {
    let what = entry(spec).name_of(&spec.version);
    let before = preview.blockers.len();
    let mut newer = Vec::new();
    for node in spec.data_nodes() {
        match runs(seen, node) {
            Some(has) if !belongs(has, to) && numbers(has) > numbers(to) => {
                newer.push(format!("{} {has}", node.name))
            }
            Some(_) => {}
            None => preview.block(Finding::new(
                "version-unknown",
                format!(
                    "Which version {} runs is unknown, so nobody can tell whether {to} is newer.",
                    node.name
                ),
            )),
        }
    }
    if !newer.is_empty() {
        let text = format!("{what} {to} is older than what runs already: {}.", newer.join(", "));
        let hint = if wanted.is_some() { "A version never goes down: choose a newer one." } else { GET_IT };
        preview.block(Finding::new("version-older", text).at("/version").hint(hint));
    } else if preview.blockers.len() == before && upgrade_order(spec, seen, to).is_empty() {
        let text = match wanted {
            Some(_) => format!("Every node of {} runs {to} already.", spec.name),
            None => format!(
                "Every node of {} runs {to}, the newest of its line that `{}` has.",
                spec.name, spec.provider
            ),
        };
        preview.block(Finding::new("same-version", text).at("/version").hint(GET_IT));
    }
    preview.blockers.len() == before
}

/// What to do for a newer one to be found.
const GET_IT: &str = "On this computer, install the newer package first; for containers, pull the newer image or name it in \
                      the settings.";

fn there(capacity: &Capacity) -> String {
    match capacity.versions.as_slice() {
        [] => "nothing is there".to_owned(),
        found => format!("there are {}", found.join(", ")),
    }
}
