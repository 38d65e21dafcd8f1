//! Each rule of `safety.md` by name, and what whole previews read like.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop so")]

mod allow;
mod backups;
mod builder;
mod by_hand;
mod cluster_changes;
mod create;
mod expose;
mod golden;
mod grow;
mod migrate;
mod moments;
mod node_changes;
mod promote;
mod remove;
mod resize;
mod shared;
mod state;
mod upgrade;
