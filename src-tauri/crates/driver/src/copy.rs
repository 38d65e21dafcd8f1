//! Moving the data of a cluster out of its servers and into new ones.
//!
//! A copy is a stream that nobody holds as a whole: the server gives it, somebody packs it, a vault takes it, each no faster
//! than the next. What is in it is the business of the driver that made it and of nobody else.

use clusterdeck_domain::NodeId;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a copy goes.
pub type Outgoing = dyn AsyncWrite + Send + Unpin;
/// Where a copy comes from.
pub type Incoming = dyn AsyncRead + Send + Unpin;

/// A piece of a cluster's data that is copied as a whole, and the node that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFrom {
    /// The shard it is; `None`: the cluster has one piece.
    pub shard: Option<u16>,
    /// Which node gives it: one that follows and is well, where there is one.
    pub node: NodeId,
}

/// What a copy is once it has left us: for somebody who has it and nothing of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyFormat {
    /// How a file of it is called: `tar`.
    pub ending: &'static str,
    /// How a server is started on it, step by step, in plain text. `FILE` stands for the file.
    pub restore: &'static str,
}

/// A program that runs on a machine while somebody reads what it writes or feeds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments. Never a secret: anybody can read them.
    pub args: Vec<String>,
}

impl Filter {
    /// A program with its arguments.
    pub fn new<T: Into<String>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = T>) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }
    /// A script of the shell; `args` are its `$1`, `$2`…
    pub fn script<T: Into<String>>(text: &str, args: impl IntoIterator<Item = T>) -> Self {
        let head = ["-c", text, "sh"].map(str::to_owned);
        let args = head.into_iter().chain(args.into_iter().map(Into::into)).collect();
        Self { program: PathBuf::from("/bin/sh"), args }
    }
}
