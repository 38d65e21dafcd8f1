//! The provider of this computer with real processes on real addresses. Every test has a home of its own, and with
//! that its own part of 127.0.0.0/8; what it starts is gone when it ends, also when it fails.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests: an unwrap that fails is a failure told.

mod addresses;
mod crashes;
mod files;
mod full_disk;
mod logs;
mod machines;
mod outliving;
mod software;
mod stopping;
mod support;
