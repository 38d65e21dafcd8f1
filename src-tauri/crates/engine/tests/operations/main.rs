//! Every operation in three ways, over the fake world: fail each call, run each step twice, kill and resume after each
//! journal entry; then nothing is left behind. Plus the rules of the door.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod alerting;
mod allowing;
mod backing_up;
mod clocks;
mod door;
mod migrating;
mod noticing;
mod resizing;
mod rotating;
mod stories;
mod three_ways;
mod upgrading;
