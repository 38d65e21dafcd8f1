//! `clusterdeck operation …`, `clusterdeck alert …`, `clusterdeck audit …`, and what lists and changes take.

use clap::Subcommand;

/// How a change is confirmed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Confirming {
    /// Accept the warnings
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// The typed confirmation, where a change asks for one; accepts the warnings too
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Return at once with the operation's id
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Which page of a list.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Paged {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Go on where the page before ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationVerb {
    /// Operations, newest first
    List {
        /// Only of this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only those that have not ended
        #[arg(long)]
        unfinished: bool,
        #[command(flatten)]
        paged: Paged,
    },
    /// One operation with its steps
    Show {
        /// Its id
        id: String,
    },
    /// Follow an operation until it has ended
    Watch {
        /// Its id
        id: String,
    },
    /// Take an operation up again that failed where there is no way back
    Retry {
        /// Its id
        id: String,
        /// Do not wait until it has ended
        #[arg(long)]
        detach: bool,
    },
    /// Keep what an operation changed that waits to be kept
    Keep {
        /// Its id
        id: String,
        /// Do not wait until it has ended
        #[arg(long)]
        detach: bool,
    },
    /// Ask an operation to stop
    Cancel {
        /// Its id
        id: String,
        /// Do not wait until it has ended
        #[arg(long)]
        detach: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertVerb {
    /// Alerts: open ones first, then those that are over
    List {
        /// Only of this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only those that last
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        paged: Paged,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Who did what, newest first
    List {
        /// Only of this cluster
        #[arg(long)]
        cluster: Option<String>,
        #[command(flatten)]
        paged: Paged,
    },
}

impl OperationVerb {
    /// Whether it returns before what it began has ended.
    pub(crate) const fn detaches(&self) -> bool {
        matches!(self, Self::Retry { detach: true, .. })
    }
}
