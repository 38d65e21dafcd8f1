//! How many machines a topology needs and what each of them is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the nodes of a cluster stand to each other.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One node, no failover.
    Single,
    /// One node takes the writes, the others follow it and can take over.
    PrimaryReplica,
    /// Every node takes writes.
    MultiMaster,
    /// The data is split over shards, each a primary with its replicas.
    Sharded,
}

impl Topology {
    /// The id used in commands and shapes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::PrimaryReplica => "primary-replica",
            Self::MultiMaster => "multi-master",
            Self::Sharded => "sharded",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What one machine of a new cluster will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Number in the cluster, from 1; part of the node's name.
    pub ordinal: u16,
    /// Only votes, holds no data.
    pub witness: bool,
    /// Starts as the one that takes writes.
    pub primary: bool,
    /// The shard it belongs to, from 0, when sharded.
    pub shard: Option<u16>,
}

/// A node count that does not fit the topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Fewer or more data nodes than the topology takes.
    #[error("{topology} takes {min} to {max} nodes, not {found}")]
    NodeCount {
        /// Which topology.
        topology: Topology,
        /// Fewest data nodes.
        min: u16,
        /// Most data nodes.
        max: u16,
        /// What was asked for.
        found: u16,
    },
    /// The nodes do not divide evenly over the shards.
    #[error("{nodes} nodes do not divide evenly over {shards} shards: use a multiple of {shards}")]
    Uneven {
        /// Data nodes asked for.
        nodes: u16,
        /// Shards asked for.
        shards: u16,
    },
    /// Redis Cluster needs three primaries to have a majority.
    #[error(
        "a sharded cluster needs at least 3 shards so that a majority can agree on a failover, not {found}"
    )]
    Shards {
        /// Shards asked for.
        found: u16,
    },
}

/// Lays `nodes` data nodes out; `shards` counts only when sharded, `limits` are the service's own (fewest, most).
///
/// Two data nodes get a third machine that only votes, since two voters cannot outvote a dead one.
/// Sharded: primaries come first, then the first replica of each shard, and so on, so that neighbours differ in shard.
///
/// # Errors
/// [`LayoutError`] when the counts do not fit.
pub fn layout(
    topology: Topology,
    nodes: u16,
    shards: u16,
    limits: (u16, u16),
) -> Result<Vec<Slot>, LayoutError> {
    let (min, max) = limits;
    if nodes < min || nodes > max {
        return Err(LayoutError::NodeCount { topology, min, max, found: nodes });
    }
    let data = |ordinal: u16| Slot { ordinal, witness: false, primary: false, shard: None };
    Ok(match topology {
        Topology::Single => vec![Slot { primary: true, ..data(1) }],
        Topology::PrimaryReplica => {
            let mut slots: Vec<Slot> = (1..=nodes).map(|n| Slot { primary: n == 1, ..data(n) }).collect();
            if nodes == 2 {
                slots.push(Slot { witness: true, ..data(3) });
            }
            slots
        }
        Topology::MultiMaster => (1..=nodes).map(|n| Slot { primary: true, ..data(n) }).collect(),
        Topology::Sharded => {
            if shards < 3 {
                return Err(LayoutError::Shards { found: shards });
            }
            if !nodes.is_multiple_of(shards) {
                return Err(LayoutError::Uneven { nodes, shards });
            }
            (0..nodes).map(|i| Slot { primary: i < shards, shard: Some(i % shards), ..data(i + 1) }).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_data_nodes_get_a_witness_and_three_do_not() {
        let two = layout(Topology::PrimaryReplica, 2, 0, (2, 7)).unwrap();
        assert_eq!(
            two.iter().map(|s| s.witness).collect::<Vec<_>>(),
            [false, false, true],
            "the third only votes"
        );
        let three = layout(Topology::PrimaryReplica, 3, 0, (2, 7)).unwrap();
        assert!(three.iter().all(|s| !s.witness), "three data nodes have three votes");
        assert_eq!(three.iter().filter(|s| s.primary).count(), 1, "one primary");
    }

    #[test]
    fn six_nodes_in_three_shards_give_each_shard_a_replica() {
        let slots = layout(Topology::Sharded, 6, 3, (3, 60)).unwrap();
        assert_eq!(
            slots.iter().map(|s| (s.shard.unwrap(), s.primary)).collect::<Vec<_>>(),
            [(0, true), (1, true), (2, true), (0, false), (1, false), (2, false)]
        );
    }

    #[test]
    fn counts_that_do_not_fit_are_refused() {
        assert!(matches!(
            layout(Topology::Single, 2, 0, (1, 1)),
            Err(LayoutError::NodeCount { found: 2, .. })
        ));
        assert!(matches!(layout(Topology::Sharded, 7, 3, (3, 60)), Err(LayoutError::Uneven { .. })));
        assert!(matches!(layout(Topology::Sharded, 4, 2, (3, 60)), Err(LayoutError::Shards { found: 2 })));
    }
}
