//! `clusterdeck node …`

use super::Confirming;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// The nodes of a cluster
    List {
        /// Name or id of the cluster
        cluster: String,
    },
    /// Add nodes
    Add {
        /// Name or id of the cluster
        cluster: String,
        /// How many
        #[arg(long, value_name = "N")]
        count: Option<u16>,
        /// Size [default: the cluster's]
        #[arg(long)]
        plan: Option<String>,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Make a replica the primary without losing a write
    Promote {
        /// Name or id
        node: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Take a node out of service, or put it back
    Drain {
        /// Name or id
        node: String,
        /// Put it back into service
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Stop a node in order and start it again
    Reboot {
        /// Name or id
        node: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Take a node away for good
    Remove {
        /// Name or id
        node: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// The log of a node's server
    Logs {
        /// Name or id
        node: String,
        /// Go on printing what comes
        #[arg(long, short)]
        follow: bool,
        /// Only lines that contain this text
        #[arg(long, value_name = "TEXT")]
        grep: Option<String>,
        /// Another unit than the server (sentinel, haproxy)
        #[arg(long)]
        unit: Option<String>,
        /// How many lines
        #[arg(long, short = 'n', default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
        lines: u32,
    },
    /// The service's own client on a node, already signed in
    Shell {
        /// Name or id
        node: String,
        /// What the client is told beside where to go: `-- -c 'SELECT 1'`
        #[arg(last = true, value_name = "CMD")]
        rest: Vec<String>,
    },
    /// Latest measurements of a node
    Metrics {
        /// Name or id
        node: String,
    },
}

impl NodeVerb {
    /// How a change is confirmed; `None` for what only reads.
    pub(crate) fn confirming(&self) -> Option<&Confirming> {
        match self {
            Self::Add { confirming, .. }
            | Self::Promote { confirming, .. }
            | Self::Drain { confirming, .. }
            | Self::Reboot { confirming, .. }
            | Self::Remove { confirming, .. } => Some(confirming),
            Self::List { .. } | Self::Logs { .. } | Self::Shell { .. } | Self::Metrics { .. } => None,
        }
    }
}
