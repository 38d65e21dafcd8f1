//! The log of a cluster's servers, archived while they run and replayed on a copy.
//!
//! A server puts each piece of its log aside on its machine when it is complete; whoever archives takes it from there into a
//! vault. What is in a piece is the business of the driver.

use clusterdeck_domain::{LogMark, LogPlace, NodeId};
use jiff::Timestamp;

/// A piece that waits on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWaiting {
    /// What the server calls it: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// On which node.
    pub node: NodeId,
    /// Bytes that it takes there.
    pub used_bytes: u64,
}

/// What there is to archive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogReady {
    /// Up to where the log goes now; `None` while nobody could be asked.
    pub mark: Option<LogMark>,
    /// Nothing was committed between this and a mark with the same value, whatever their places say.
    pub quiet: Option<u64>,
    /// The pieces that wait, those of all nodes.
    pub waiting: Vec<LogWaiting>,
    /// Pieces that were given up because too many waited.
    pub given_up: Vec<String>,
    /// Bytes that wait on the node where most do.
    pub waiting_bytes: u64,
    /// Bytes that may wait there.
    pub most_bytes: u64,
    /// What keeps pieces from being put aside, in words.
    pub problem: Option<String>,
}

/// A piece that is in a vault and need not wait any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTaken {
    /// What the server calls it.
    pub name: String,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
}

/// What becomes of the pieces that were laid beside a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTarget {
    /// What was committed by then stays, and nothing after it.
    pub at: Timestamp,
    /// The history that it is in.
    pub line: u32,
    /// Where the copy ends.
    pub from: LogPlace,
    /// Nothing in the pieces is after it: all of them are replayed.
    pub to_end: bool,
    /// Their names, in their order.
    pub pieces: Vec<String>,
}
