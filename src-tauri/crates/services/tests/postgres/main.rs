//! The PostgreSQL driver on real servers: Patroni, etcd and HAProxy on machines of this computer.

#![allow(clippy::unwrap_used)]

mod copying;
mod cut;
mod diverging;
mod fencing;
mod ground;
mod handing;
mod life;
mod parameters;
