//! What tests need and a release never contains: a small world of fake machines and servers that can fail on request,
//! memory in place of the databases, and an engine over both that can be killed at any journal entry.
//!
//! The fakes are for the engine's own rules (order, undo, resume). What servers do is tested on real servers.

mod clock;
pub mod containers;
mod driver;
mod gateway;
mod lab;
mod machine;
mod memory;
pub mod neighbour;
pub mod network;
pub mod object_store;
pub mod packages;
mod provider;
mod ssh;
mod vault;
mod world;

pub use clock::ClockAhead;
pub use lab::{Lab, WORN};
pub use memory::Kill;
pub use object_store::ObjectStore;
pub use ssh::SshServer;
pub use world::{Fault, HeldLook, World};
