//! What both kinds of machines share of running a program with its ends in our hands.

use clusterdeck_driver::{DriverError, Filter};
use std::{collections::VecDeque, io};

/// Bytes of what a program says beside its output that are kept: the last ones, which say why it ended.
const WORDS: usize = 8 << 10;
/// Bytes passed on at once.
pub(crate) const PIECE: usize = 256 << 10;

/// The last words of a program.
#[derive(Default)]
pub(crate) struct Words(VecDeque<u8>);

impl Words {
    pub(crate) fn hear(&mut self, said: &[u8]) {
        self.0.extend(said);
        let beyond = self.0.len().saturating_sub(WORDS);
        self.0.drain(..beyond);
    }
    pub(crate) fn text(self) -> String {
        let bytes: Vec<u8> = self.0.into();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// It ended as it should not.
pub(crate) fn ended(filter: &Filter, status: &str, words: &str) -> DriverError {
    let last: Vec<&str> = words.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
    let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    let name =
        filter.program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let what = format!("{name} ended with {status}: {said}");
    if words.to_lowercase().contains("no space left on device") {
        return DriverError::rejected(
            format!("the disk is full: {what}"),
            "free some disk space, then try again",
        );
    }
    DriverError::rejected(what, "the log of the node's server may say more")
}

/// Our own end of it failed: the vault, or whoever reads.
pub(crate) fn our_end(what: &str, error: &io::Error) -> DriverError {
    DriverError::transient(format!("{what}: {error}"))
}
