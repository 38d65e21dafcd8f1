//! The Redis driver and the HAProxy gateway on real servers. Needs `redis-server`, `valkey-server` and `haproxy`.
#![allow(clippy::unwrap_used, missing_docs)]

mod forming;
mod ground;
