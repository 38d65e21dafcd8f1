//! What a member of a sharded cluster knows about all members, read from `CLUSTER NODES`. Pure.

use crate::redis::{session::Session, survey};
use clusterdeck_domain::{Health, NodeObserved};
use clusterdeck_driver::{ClusterContext, Result};
use std::net::IpAddr;

/// Hash slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

/// A member as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) at: Option<(IpAddr, u16)>,
    pub(crate) myself: bool,
    pub(crate) primary: bool,
    /// The epoch in which it was given its slots: of two who claim the same, the one with the higher is right.
    pub(crate) epoch: u64,
    /// Dead in the eyes of the majority, or of this one member.
    pub(crate) failing: bool,
    /// Met, and not a member yet.
    pub(crate) handshake: bool,
    pub(crate) follows: Option<String>,
    /// Reached over the bus.
    pub(crate) linked: bool,
    /// First and last of each range.
    pub(crate) slots: Vec<(u16, u16)>,
    /// Slots on their way: (slot, other member); known only of the one who is asked.
    pub(crate) migrating: Vec<(u16, String)>,
    pub(crate) importing: Vec<(u16, String)>,
}

impl Member {
    pub(crate) fn slot_count(&self) -> u16 {
        self.slots.iter().map(|(first, last)| last - first + 1).sum()
    }
    pub(crate) fn each_slot(&self) -> impl Iterator<Item = u16> + '_ {
        self.slots.iter().flat_map(|(first, last)| *first..=*last)
    }
}

/// Id, whether it leads, whom it follows, what it holds.
type Arranged<'a> = (&'a str, bool, Option<&'a str>, &'a [(u16, u16)]);

/// What one member knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Membership(pub(crate) Vec<Member>);

/// Asks a member.
pub(crate) async fn membership(session: &mut Session) -> Result<Membership> {
    let text: String = session.say("CLUSTER NODES").await?;
    Ok(Membership::parse(&text))
}

impl Membership {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(member).collect())
    }
    pub(crate) fn myself(&self) -> Option<&Member> {
        self.0.iter().find(|m| m.myself)
    }
    pub(crate) fn by_id(&self, id: &str) -> Option<&Member> {
        self.0.iter().find(|m| m.id == id)
    }
    pub(crate) fn at(&self, place: (IpAddr, u16)) -> Option<&Member> {
        self.0.iter().find(|m| m.at == Some(place) && !m.handshake)
    }
    /// Slots that somebody alive serves.
    pub(crate) fn served(&self) -> u16 {
        self.0.iter().filter(|m| m.primary && !m.failing).map(Member::slot_count).sum()
    }
    /// Who owns what and who follows whom, in an order that does not depend on the one who was asked.
    pub(crate) fn arrangement(&self) -> Vec<Arranged<'_>> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|m| (m.id.as_str(), m.primary, m.follows.as_deref(), m.slots.as_slice()))
            .collect();
        all.sort_unstable();
        all
    }
    /// Adds to what was seen of the node that was asked.
    pub(crate) fn describe(&self, cx: &ClusterContext, seen: &mut NodeObserved) {
        let Some(me) = self.myself() else { return };
        seen.slots = me.primary.then(|| u32::from(me.slot_count()));
        let leader = me.follows.as_deref().and_then(|id| self.by_id(id)).and_then(|m| m.at);
        if let Some(at) = leader {
            seen.follows = survey::id_at(cx, at);
        }
        let missing = SLOTS.saturating_sub(self.served());
        let strays =
            seen.follows.as_ref().and_then(|id| cx.spec.node(id)).is_some_and(|l| l.shard != seen.shard);
        if seen.health == Health::Healthy && missing > 0 {
            seen.health = Health::Degraded;
            seen.detail = Some(format!("It sees {missing} of {SLOTS} slots that nobody serves."));
        } else if seen.health == Health::Healthy && strays {
            seen.health = Health::Degraded;
            seen.detail = Some("It copies a node of another shard.".to_owned());
        }
    }
}

/// `<id> <ip:port@bus[,name]> <flags> <primary or -> <ping> <pong> <epoch> <link> <slot> …` (CLUSTER NODES).
fn member(line: &str) -> Option<Member> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [id, address, flags, follows, _, _, epoch, link, slots @ ..] = words.as_slice() else { return None };
    let mut member = Member {
        id: (*id).to_owned(),
        linked: *link == "connected",
        epoch: epoch.parse().unwrap_or(0),
        ..Member::default()
    };
    member.at = address
        .split(['@', ','])
        .next()
        .and_then(|place| place.rsplit_once(':'))
        .and_then(|(ip, port)| ip.parse().ok().zip(port.parse().ok()));
    for flag in flags.split(',') {
        match flag {
            "myself" => member.myself = true,
            "master" => member.primary = true,
            "fail" | "fail?" => member.failing = true,
            "handshake" => member.handshake = true,
            _ => {}
        }
    }
    member.follows = (*follows != "-").then(|| (*follows).to_owned());
    for word in slots {
        if let Some(open) = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
            if let Some((slot, to)) = open.split_once("->-") {
                member.migrating.push((slot.parse().ok()?, to.to_owned()));
            } else if let Some((slot, from)) = open.split_once("-<-") {
                member.importing.push((slot.parse().ok()?, from.to_owned()));
            }
        } else {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            member.slots.push((first.parse().ok()?, last.parse().ok()?));
        }
    }
    Some(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_with_its_slots_and_those_on_their_way() {
        let text = "aa 127.0.0.1:6379@16379,host myself,master - 0 0 1 connected 0-5 7 [93->-bb] [95-<-cc]\n\
                    bb 127.0.0.2:6379@16379 slave,fail? aa 0 0 1 disconnected\n";
        let seen = Membership::parse(text);
        let me = seen.myself().unwrap();
        assert_eq!((me.slot_count(), me.each_slot().last()), (7, Some(7)));
        assert_eq!(
            (&me.migrating[..], &me.importing[..]),
            (&[(93, "bb".into())][..], &[(95, "cc".into())][..])
        );
        let other = seen.by_id("bb").unwrap();
        assert!(other.failing && !other.primary && !other.linked);
        assert_eq!(other.follows.as_deref(), Some("aa"));
        assert_eq!(seen.served(), 7);
    }
}
