//! Migrate a database in: the source's data is only read, and nothing of the cluster's own is mixed or replaced unasked. Cutting over
//! ends it.

use super::add_node::disk_for;
use super::rules::{self, fresh, leaders_well, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{BehindIn, Check, CheckState, ClusterSpec, MigrateIn, SourceReport, plan};

pub(super) fn preview(subject: &Subject<'_>, wish: &MigrateIn, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Migrate {} into {}", wish.from.place(), spec.name));
    preview.block(rules::free(subject));
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    let Some(source) = facts.source else {
        let text = format!("What is at {} could not be found out.", wish.from.place());
        preview.block(Finding::new("source-unknown", text).at("/from"));
        return preview;
    };
    preview.checks.clone_from(&source.checks);
    if let Some(size) = size(spec, seen, source, facts) {
        preview.checks.push(size);
    }
    for check in preview.checks.clone() {
        let finding =
            Finding { hint: check.hint.clone(), ..Finding::new(&check.id, check.text.clone()).at("/from") };
        match check.state {
            CheckState::Failed => preview.block(finding),
            CheckState::Warning => preview.warn(finding),
            CheckState::Passed | CheckState::Skipped => {}
        }
    }
    if !source.target_is_empty || source.clashes {
        preview.destructive = source.clashes;
        preview.confirm = Some(spec.name.to_string());
    }
    effects(spec, wish, (source, facts), &mut preview);
    preview
}

/// Whether the data fits on a node, and on the disk that is free. What nobody knows does not fit.
fn size(
    spec: &ClusterSpec,
    seen: &crate::ClusterObserved,
    source: &SourceReport,
    facts: &Facts<'_>,
) -> Option<Check> {
    const TITLE: &str = "There is room for it";
    let failed = |text: String| Some(Check::new("size", TITLE, CheckState::Failed, text));
    if source.checks.iter().any(|c| c.state == CheckState::Failed && c.id != "names") {
        return Some(Check::new(
            "size",
            TITLE,
            CheckState::Skipped,
            "Not looked at: something else must be put right first.",
        ));
    }
    let Some(bytes) = source.bytes else {
        return failed("How much the source holds could not be found out.".to_owned());
    };
    let has = seen.nodes.iter().filter_map(|n| n.data_bytes).max().unwrap_or(0);
    let each = bytes / u64::from(spec.shards.max(1)) + has;
    let smallest = spec.data_nodes().filter_map(|n| plan(&n.plan).ok()).min_by_key(|p| p.disk_bytes)?;
    let hint = "Resize the cluster first.";
    let most = smallest.memory_bytes / 100 * super::resize::MEMORY_PERCENT;
    if spec.service.is_in_memory() && each > most {
        let text = format!(
            "A node of {} holds at most {} in memory; with this data it would hold {}.",
            smallest.id,
            words::bytes(most),
            words::bytes(each)
        );
        return failed(text).map(|check| check.hint(hint));
    }
    let needed = disk_for(each, &facts.figures);
    if smallest.disk_bytes < needed {
        let text = format!(
            "A node of {} has {} of disk; with this data it needs {}.",
            smallest.id,
            words::bytes(smallest.disk_bytes),
            words::bytes(needed)
        );
        return failed(text).map(|check| check.hint(hint));
    }
    let nodes = spec.data_nodes().count() as u64;
    let all = disk_for(bytes, &facts.figures).saturating_mul(nodes / u64::from(spec.shards.max(1)));
    match facts.capacity.map(|c| (c.disk_free_bytes, c.disk_unseen)) {
        Some((Some(free), _)) if free < all => failed(format!(
            "{} of disk are free where its nodes are; {} are needed for all of them.",
            words::bytes(free),
            words::bytes(all)
        ))
        .map(|check| check.hint("Make room there first.")),
        None | Some((None, false)) => failed("How much disk is free could not be found out.".to_owned()),
        Some((Some(_), _) | (None, true)) => Some(Check::new(
            "size",
            TITLE,
            CheckState::Passed,
            format!("About {} come in.", words::bytes(bytes)),
        )),
    }
}

fn effects(
    spec: &ClusterSpec,
    wish: &MigrateIn,
    (source, facts): (&SourceReport, &Facts<'_>),
    preview: &mut Preview,
) {
    let what = source.server.clone().unwrap_or_else(|| "the source".to_owned());
    let much = source.bytes.map_or_else(String::new, |n| format!(", about {}", words::bytes(n)));
    preview.effect(format!(
        "The data of {what} at {}{much}, is copied into {}.",
        wish.from.place(),
        spec.name
    ));
    if let Some(trusted) = wish.ca.as_ref().and_then(|ca| ca.only(|one| one.until > facts.now)) {
        preview.effect(format!(
            "The source must show a certificate for {} that was signed by {trusted}; nobody else is trusted.",
            wish.from.host
        ));
    }
    for how in &source.how {
        preview.effect(how.clone());
    }
    preview.effect(source.makes.clone().unwrap_or_else(|| "The source is only read.".to_owned()));
    preview.effect(match (source.online, wish.follow) {
        (true, true) => "It may be written to meanwhile: the cluster follows it until you cut over.",
        (true, false) => "It may be written to meanwhile; it ends as soon as the cluster has everything.",
        (false, _) => "What is written to it after the copy began does not come along.",
    });
    preview.effect("Nobody should write to the cluster until it has ended.");
    preview.effect("Then counts and checksums of both sides are compared and shown.");
    preview.effect("If it fails or you cancel, what came in is taken away again.");
}

pub(super) fn cut_over(subject: &Subject<'_>, facts: &Facts<'_>) -> Preview {
    let name = &subject.spec.name;
    let mut preview = Preview::titled(format!("Cut {name} over"));
    let Some(following) = facts.following else {
        let text = format!("No migration into {name} is under way.");
        preview.block(Finding::new("no-migration", text).at("/cluster"));
        return preview;
    };
    match following.behind {
        None => preview.block(
            Finding::new("still-copying", format!("{name} does not have everything yet."))
                .hint("Wait until it follows the source."),
        ),
        Some(0) => preview.effect(format!("{name} has all that was written to {} so far.", following.from)),
        Some(n) => preview.effect(match following.unit {
            BehindIn::Changes => format!("{n} changes of {} are on their way.", following.from),
            BehindIn::LogBytes => {
                format!("{} of the log of {} are on their way.", words::bytes(n), following.from)
            }
        }),
    }
    preview.warn(Finding::new(
        "writers-must-stop",
        format!("Whatever is written to {} from now on does not come along.", following.from),
    ));
    preview.effect(format!(
        "{name} takes what is missing, and the migration ends. Writers may use {name} then; how long they had to wait is measured."
    ));
    preview
}
