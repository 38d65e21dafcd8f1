//! The engine on real servers: the life of a cluster from creation to deletion, with a client that writes all the time and
//! counts what was acknowledged.

mod bad_days;
mod home;
mod life;
mod sharded;
mod writer;
