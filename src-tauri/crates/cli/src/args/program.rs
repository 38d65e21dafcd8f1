//! `clusterdeck service|provider|plan|connection|serve …`

use clap::Subcommand;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// All services and whether they can run here
    List,
    /// One service
    Show {
        /// redis, valkey, …
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderVerb {
    /// All providers
    List,
    /// Whether a provider can be used, and what is missing
    Check {
        /// local
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanVerb {
    /// The sizes a provider has
    List {
        /// local
        #[arg(long)]
        provider: String,
        /// In which region [default: the first]
        #[arg(long)]
        region: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionVerb {
    /// All connections
    List,
    /// Add a server; its token is read from standard input
    Add {
        /// A short name
        name: String,
        /// https://host:port
        url: String,
        /// Fingerprint of the certificate, as `clusterdeck serve` prints it, when it made the certificate itself
        #[arg(long, value_name = "SHA256")]
        fingerprint: Option<String>,
    },
    /// Forget a server and its token
    Remove {
        /// Its name
        name: String,
    },
    /// Choose where commands go; `this-computer` is the engine here
    Use {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Address and port; anything but loopback is served with TLS only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7443")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain (PEM); made here when left out and needed
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Another name under which this address is known; may repeat
    #[arg(long, value_name = "HOST")]
    pub(crate) name: Vec<String>,
    /// Print the token that scripts and other computers show
    #[arg(long)]
    pub(crate) show_token: bool,
    /// Print the token and end, without serving
    #[arg(long)]
    pub(crate) token_only: bool,
}
