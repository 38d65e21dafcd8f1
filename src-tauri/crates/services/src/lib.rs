//! The services room: one folder per family, the same file names in each. A family knows how its servers are
//! configured, formed into a cluster, watched and changed; it never learns who provides the machines.

pub mod haproxy;
pub mod redis;

pub use haproxy::Haproxy;
pub use redis::Redis;
