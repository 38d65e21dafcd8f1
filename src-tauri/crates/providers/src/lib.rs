//! Where machines come from: one folder per provider, the same file names in each. No service is named in here; a
//! provider hands out machines and keeps server processes on them, whatever they serve.

mod backoff;
pub mod container;
mod disk;
mod filter;
mod host;
pub mod local;
mod path;
mod version;

pub use container::Container;
pub use local::Local;
