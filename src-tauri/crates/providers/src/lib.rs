//! Where machines come from: one folder per provider, the same file names in each. No service is named in here; a
//! provider hands out machines and keeps server processes on them, whatever they serve.

pub mod local;

pub use local::Local;
