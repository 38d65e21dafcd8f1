//! Paths on a machine as their callers write them: relative to its folder, and not out of it.

use clusterdeck_driver::{DriverError, Result};
use std::path::{Path, PathBuf};

/// A path inside a machine's folder, as its callers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachinePath(String);

impl MachinePath {
    /// Reads a path; an empty one or `.` is the folder itself.
    ///
    /// # Errors
    /// `Rejected` for one that is absolute, has `..`, or names what only this provider may touch.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(DriverError::rejected(
                format!("the path `{text}` {why}"),
                "paths on a machine are relative to its folder, written with `/`, and stay inside it",
            ))
        };
        if text.starts_with('/') || text.contains(['\\', '\0']) {
            return refuse("is not relative");
        }
        if text.split('/').any(|part| part == "..") {
            return refuse("leaves its machine");
        }
        let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        if matches!(parts.first(), Some(&("units" | "machine.json"))) {
            return refuse("belongs to the machine itself");
        }
        Ok(Self(parts.join("/")))
    }
    /// As [`MachinePath::parse`], and not the folder itself: for what changes a file.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_below(text: &str) -> Result<Self> {
        let path = Self::parse(text)?;
        if path.0.is_empty() {
            return Err(DriverError::broken(
                "the machine's own folder cannot be written, renamed or removed",
            ));
        }
        Ok(path)
    }
    /// The path as text, with `/`; empty for the folder itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The absolute path of `text`, with everything dropped that would lead out.
pub(crate) fn lexical(root: &Path, text: &str) -> PathBuf {
    let mut path = root.to_path_buf();
    path.extend(text.split('/').filter(|p| !p.is_empty() && !matches!(*p, "." | "..")));
    path
}
