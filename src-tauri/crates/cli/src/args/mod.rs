//! What can be typed: one file per noun. Shapes only; what they do stands in `verbs`.

mod backup;
mod cluster;
mod migrate;
mod node;
mod program;
mod work;

pub(crate) use backup::{BackupVerb, Format, Restore, VaultVerb};
pub(crate) use cluster::{Allow, ClusterVerb, Create, Expose, OptionSwitches, Switch};
pub(crate) use migrate::Migrate;
pub(crate) use node::NodeVerb;
pub(crate) use program::{ConnectionVerb, PlanVerb, ProviderVerb, Serve, ServiceVerb};
pub(crate) use work::{AlertVerb, AuditVerb, Confirming, OperationVerb, Paged};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Creates and runs clusters of open-source databases and services.
#[derive(Debug, Parser)]
#[command(name = "clusterdeck", version, max_term_width = 110, propagate_version = true, after_help = EXITS)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

const EXITS: &str = "Exit status: 0 done, 1 the operation failed, 2 wrong usage or invalid input, 3 refused by a blocker, \
                     4 not found, 5 unreachable or offline, 6 not confirmed, 130 interrupted.";

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Print exactly the API's answer
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder that holds everything [default: the system's place for a program's data]
    #[arg(long, global = true, value_name = "DIR", env = "CLUSTERDECK_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// Which control plane to talk to [default: the one chosen with `connection use`]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) connection: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// What can be created
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Where machines come from
    #[command(subcommand)]
    Provider(ProviderVerb),
    /// Sizes of a node
    #[command(subcommand)]
    Plan(PlanVerb),
    /// Clusters
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Nodes of clusters
    #[command(subcommand)]
    Node(NodeVerb),
    /// Copies of clusters' data, and clusters made from them
    #[command(subcommand)]
    Backup(BackupVerb),
    /// Where backups are kept, and the key they are sealed for
    #[command(subcommand)]
    Vault(VaultVerb),
    /// Bring the data of a server elsewhere into a cluster
    Migrate(Box<Migrate>),
    /// Changes under way and done
    #[command(subcommand)]
    Operation(OperationVerb),
    /// What is wrong, and was
    #[command(subcommand)]
    Alert(AlertVerb),
    /// Who did what
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Control planes this computer talks to
    #[command(subcommand)]
    Connection(ConnectionVerb),
    /// Serve the API and the web interface
    Serve(Serve),
    /// What this computer can run, and what is missing
    Doctor,
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Hosts the engine of a home until nothing is under way; started by `--detach`
    #[command(hide = true, name = "host-until-idle")]
    HostUntilIdle,
}

impl Noun {
    /// Whether the command returns before what it began has ended.
    pub(crate) fn detaches(&self) -> bool {
        let confirming = match self {
            Self::Cluster(verb) => verb.confirming(),
            Self::Node(verb) => verb.confirming(),
            Self::Backup(verb) => verb.confirming(),
            Self::Migrate(wish) => Some(&wish.confirming),
            Self::Operation(verb) => return verb.detaches(),
            _ => None,
        };
        confirming.is_some_and(|c| c.detach)
    }
}
