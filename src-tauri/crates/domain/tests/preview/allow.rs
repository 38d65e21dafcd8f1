//! From which addresses a cluster may be reached.

use crate::builder::*;
use clusterdeck_domain::{
    AllowEntry, AllowWish, Change, Cidr, ComesFrom, NodeFence, ServiceKind, Topology, chosen_allowlist,
    ways_in,
};

pub(crate) fn limit(entries: &[&str]) -> Change {
    let wish = |text: &&str| AllowWish { cidr: (*text).to_owned(), ..AllowWish::default() };
    Change::SetAllowlist {
        cluster: "demo".to_owned(),
        entries: entries.iter().map(wish).collect(),
        keep_within_ms: None,
    }
}

fn with_ends(entries: &[(&str, Option<i64>)]) -> Change {
    let wish = |(text, ends): &(&str, Option<i64>)| AllowWish {
        cidr: (*text).to_owned(),
        comment: None,
        expires_at: ends.map(|n| now() + hours(n)),
    };
    Change::SetAllowlist {
        cluster: "demo".to_owned(),
        entries: entries.iter().map(wish).collect(),
        keep_within_ms: None,
    }
}

pub(crate) fn listed(entries: &[&str]) -> Vec<AllowEntry> {
    let entry =
        |text: &&str| AllowEntry { cidr: Cidr::parse(text).unwrap(), comment: None, expires_at: None };
    entries.iter().map(entry).collect()
}

pub(crate) fn from(scene: Scene, address: &str) -> Scene {
    let address = address.parse().unwrap();
    scene.set(|s| s.comes_from = ComesFrom::Address(address))
}

#[test]
fn an_entry_that_cannot_be_understood_refuses_the_list_and_says_which_and_why() {
    let preview = three().preview(&limit(&["10.0.0.0/8", "10.0.0.0/33", "office"]));
    blocked(&preview, &["not-an-address", "not-an-address"]);
    assert_eq!(preview.blockers[0].pointer.as_deref(), Some("/entries/1/cidr"));
    assert_eq!(
        preview.blockers[0].text,
        "Entry 2, `10.0.0.0/33`: an address of its kind has 32 bits, so /33 cannot be."
    );
    assert!(preview.blockers[1].text.starts_with("Entry 3, `office`: it is not an IPv4 or IPv6 address"));
}

#[test]
fn a_list_of_which_nothing_would_be_left_is_refused_because_an_empty_one_is_open() {
    let all_end = with_ends(&[("10.0.0.0/8", Some(1)), ("192.0.2.7", Some(2))]);
    blocked(&three().preview(&all_end), &["would-open-by-itself"]);
    let one_stays = with_ends(&[("10.0.0.0/8", Some(1)), ("192.0.2.7", None)]);
    blocked(&three().preview(&one_stays), &[]);
    blocked(&three().preview(&with_ends(&[("10.0.0.0/8", Some(-1)), ("::1", None)])), &["entry-is-over"]);
}

#[test]
fn leaving_out_where_one_comes_from_is_confirmed_by_name_and_tried_for_a_minute() {
    let preview = from(three(), "192.0.2.7").preview(&limit(&["10.0.0.0/8"]));
    warned(&preview, &["own-address-left-out"]);
    assert_eq!(preview.confirm.as_deref(), Some("demo"));
    assert!(preview.warnings[0].text.contains("192.0.2.7"));
    let trial = preview.effects.iter().find(|e| e.starts_with("Unless somebody keeps it")).unwrap();
    assert!(trial.contains("within 60 s"), "{trial}");
    let inside = from(three(), "10.1.2.3").preview(&limit(&["10.0.0.0/8"]));
    warned(&inside, &[]);
    assert_eq!(inside.confirm, None);
    assert!(inside.effects.iter().all(|e| !e.starts_with("Unless")));
}

#[test]
fn not_knowing_where_one_comes_from_counts_as_left_out_and_a_schedule_comes_from_nowhere() {
    let unknown = three().set(|s| s.comes_from = ComesFrom::Unknown);
    warned(&unknown.preview(&limit(&["10.0.0.0/8"])), &["own-address-left-out"]);
    warned(&three().preview(&limit(&["10.0.0.0/8"])), &[]);
    let opened = three().set(|s| s.comes_from = ComesFrom::Unknown).spec(|s| s.allowlist = listed(&["::1"]));
    let preview = opened.preview(&limit(&[]));
    warned(&preview, &["open-to-everybody"]);
    assert_eq!(preview.confirm, None, "nobody is left out of an open cluster");
}

#[test]
fn an_author_who_is_let_in_for_a_while_only_is_told() {
    let change = with_ends(&[("10.0.0.0/8", Some(3)), ("192.0.2.7", None)]);
    let preview = from(three(), "10.1.2.3").preview(&change);
    warned(&preview, &["own-address-ends"]);
    assert!(preview.warnings[0].text.ends_with("let in only for 3 h."), "{:?}", preview.warnings);
    warned(&from(three(), "192.0.2.7").preview(&change), &[]);
}

#[test]
fn where_the_endpoint_sees_one_address_for_all_no_list_is_taken_and_one_can_be_given_up() {
    let hidden = || three().set(|s| s.sources_hidden = true);
    blocked(&hidden().preview(&limit(&["10.0.0.0/8"])), &["sources-hidden"]);
    blocked(&hidden().spec(|s| s.allowlist = listed(&["::1"])).preview(&limit(&[])), &[]);
}

#[test]
fn the_time_to_keep_it_has_bounds() {
    for (ms, codes) in
        [(999, &["keep-within"][..]), (1_000, &[]), (600_000, &[]), (600_001, &["keep-within"])]
    {
        let Change::SetAllowlist { cluster, entries, .. } = limit(&["::1"]) else { unreachable!() };
        let change = Change::SetAllowlist { cluster, entries, keep_within_ms: Some(ms) };
        blocked(&three().preview(&change), codes);
    }
}

#[test]
fn a_range_named_twice_is_in_the_list_once_and_too_many_are_refused() {
    let wish = |text: &str| AllowWish { cidr: text.to_owned(), ..AllowWish::default() };
    let chosen = chosen_allowlist(&[wish("10.1.1.1/8"), wish("::1"), wish("10.0.0.0/8")], now()).unwrap();
    assert_eq!(chosen, listed(&["10.0.0.0/8", "::1"]));
    let many: Vec<AllowWish> =
        (0..=200).map(|n| wish(&format!("10.0.{}.{}", n / 100, n % 100 + 1))).collect();
    assert_eq!(codes(&chosen_allowlist(&many, now()).unwrap_err()), ["too-many-entries"]);
}

#[test]
fn where_a_list_is_held_to_is_told_for_each_kind_of_server() {
    let held =
        |scene: Scene| ways_in(&scene.spec, &scene.node_fence).iter().map(|w| w.enforced).collect::<Vec<_>>();
    let pg = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0);
    assert_eq!(held(pg), [true, true, false]);
    assert_eq!(held(three()), [true, false, false]);
    let held_there = |scene: Scene| held(scene.set(|s| s.node_fence = NodeFence::Held));
    assert_eq!(held_there(three()), [true, true, false]);
    let sharded = six_in_three().spec(|s| s.gateway = three().spec.gateway);
    warned(&sharded.preview(&limit(&["10.0.0.0/8"])), &["shards-stay-open"]);
    warned(&sharded.set(|s| s.node_fence = NodeFence::Held).preview(&limit(&["10.0.0.0/8"])), &[]);
}

#[test]
fn why_the_network_cannot_hold_a_nodes_port_is_told_and_where_only_this_computer_comes_too() {
    let text = |fence: NodeFence| ways_in(&three().spec, &fence)[1].text.clone();
    let missing = text(NodeFence::Missing("the program `nft` is not installed".to_owned()));
    assert!(missing.starts_with("Stays open to whoever reaches that address"), "{missing}");
    assert!(missing.contains("the program `nft` is not installed, and the accounts of Redis"), "{missing}");
    assert!(text(NodeFence::OnlyHere).starts_with("Reached from this computer only"));
    assert!(text(NodeFence::Held).contains("nftables"));
}

#[test]
fn the_same_list_again_changes_nothing() {
    let same = three().spec(|s| s.allowlist = listed(&["10.0.0.0/8"]));
    let preview = from(same, "192.0.2.7").preview(&limit(&["10.0.0.0/8"]));
    assert_eq!(preview.effects, ["The list of demo is so already; nothing changes."]);
    warned(&preview, &[]);
}
