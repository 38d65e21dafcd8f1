//! The provider of containers on a real engine: a Podman of the test's own, in a network of its own.

mod files;
mod leftovers;
mod limits;
mod machines;
mod support;
mod units;
