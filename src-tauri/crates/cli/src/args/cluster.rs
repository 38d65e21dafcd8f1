//! `clusterdeck cluster …`

use super::{Confirming, Paged};
use clap::{Subcommand, ValueEnum};

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(crate) const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What shall be made. Left out is chosen: the newest version found, the service's default topology and size.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Create {
    /// The new cluster's name: a-z, 0-9 and -, at most 40 characters
    pub(crate) name: String,
    /// What shall run; `clusterdeck service list` shows the choice
    #[arg(long)]
    pub(crate) service: String,
    /// Version, or a beginning of one [default: the newest found]
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// single, primary-replica, multi-master or sharded
    #[arg(long)]
    pub(crate) topology: Option<String>,
    /// Data nodes in all: six for three shards with a replica each
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<u16>,
    /// Shards, when sharded
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<u16>,
    /// Where
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// In which region
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// How large each node is; `clusterdeck plan list --provider local` shows the choice
    #[arg(long)]
    pub(crate) plan: Option<String>,
    /// Termination protection from the start
    #[arg(long)]
    pub(crate) protected: bool,
    /// Automatic failover [default: on where the topology can]
    #[arg(long, value_name = "ON|OFF")]
    pub(crate) auto_failover: Option<Switch>,
    #[command(flatten)]
    pub(crate) switches: OptionSwitches,
    #[command(flatten)]
    pub(crate) confirming: Confirming,
}

/// What is left out is as it is in the cluster that is cloned.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CloneOf {
    /// Name or id
    pub(crate) name: String,
    /// The new cluster's name [default: the other one's, with -clone behind it]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) new_name: Option<String>,
    /// single, primary-replica or multi-master
    #[arg(long)]
    pub(crate) topology: Option<String>,
    /// Data nodes in all
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<u16>,
    /// Where
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// In which region
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// How large each node is
    #[arg(long)]
    pub(crate) plan: Option<String>,
    #[command(flatten)]
    pub(crate) confirming: Confirming,
}

/// Switches of a cluster's behaviour; `clusterdeck service show ID` tells which a service has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OptionSwitches {
    /// Acknowledge a write only when a replica has it too
    #[arg(long, value_name = "ON|OFF")]
    pub(crate) synchronous: Option<Switch>,
    /// Stop writes when no replica is reachable
    #[arg(long, value_name = "ON|OFF")]
    pub(crate) stop_writes_without_replica: Option<Switch>,
}

/// From which addresses a cluster may be reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Allow {
    /// Name or id
    pub(crate) name: String,
    /// All that may come in: addresses and ranges of them (192.0.2.7, 10.0.0.0/8, 2001:db8::/32); without any the list is shown
    #[arg(value_name = "CIDR")]
    pub(crate) entries: Vec<String>,
    /// Let every address in
    #[arg(long, conflicts_with_all = ["entries", "comment", "expires", "add", "remove"])]
    pub(crate) open: bool,
    /// Add these to the list
    #[arg(long, requires = "entries")]
    pub(crate) add: bool,
    /// Take these off the list
    #[arg(long, requires = "entries", conflicts_with_all = ["add", "comment", "expires"])]
    pub(crate) remove: bool,
    /// Whose these are
    #[arg(long, value_name = "TEXT", requires = "entries")]
    pub(crate) comment: Option<String>,
    /// Until when these come in: 90m, 12h, 7d, or 2026-12-31T18:00:00Z
    #[arg(long, value_name = "TIME", requires = "entries")]
    pub(crate) expires: Option<String>,
    /// Let the list before come back unless this one is kept within so many seconds [default: only where the list leaves out
    /// the address you come from, 60]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) keep_within: Option<u64>,
    /// Keep the list that is being tried
    #[arg(long, conflicts_with_all = ["entries", "open", "revert", "keep_within"])]
    pub(crate) keep: bool,
    /// Take the list that is being tried back at once
    #[arg(long, conflicts_with_all = ["entries", "open", "keep_within"])]
    pub(crate) revert: bool,
    #[command(flatten)]
    pub(crate) confirming: Confirming,
}

/// Whether other computers reach a cluster's endpoints.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Expose {
    /// Name or id
    pub(crate) name: String,
    /// The address of this computer at which they do; without it and --off it is shown who reaches the cluster
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) on: Option<std::net::IpAddr>,
    /// The port for writes; that for reads is the one above [default: the one it had before, the service's own, or the next that
    /// is free]
    #[arg(long, value_name = "PORT", requires = "on")]
    pub(crate) port: Option<u16>,
    /// This computer alone again
    #[arg(long, conflicts_with = "on")]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) confirming: Confirming,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Make a cluster
    #[command(disable_version_flag = true)]
    Create(Box<Create>),
    /// All clusters
    List(Paged),
    /// One cluster with its nodes
    Show {
        /// Name or id
        name: String,
    },
    /// Take a cluster down and give everything back
    Delete {
        /// Name or id
        name: String,
        /// Keep no final backup
        #[arg(long)]
        discard_backups: bool,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Make a new cluster with what another one holds now, which goes on meanwhile
    Clone(CloneOf),
    /// Bring a deleted cluster back, from the last backup that was taken of it
    Recover {
        /// The name it had
        name: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Give every replica a fresh copy of its primary's data
    Resync {
        /// Name or id
        name: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Give every node another size, one after the other
    Resize {
        /// Name or id
        name: String,
        /// The new size; `clusterdeck plan list --provider local` shows the choice
        #[arg(long)]
        plan: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Let every node run a newer minor version, one after the other
    Upgrade {
        /// Name or id
        name: String,
        /// The version, or a beginning of one; the newest of the same major version when left out
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Termination protection
    Protect {
        /// Name or id
        name: String,
        /// on or off
        to: Switch,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Automatic failover
    Failover {
        /// Name or id
        name: String,
        /// on or off
        to: Switch,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Switches of a cluster's behaviour
    Options {
        /// Name or id
        name: String,
        #[command(flatten)]
        switches: OptionSwitches,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Add a shard and move its share of the data to it
    AddShard {
        /// Name or id
        name: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Move a shard's data to the others and remove its nodes
    RemoveShard {
        /// Name or id
        name: String,
        /// Which, from 0
        shard: u16,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// The way in: user name, and with --reveal password and address
    Credentials {
        /// Name or id
        name: String,
        /// Show the password; this is written to the audit trail
        #[arg(long)]
        reveal: bool,
        /// Print only the address with the password in it, for another program; implies --reveal
        #[arg(long, conflicts_with = "json")]
        url: bool,
    },
    /// New passwords everywhere
    Rotate {
        /// Name or id
        name: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Settings of the servers: shows them, or changes some
    Parameters {
        /// Name or id
        name: String,
        /// Sets one; may be given several times
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Sets one back to its default; may be given several times
        #[arg(long, value_name = "NAME")]
        reset: Vec<String>,
        /// Shows only those whose name or description contains this text
        #[arg(long, value_name = "TEXT")]
        grep: Option<String>,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// From which addresses it may be reached: shows the list, or changes it
    Allow(Box<Allow>),
    /// Lets other computers reach its endpoints: shows where they do, or changes it
    Expose(Box<Expose>),
    /// Where clients connect to
    Endpoints {
        /// Name or id
        name: String,
    },
}

impl ClusterVerb {
    /// How a change is confirmed; `None` for what only reads.
    pub(crate) fn confirming(&self) -> Option<&Confirming> {
        match self {
            Self::Create(create) => Some(&create.confirming),
            Self::Clone(wish) => Some(&wish.confirming),
            Self::Delete { confirming, .. }
            | Self::Recover { confirming, .. }
            | Self::Resync { confirming, .. }
            | Self::Resize { confirming, .. }
            | Self::Upgrade { confirming, .. }
            | Self::Protect { confirming, .. }
            | Self::Failover { confirming, .. }
            | Self::Options { confirming, .. }
            | Self::AddShard { confirming, .. }
            | Self::RemoveShard { confirming, .. }
            | Self::Rotate { confirming, .. } => Some(confirming),
            Self::Parameters { confirming, set, reset, .. } => {
                (!set.is_empty() || !reset.is_empty()).then_some(confirming)
            }
            Self::Allow(allow) => {
                let changes = allow.open || !allow.entries.is_empty() || allow.keep;
                changes.then_some(&allow.confirming)
            }
            Self::Expose(expose) => (expose.off || expose.on.is_some()).then_some(&expose.confirming),
            Self::List(_) | Self::Show { .. } | Self::Credentials { .. } | Self::Endpoints { .. } => None,
        }
    }
}
