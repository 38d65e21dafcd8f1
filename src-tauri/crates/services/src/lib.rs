//! The services room: one folder per family, the same file names in each. A family knows how its servers are
//! configured, formed into a cluster, watched and changed; it never learns who provides the machines.

mod aside;
pub mod haproxy;
mod laying;
mod measure;
pub mod mysql;
mod outside;
mod own_way;
pub mod postgres;
mod readiness;
pub mod redis;
mod tls;
mod wait;

pub use haproxy::Haproxy;
pub use mysql::Mysql;
pub use postgres::Postgres;
pub use redis::Redis;
