//! `clusterdeck migrate …`

use super::Confirming;
use std::path::PathBuf;

/// What says how data comes in; clap lets `requires` go where what is required conflicts, so each is named.
const COMING_IN: [&str; 6] = ["from", "password_file", "source_ca", "check", "replace", "follow"];

/// Bring the data of a server elsewhere into a cluster.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "The password may stand in the address. So that it does not show among the arguments of this program, leave it out \
                        there and give it as CLUSTERDECK_SOURCE_PASSWORD, or with --password-file."
)]
pub(crate) struct Migrate {
    /// Name or id of the cluster
    pub(crate) cluster: String,
    /// Where the data is: redis://user@host:6379, postgres://user@host/database, mysql://user@host/database; `?tls=encrypt` or
    /// `?tls=verify` behind it
    #[arg(long, value_name = "URL", required_unless_present_any = ["cut_over", "logs"])]
    pub(crate) from: Option<String>,
    /// A file with the password of the source; `-` reads it from the input
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) password_file: Option<PathBuf>,
    /// A file (PEM) with the certificates of the authority that signs the source's, where this computer does not trust it, as with
    /// managed services. The source is then always reached by TLS and verified, and nobody else is trusted
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) source_ca: Option<PathBuf>,
    /// Only look whether it can be done; each check with its result, and with --follow whether it can be followed or takes a dump
    #[arg(long, requires = "from")]
    pub(crate) check: bool,
    /// Replace what the cluster has under the same names
    #[arg(long, requires = "from")]
    pub(crate) replace: bool,
    /// Follow the source, which clients may go on writing to, until `clusterdeck migrate CLUSTER --cut-over`. Without it a dump of one
    /// moment comes in (of Redis: what is there when everything was copied), and it ends then
    #[arg(long, requires = "from")]
    pub(crate) follow: bool,
    /// End a migration that follows its source
    #[arg(long, conflicts_with_all = COMING_IN)]
    pub(crate) cut_over: bool,
    /// Show what the last migration into the cluster wrote down, and how both sides compare
    #[arg(long, conflicts_with = "cut_over", conflicts_with_all = COMING_IN)]
    pub(crate) logs: bool,
    #[command(flatten)]
    pub(crate) confirming: Confirming,
}
