//! What whole-product tests share: where things lie, a desk of one's own (screen, bus, keyring, driver), a window to
//! click in.
//!
//! Nothing here fakes anything: the programs are the built ones, the servers real.

pub mod desk;
pub mod places;
pub mod window;

pub use desk::Desk;
pub use window::Window;
