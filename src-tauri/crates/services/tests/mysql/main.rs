//! The MySQL driver on real servers: MariaDB and HAProxy on machines of this computer.

#![allow(clippy::unwrap_used)]

mod changing;
mod ground;
mod life;
mod load;
mod members;
