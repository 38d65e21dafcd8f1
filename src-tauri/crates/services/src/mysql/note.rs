//! Who leads, as noted on every machine of the cluster. MariaDB's replication has no vote of its own: the one who decides is
//! a person, and a restarted server must know what that person decided last. Each decision has a number; the highest counts.

use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result};
use futures::future::join_all;

/// In the folder of each server.
const FILE: &str = "mysql/leader";

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Grows with each decision.
    pub(crate) number: u64,
    /// Who leads since.
    pub(crate) leader: NodeId,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let (number, leader) = text.trim().split_once(' ')?;
        Some(Self { number: number.parse().ok()?, leader: NodeId::parse(leader).ok()? })
    }
    fn text(&self) -> String {
        format!("{} {}\n", self.number, self.leader)
    }
}

/// The note of one machine.
async fn of(machine: &dyn Machine) -> Result<Option<Note>> {
    match machine.read(FILE).await {
        Ok(bytes) => Ok(Note::parse(&String::from_utf8_lossy(&bytes))),
        Err(DriverError::Gone { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The newest note of those that can be read.
pub(crate) async fn newest(cx: &ClusterContext) -> Option<Note> {
    let read = join_all(cx.spec.data_nodes().map(|node| async move {
        let machine = cx.machine(node).ok()?;
        of(machine.as_ref()).await.ok().flatten()
    }));
    read.await.into_iter().flatten().max_by_key(|note| note.number)
}

/// The newest note, when every machine could be asked: one that is out of reach may hold a newer.
///
/// # Errors
/// Whatever keeps a machine from being read; `Transient` when nobody has a note.
pub(crate) async fn agreed(cx: &ClusterContext) -> Result<Note> {
    let read =
        join_all(cx.spec.data_nodes().map(|node| async move { of(cx.machine(node)?.as_ref()).await })).await;
    let notes = read.into_iter().collect::<Result<Vec<_>>>()?;
    let newest = notes.into_iter().flatten().max_by_key(|note| note.number);
    newest.ok_or_else(|| DriverError::transient("no machine has a note of who leads"))
}

/// Writes a note on the machine of a node, unless it has that one or a newer.
pub(crate) async fn write(cx: &ClusterContext, node: &NodeSpec, note: &Note) -> Result<()> {
    if of(cx.machine(node)?.as_ref()).await?.is_some_and(|known| known.number >= note.number) {
        return Ok(());
    }
    decide(cx, node, note).await
}

/// Writes a note that is newer than every other, as [`agreed`] has just told, without asking again: nobody can write to the
/// cluster until it is there, and each look at a machine in a container is a call of its engine.
pub(crate) async fn decide(cx: &ClusterContext, node: &NodeSpec, note: &Note) -> Result<()> {
    cx.machine(node)?.write(FILE, note.text().as_bytes(), 0o600).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = Note { number: 7, leader: NodeId::new(3) };
        assert_eq!(Note::parse(&note.text()), Some(note));
        assert_eq!(Note::parse("half"), None);
    }
}
