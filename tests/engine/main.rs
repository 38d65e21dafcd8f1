//! The engine on real servers: the life of a cluster from creation to deletion, with a client that writes all the time and
//! counts what was acknowledged.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod access;
mod alerts;
mod alone;
mod backups;
mod bad_days;
mod containers;
mod dumps;
mod exposed;
mod home;
mod life;
mod migrating;
mod migrating_mysql;
mod migrating_online;
mod migrating_trusted;
mod moments;
mod postgres;
mod rotation;
mod sharded;
mod snapshots;
mod timescale;
mod upgrade;
mod vaults;
