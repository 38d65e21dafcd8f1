//! The provider of containers on a real engine: a Podman of the test's own, in a network of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod files;
mod leftovers;
mod limits;
mod machines;
mod published;
mod support;
mod units;
