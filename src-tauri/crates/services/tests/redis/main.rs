//! The Redis driver and the HAProxy gateway on real servers. Needs `redis-server`, `valkey-server` and `haproxy`.
#![allow(clippy::unwrap_used, missing_docs)]

mod changing;
mod failing;
mod forming;
mod gateway;
mod ground;
mod load;
mod promoting;
mod sharding;
