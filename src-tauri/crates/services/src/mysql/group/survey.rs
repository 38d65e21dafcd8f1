//! Asking all members at once: who is in a group with whom, who takes writes, and who has what.

use super::super::sql::{As, GLANCE, Session, number, text};
use super::gtid::GtidSet;
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use futures::future::join_all;

/// What a server says of a member of its group, itself included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) uuid: String,
    pub(crate) state: String,
    primary: bool,
}

/// What a server says of itself and of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) uuid: String,
    pub(crate) writable: bool,
    pub(crate) executed: GtidSet,
    /// Of those, what its binary logs do not hold any more.
    pub(crate) purged: GtidSet,
    /// What the group sent it, applied or not.
    received: GtidSet,
    pub(crate) members: Vec<Member>,
    /// Transactions that wait to be applied.
    pub(crate) waiting: u64,
    /// Which numbers it hands out where all take writes.
    pub(crate) offset: u64,
}

impl Place {
    fn own(&self) -> Option<&Member> {
        self.members.iter().find(|m| m.uuid == self.uuid)
    }
    /// `ONLINE`, `RECOVERING`, `ERROR`, `OFFLINE`.
    pub(crate) fn state(&self) -> &str {
        self.own().map_or("OFFLINE", |m| m.state.as_str())
    }
    /// Members it hears, and all there are in its group.
    pub(crate) fn heard(&self) -> (usize, usize) {
        let heard = self.members.iter().filter(|m| matches!(m.state.as_str(), "ONLINE" | "RECOVERING"));
        (heard.count(), self.members.len())
    }
    /// It is in step with a group that can agree on something.
    pub(crate) fn serves(&self) -> bool {
        let (heard, all) = self.heard();
        self.state() == "ONLINE" && heard * 2 > all
    }
    /// A server with this id is one of its group, in whatever state.
    pub(crate) fn counts(&self, uuid: &str) -> bool {
        self.members.iter().any(|m| m.uuid == uuid)
    }
    /// It is in no group, nor on its way into one.
    pub(crate) fn outside(&self) -> bool {
        matches!(self.state(), "OFFLINE" | "ERROR")
    }
    /// The group has it lead, whether or not it takes writes.
    pub(crate) fn leads(&self) -> bool {
        self.serves() && self.own().is_some_and(|m| m.primary)
    }
    /// All it has, applied or not.
    pub(crate) fn has(&self) -> GtidSet {
        self.executed.clone().and(&self.received)
    }
}

/// What one node answered.
pub(crate) struct Answer<'a> {
    pub(crate) node: &'a NodeSpec,
    pub(crate) place: Result<Place>,
}

impl Answer<'_> {
    pub(crate) fn is(&self, what: impl Fn(&Place) -> bool) -> bool {
        self.place.as_ref().is_ok_and(what)
    }
}

const QUESTION: &str = "SELECT @@server_uuid, @@global.super_read_only + 0, @@global.gtid_executed, @@global.gtid_purged, \
     (SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status \
      WHERE CHANNEL_NAME = 'group_replication_applier'), \
     (SELECT COUNT_TRANSACTIONS_IN_QUEUE + COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE \
      FROM performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@server_uuid), @@global.auto_increment_offset";
const MEMBERS: &str =
    "SELECT MEMBER_ID, MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members";

/// Asks a server for its place.
pub(crate) async fn place(session: &mut Session) -> Result<Place> {
    let row = session.row(QUESTION).await?;
    let whom = session.whom().to_owned();
    let set = |column: usize| {
        GtidSet::parse(&text(&row, column).unwrap_or_default()).map_err(|part| {
            DriverError::broken(format!("{whom} has a transaction that is not understood: {part}"))
        })
    };
    let (executed, purged, received) = (set(2)?, set(3)?, set(4)?);
    let members = session
        .rows(MEMBERS)
        .await?
        .iter()
        .filter_map(|row| {
            Some(Member { uuid: text(row, 0)?, state: text(row, 1)?, primary: text(row, 2)? == "PRIMARY" })
        })
        .collect();
    Ok(Place {
        uuid: text(&row, 0).unwrap_or_default(),
        writable: number(&row, 1) == Some(0),
        executed,
        purged,
        received,
        members,
        waiting: number(&row, 5).unwrap_or(0),
        offset: number(&row, 6).unwrap_or(0),
    })
}

/// Asks one node.
pub(crate) async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Place> {
    let asked = async { place(&mut Session::open(cx, node, As::Watch, GLANCE).await?).await };
    match tokio::time::timeout(GLANCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::transient(format!("{} does not answer", node.name))),
    }
}

/// Asks all data nodes in service at once, in the order of the spec.
pub(crate) async fn all(cx: &ClusterContext) -> Vec<Answer<'_>> {
    let asked = cx.spec.data_nodes().filter(|n| !n.drained);
    let mut answers =
        join_all(asked.map(|node| async move { Answer { node, place: ask(cx, node).await } })).await;
    put_out(answers.iter_mut().filter_map(|a| a.place.as_mut().ok()));
    answers
}

/// A member that hung and wakes believes for a moment that it is in the group that has put it out, and that it leads. What
/// it says counts only when another one that serves counts it too. (It cannot acknowledge a write: the others must agree.)
pub(crate) fn put_out<'a>(places: impl Iterator<Item = &'a mut Place>) {
    let mut places: Vec<_> = places.collect();
    let serving: Vec<_> = places.iter().filter(|p| p.serves()).map(|p| (**p).clone()).collect();
    for place in places.iter_mut().filter(|p| p.serves()) {
        let mut others = serving.iter().filter(|o| o.uuid != place.uuid).peekable();
        let alone = others.peek().is_some() && !others.any(|o| o.counts(&place.uuid));
        if alone {
            place.members.retain(|m| m.uuid == place.uuid);
            place.members.iter_mut().for_each(|m| m.state = "UNREACHABLE".to_owned());
        }
    }
}

/// A member that serves, the one that leads before others.
///
/// # Errors
/// `Transient` when there is none.
pub(crate) fn serving<'a>(answers: &[Answer<'a>]) -> Result<&'a NodeSpec> {
    let leads = answers.iter().find(|a| a.is(Place::leads));
    let found = leads.or_else(|| answers.iter().find(|a| a.is(Place::serves)));
    found.map(|a| a.node).ok_or_else(|| DriverError::transient("no member of the group serves at the moment"))
}

/// The one that leads.
///
/// # Errors
/// `Transient` when nobody does.
pub(crate) fn leader<'a>(answers: &[Answer<'a>]) -> Result<&'a NodeSpec> {
    let found = answers.iter().find(|a| a.is(Place::leads));
    found
        .map(|a| a.node)
        .ok_or_else(|| DriverError::transient("the group has nobody who leads at the moment"))
}

/// The node that takes the writes; where all members do, the first of them.
pub(crate) fn writer<'a>(cx: &ClusterContext, answers: &[Answer<'a>]) -> Option<&'a NodeSpec> {
    let takes = |place: &Place| match cx.spec.topology {
        Topology::Single => place.writable && place.outside(),
        _ => place.writable && place.leads(),
    };
    answers.iter().find(|a| a.is(takes)).map(|a| a.node)
}

/// All that the members that serve have, received or applied.
pub(crate) fn known(answers: &[Answer<'_>]) -> GtidSet {
    let serving = answers.iter().filter_map(|a| a.place.as_ref().ok()).filter(|p| p.serves());
    serving.fold(GtidSet::default(), |all, place| all.and(&place.has()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uuid: &str, sees: &[&str]) -> Place {
        let set = GtidSet::default();
        let member =
            |m: &&str| Member { uuid: (*m).to_owned(), state: "ONLINE".to_owned(), primary: *m == uuid };
        Place {
            uuid: uuid.to_owned(),
            writable: true,
            executed: set.clone(),
            purged: set.clone(),
            received: set,
            members: sees.iter().map(member).collect(),
            waiting: 0,
            offset: 1,
        }
    }

    #[test]
    fn a_member_that_wakes_in_a_group_that_has_put_it_out_does_not_lead() {
        let mut all = [place("old", &["old", "b", "c"]), place("b", &["b", "c"]), place("c", &["b", "c"])];
        put_out(all.iter_mut());
        assert_eq!(all.each_ref().map(Place::leads), [false, true, true]);
        assert!(!all[0].outside(), "it finds out by itself");
        let mut last = [place("a", &["a"])];
        put_out(last.iter_mut());
        assert!(last[0].leads(), "one that is a group alone has nobody to count it");
    }
}
