//! What whole-product tests share: where things lie, a desk of one's own (screen, bus, keyring, driver), a window to
//! click in, a client that remembers what was acknowledged.
//!
//! Nothing here fakes anything: the programs are the built ones, the servers real.

pub mod authority;
pub mod client;
pub mod desk;
pub mod outside;
pub mod places;
pub mod proofs;
pub mod window;

pub use desk::Desk;
pub use window::Window;
