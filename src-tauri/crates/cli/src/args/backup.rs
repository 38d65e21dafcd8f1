//! `clusterdeck backup …` and `clusterdeck vault …`

use super::Confirming;
use clap::Subcommand;
use std::path::PathBuf;

/// What becomes of a backup. What is left out is as it was in the cluster that it is of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Restore {
    /// The backup's id
    pub(crate) id: String,
    /// The new cluster's name [default: the old one, with -restored behind it where that is still there]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Into the cluster that it is of, in the place of what that holds
    #[arg(long, conflicts_with_all = ["name", "topology", "nodes", "provider", "region", "plan"])]
    pub(crate) in_place: bool,
    /// Take no backup of what the cluster holds now
    #[arg(long, requires = "in_place")]
    pub(crate) discard_present: bool,
    /// Look at the data before the endpoints open, for so many minutes: `operation keep` keeps it, else what the cluster held
    /// comes back
    #[arg(long, requires = "in_place", value_name = "MINUTES", num_args = 0..=1, default_missing_value = "60")]
    pub(crate) inspect: Option<u32>,
    /// As the cluster was at this moment, on the newest backup before it: 2026-11-29T12:00:00Z, or with an offset (+01:00)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Copy a cluster's data to a vault, and try the copy
    Now {
        /// Name or id of the cluster
        cluster: String,
        /// Which vault; `snapshots` is beside the data [default: local]
        #[arg(long, value_name = "VAULT", visible_alias = "vault")]
        to: Option<String>,
        /// Do not restore it on a throw-away machine afterwards
        #[arg(long)]
        no_verify: bool,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// All backups, or those of one cluster, also of one that is gone
    List {
        /// Name or id of the cluster
        cluster: Option<String>,
    },
    /// Which moments a cluster can be brought back to
    Range {
        /// Name or id of the cluster, or of a backup of one that is gone
        cluster: String,
    },
    /// One backup
    Show {
        /// The backup's id
        id: String,
    },
    /// Make a new cluster from a backup
    Restore(Restore),
    /// Let backups be made by themselves, or no longer; shows what is set when nothing is given
    Schedule {
        /// Name or id of the cluster
        cluster: String,
        /// So long after the one before: 30m, 6h, 1d
        #[arg(long, value_name = "TIME", conflicts_with_all = ["cron", "off"])]
        every: Option<String>,
        /// The five fields of cron: "0 3 * * *"
        #[arg(long, value_name = "FIELDS", conflicts_with = "off")]
        cron: Option<String>,
        /// For cron and for days [default: UTC]
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// Keep the last so many
        #[arg(long, value_name = "N")]
        keep: Option<u32>,
        /// Keep the newest of each of so many days
        #[arg(long, value_name = "N")]
        keep_daily: Option<u32>,
        /// Keep the newest of each of so many weeks
        #[arg(long, value_name = "N")]
        keep_weekly: Option<u32>,
        /// Keep the newest of each of so many months
        #[arg(long, value_name = "N")]
        keep_monthly: Option<u32>,
        /// Which vault; `snapshots` is beside the data [default: local]
        #[arg(long, value_name = "VAULT", visible_alias = "vault")]
        to: Option<String>,
        /// Do not restore them on a throw-away machine
        #[arg(long)]
        no_verify: bool,
        /// Archive the log beside them, so that any second can be brought back
        #[arg(long)]
        point_in_time: bool,
        /// No longer
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Read a backup back and restore it on a throw-away machine
    Verify {
        /// The backup's id
        id: String,
        #[command(flatten)]
        confirming: Confirming,
    },
    /// Write a backup to a file, and how to restore it without Clusterdeck
    Download {
        /// The backup's id
        id: String,
        /// The new file
        file: PathBuf,
        /// A tar with the plain data; or statements for the service's own client (SQL), packed with zstd
        #[arg(long, value_enum, default_value = "copy")]
        format: Format,
    },
    /// Take a backup away
    Delete {
        /// The backup's id
        id: String,
        #[command(flatten)]
        confirming: Confirming,
    },
}

impl BackupVerb {
    /// How it is confirmed, when it is a change.
    pub(crate) fn confirming(&self) -> Option<&Confirming> {
        match self {
            Self::List { .. } | Self::Range { .. } | Self::Show { .. } | Self::Download { .. } => None,
            Self::Restore(restore) => Some(&restore.confirming),
            Self::Schedule { confirming, every, cron, off, .. } => {
                (every.is_some() || cron.is_some() || *off).then_some(confirming)
            }
            Self::Now { confirming, .. }
            | Self::Verify { confirming, .. }
            | Self::Delete { confirming, .. } => Some(confirming),
        }
    }
}

/// As what a backup is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Copy,
    Logical,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultVerb {
    /// The vaults there are, and whether each can be used
    List,
    /// Add a place for backups, once it has answered
    Add {
        /// Its name: a-z, 0-9 and -
        name: String,
        /// A folder of this computer: another disk, a share
        #[arg(long, value_name = "DIR", group = "place")]
        folder: Option<String>,
        /// A bucket of an S3-compatible store
        #[arg(long, value_name = "BUCKET", group = "place", requires_all = ["endpoint", "access_key"])]
        s3: Option<String>,
        /// A Borg repository: a path, or ssh://user@host/path; made when it is not there
        #[arg(long, value_name = "REPOSITORY", group = "place")]
        borg: Option<String>,
        /// Where the store answers: https://s3.example.com
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        /// The store's region
        #[arg(long, default_value = "us-east-1")]
        region: String,
        /// What all names in the bucket begin with
        #[arg(long, default_value = "")]
        prefix: String,
        /// The public half of the access key
        #[arg(long, value_name = "KEY")]
        access_key: Option<String>,
        /// A file with the secret half of the access key, or the passphrase of the repository; `-` reads it from the input
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Ask a vault now whether it can be used
    Check {
        /// Its name
        name: String,
    },
    /// Give a vault another secret, which it must answer to; else the one before stays
    Secret {
        /// Its name
        name: String,
        /// A file with the secret half of the access key, or the passphrase of the repository; `-` reads it from the input
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// The public half of the access key, where it is another one too
        #[arg(long, value_name = "KEY")]
        access_key: Option<String>,
    },
    /// Forget a vault that nothing uses; what lies in it stays
    Remove {
        /// Its name
        name: String,
    },
    /// The key that backups are sealed for: keep it elsewhere, since nothing opens them without it
    Key {
        /// Write the secret half to this file (mode 0600); `-` prints it
        #[arg(long, value_name = "FILE", conflicts_with = "import")]
        export: Option<PathBuf>,
        /// Bring a key back from this file, so that what was sealed for it can be read
        #[arg(long, value_name = "FILE")]
        import: Option<PathBuf>,
    },
}
