//! From which addresses a cluster may be reached. An entry that cannot be understood refuses the whole list; a list that leaves
//! out whoever asks for it has to be confirmed by name, and goes back by itself unless it is kept.

use super::rules::{self, words};
use super::{ComesFrom, Facts, Finding, Preview, Subject};
use crate::{AllowEntry, AllowWish, Cidr, ClusterSpec, MAX_ALLOW_COMMENT, MAX_ALLOWED, Topology, lets_in};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How long a new list may wait to be kept. Milliseconds.
const KEEP_WITHIN: std::ops::RangeInclusive<u64> = 1_000..=600_000;

/// A way to a cluster's servers, and whether the list is held to there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WayIn {
    /// Its name for people.
    pub name: String,
    /// The list is held to there.
    pub enforced: bool,
    /// What that means, or why it is not, in sentences.
    pub text: String,
}

/// Whether the network of a cluster can hold its nodes' own ports to the list, whatever the servers do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NodeFence {
    /// It need not: the addresses of the nodes lead there from this computer only.
    #[default]
    OnlyHere,
    /// It does.
    Held,
    /// It cannot, and why, in words that end a sentence.
    Missing(String),
}

/// The ways to the servers of a cluster, and where its list is held to.
pub fn ways_in(spec: &ClusterSpec, fence: &NodeFence) -> Vec<WayIn> {
    let way = |name: &str, enforced, text: String| WayIn { name: name.to_owned(), enforced, text };
    let exposed = spec.exposed_at().map(|at| format!(" Other computers come in at {at}."));
    let endpoint = way(
        "The endpoints",
        true,
        format!(
            "A connection from any other address is closed before it can sign in.{}",
            exposed.unwrap_or_default()
        ),
    );
    let nodes = way(
        "Each node's own port",
        spec.service.knows_addresses() || *fence == NodeFence::Held,
        nodes_text(spec, fence),
    );
    let own = way(
        "Nodes among themselves, and Clusterdeck",
        false,
        "Stays open on purpose, for the cluster's own accounts with passwords that nobody else has."
            .to_owned(),
    );
    vec![endpoint, nodes, own]
}

fn nodes_text(spec: &ClusterSpec, fence: &NodeFence) -> String {
    let maker = rules::entry(spec).name_of(&spec.version);
    if *fence == NodeFence::Held {
        let servers = match spec.service.knows_addresses() {
            true => " So does the server itself, for people's roles.",
            false => "",
        };
        return format!(
            "The network (nftables) refuses any other address, also on nodes that are added later. Let in are the list, the \
             cluster's own nodes, its endpoint, and this computer.{servers}"
        );
    }
    if spec.service.knows_addresses() {
        return "The server refuses people's roles from any other address, also on nodes that are added later. Let in are the \
                list, the endpoint, and each node's own address."
            .to_owned();
    }
    let open = match fence {
        NodeFence::Missing(why) => {
            format!("Stays open to whoever reaches that address and knows a password: {why}, and ")
        }
        _ => "Reached from this computer only, by whoever knows a password: ".to_owned(),
    };
    let also = match spec.topology {
        Topology::Sharded => " The members of a sharded cluster send clients there, so it cannot be closed.",
        _ => " Nodes and Clusterdeck need it too.",
    };
    format!("{open}the accounts of {maker} are not bound to addresses here.{also}")
}

/// The list that was wished for, with each text understood and each range only once.
///
/// # Errors
/// What cannot be understood, entry by entry.
pub fn chosen_allowlist(wishes: &[AllowWish], now: Timestamp) -> Result<Vec<AllowEntry>, Vec<Finding>> {
    let mut entries: Vec<AllowEntry> = Vec::new();
    let mut wrong = Vec::new();
    for (index, wish) in wishes.iter().enumerate() {
        let at = format!("/entries/{index}");
        match Cidr::parse(&wish.cidr) {
            Ok(cidr) => {
                let comment = wish.comment.as_deref().map(str::trim).filter(|c| !c.is_empty());
                let entry =
                    AllowEntry { cidr, comment: comment.map(str::to_owned), expires_at: wish.expires_at };
                match entries.iter_mut().find(|known| known.cidr == cidr) {
                    Some(known) => *known = entry,
                    None => entries.push(entry),
                }
            }
            Err(why) => wrong.push(
                Finding::new(
                    "not-an-address",
                    format!("Entry {}, `{}`: {why}.", index + 1, wish.cidr.trim()),
                )
                .at(&format!("{at}/cidr")),
            ),
        }
        if wish.expires_at.is_some_and(|end| end <= now) {
            let text = format!("Entry {}, `{}`: its end is over already.", index + 1, wish.cidr.trim());
            wrong.push(Finding::new("entry-is-over", text).at(&format!("{at}/expires_at")));
        }
        let comment = wish.comment.as_deref().unwrap_or_default();
        if comment.chars().count() > MAX_ALLOW_COMMENT || comment.chars().any(char::is_control) {
            let text = format!(
                "Entry {}: a comment is one line of at most {MAX_ALLOW_COMMENT} characters.",
                index + 1
            );
            wrong.push(Finding::new("comment-too-long", text).at(&format!("{at}/comment")));
        }
    }
    if entries.len() > MAX_ALLOWED {
        let text = format!("A list has at most {MAX_ALLOWED} entries, this one has {}.", entries.len());
        wrong.push(Finding::new("too-many-entries", text).at("/entries").hint("Name ranges."));
    }
    if !entries.is_empty() && entries.iter().all(|entry| entry.expires_at.is_some()) {
        wrong.push(
            Finding::new(
                "would-open-by-itself",
                "Every entry has an end. After the last one the list would be empty, and an empty list is open to everybody.",
            )
            .at("/entries")
            .hint("Add one that stays, such as your own address."),
        );
    }
    if wrong.is_empty() { Ok(entries) } else { Err(wrong) }
}

/// How long the new list waits to be kept before the one before comes back; `None`: it does not.
pub fn allow_trial_ms(to: &[AllowEntry], keep_within_ms: Option<u64>, facts: &Facts<'_>) -> Option<u64> {
    keep_within_ms.or_else(|| left_out(to, facts).map(|_| facts.figures.keep_within_ms))
}

/// In words, whoever asks, when the list does not let them in or nobody knows.
fn left_out(to: &[AllowEntry], facts: &Facts<'_>) -> Option<String> {
    match facts.comes_from {
        ComesFrom::Address(from) if !lets_in(to, from, facts.now) => {
            Some(format!("You come from {from}, which is not in the list: you would be cut off yourself."))
        }
        ComesFrom::Unknown if !to.is_empty() => {
            Some("The address you come from is not known, so you may cut yourself off.".to_owned())
        }
        _ => None,
    }
}

pub(super) fn preview(
    subject: &Subject<'_>,
    wishes: &[AllowWish],
    keep_within_ms: Option<u64>,
    facts: &Facts<'_>,
) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(match wishes {
        [] => format!("Open {name} to every address"),
        _ => format!("Limit access to {name}"),
    });
    preview.block(rules::free(subject));
    if spec.gateway.is_none() {
        let text = format!("{name} has no endpoint at which a list could be held to.");
        preview.block(Finding::new("no-endpoint", text).at("/cluster"));
    }
    if facts.sources_hidden && !wishes.is_empty() {
        preview.block(
            Finding::new(
                "sources-hidden",
                format!(
                    "{name} is reached through ports that are published on this computer, and all clients seem to come \
                     from one address there: a list would let in all of them or none."
                ),
            )
            .at("/entries")
            .hint("Limit who reaches this computer with its firewall."),
        );
    }
    if keep_within_ms.is_some_and(|ms| !KEEP_WITHIN.contains(&ms)) {
        let text = "A new list can wait between 1 s and 600 s to be kept.";
        preview.block(Finding::new("keep-within", text).at("/keep_within_ms"));
    }
    let to = match chosen_allowlist(wishes, facts.now) {
        Ok(to) => to,
        Err(wrong) => {
            preview.blockers.extend(wrong);
            return preview;
        }
    };
    if to == spec.allowlist && keep_within_ms.is_none() {
        preview.effect(match to.is_empty() {
            true => format!("{name} is open to every address already; nothing changes."),
            false => format!("The list of {name} is so already; nothing changes."),
        });
        return preview;
    }
    understood(wishes, &to, &mut preview);
    differences(spec, &to, &mut preview);
    if !to.is_empty() {
        preview.effects.extend(held_to(spec, facts.node_fence));
    }
    for entry in to.iter().filter(|entry| entry.cidr.is_everybody()) {
        let kind = if entry.cidr.first().is_ipv4() { "IPv4" } else { "IPv6" };
        let text = format!("{} is every {kind} address there is.", entry.cidr);
        preview.warn(Finding::new("everybody", text));
    }
    if to.is_empty() {
        preview.warn(Finding::new(
            "open-to-everybody",
            format!("An empty list is open: whoever reaches {name} may try to sign in."),
        ));
    }
    let everybody = to.is_empty() || to.iter().any(|entry| entry.cidr.is_everybody());
    if let Some(at) = spec.exposed_at().filter(|_| everybody) {
        let text = format!("Other computers reach {name} at {at}: each of them may then try passwords.");
        preview.warn(Finding::new("exposed-to-everybody", text));
        preview.confirm = Some(name.to_string());
    }
    let held = *facts.node_fence == NodeFence::Held;
    if spec.topology == Topology::Sharded && !to.is_empty() && !spec.service.knows_addresses() && !held {
        preview.warn(Finding::new(
            "shards-stay-open",
            "Its members send clients on to the nodes' own ports, where the list is not held to: it guards only the endpoint.",
        ));
    }
    if let Some(text) = left_out(&to, facts) {
        preview.warn(
            Finding::new("own-address-left-out", text)
                .at("/entries")
                .hint(own_hint(facts.comes_from).unwrap_or_default()),
        );
        preview.confirm = Some(name.to_string());
    } else if let ComesFrom::Address(from) = facts.comes_from {
        preview.warn(own_end(&to, from, facts.now));
    }
    if let Some(ms) = allow_trial_ms(&to, keep_within_ms, facts) {
        preview.effect(format!(
            "Unless somebody keeps it within {}, the list before comes back by itself, also when Clusterdeck has ended by then: \
             the endpoint holds both, and the time.",
            words::wait(ms)
        ));
        if spec.service.knows_addresses() || held {
            preview.effect("The nodes' own ports follow when it is kept.");
        }
    }
    preview
}

fn own_hint(comes_from: ComesFrom) -> Option<String> {
    match comes_from {
        ComesFrom::Address(from) => Some(format!("Add {} to stay in.", Cidr::host(from))),
        _ => None,
    }
}

/// The list lets its author in, but not for good.
fn own_end(to: &[AllowEntry], from: IpAddr, now: Timestamp) -> Option<Finding> {
    let ends = to.iter().filter(|entry| entry.cidr.contains(from)).map(|entry| entry.expires_at);
    // With one that has no end there is no end.
    let last = ends.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let wait = words::wait_until(now, last);
    Some(Finding::new("own-address-ends", format!("You come from {from}, which is let in only for {wait}.")))
}

/// What was understood otherwise than it was written.
fn understood(wishes: &[AllowWish], to: &[AllowEntry], preview: &mut Preview) {
    for (index, wish) in wishes.iter().enumerate() {
        let Ok(cidr) = Cidr::parse(&wish.cidr) else { continue };
        let (written, read) = (wish.cidr.trim(), cidr.to_string());
        let alone = ["/32", "/128"].iter().any(|size| written.eq_ignore_ascii_case(&format!("{read}{size}")));
        if !alone && !written.eq_ignore_ascii_case(&read) {
            preview.effect(format!("`{written}` is taken as {read}."));
        }
        let again = wishes[..index].iter().any(|w| Cidr::parse(&w.cidr) == Ok(cidr));
        if again {
            preview.effect(format!("{read} was named twice; it is in the list once."));
        }
    }
    for entry in to {
        let over = |other: &&AllowEntry| {
            other.cidr != entry.cidr
                && other.cidr.covers(&entry.cidr)
                && other.expires_at.is_none_or(|end| entry.expires_at.is_some_and(|own| own <= end))
        };
        if let Some(other) = to.iter().find(over) {
            preview.effect(format!("{} adds nothing: {} holds it already.", entry.cidr, other.cidr));
        }
    }
}

/// Who comes in and who no longer does.
fn differences(spec: &ClusterSpec, to: &[AllowEntry], preview: &mut Preview) {
    let known = |list: &[AllowEntry], cidr: &Cidr| list.iter().any(|e| e.cidr == *cidr);
    let names = |list: &[AllowEntry], other: &[AllowEntry]| {
        let found: Vec<String> =
            list.iter().filter(|e| !known(other, &e.cidr)).map(|e| e.cidr.to_string()).collect();
        words::list(&found.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (added, removed) = (names(to, &spec.allowlist), names(&spec.allowlist, to));
    match (spec.allowlist.is_empty(), to.is_empty()) {
        (_, true) => preview.effect("Every address may come in."),
        (true, false) => preview.effect(format!("Only {added} may come in; until now everybody could.")),
        (false, false) => {
            if !added.is_empty() {
                preview.effect(format!("Comes in as well: {added}."));
            }
            if !removed.is_empty() {
                preview.effect(format!("Comes in no longer: {removed}."));
            }
        }
    }
    for entry in to {
        let before = spec.allowlist.iter().find(|e| e.cidr == entry.cidr).and_then(|e| e.expires_at);
        if let Some(end) = entry.expires_at.filter(|end| before != Some(*end)) {
            preview.effect(format!(
                "{} comes in until {end}, and is taken off the list by itself then.",
                entry.cidr
            ));
        }
    }
}

fn held_to(spec: &ClusterSpec, fence: &NodeFence) -> Vec<String> {
    let way = |way: WayIn| format!("{}: {}{}", way.name, lower_if_open(way.enforced), way.text);
    let mut said: Vec<String> = ways_in(spec, fence).into_iter().map(way).collect();
    said.push("Connections that are open from any other address are closed there.".to_owned());
    said
}

const fn lower_if_open(enforced: bool) -> &'static str {
    if enforced { "" } else { "not limited. " }
}
