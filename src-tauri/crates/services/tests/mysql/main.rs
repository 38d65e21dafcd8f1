//! The MySQL driver on real servers: MariaDB and HAProxy on machines of this computer, Oracle's MySQL in containers.

#![allow(clippy::unwrap_used)]

mod backing_up;
mod changing;
mod ground;
mod group;
mod health;
mod life;
mod load;
mod logs;
mod members;
mod moments;
