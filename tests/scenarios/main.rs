//! Bad days of the whole product: the real program, real servers, and what must hold however it is ended, whatever is
//! missing, full, taken or damaged.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod databases;
mod disk;
mod home;
mod killed;
mod passwords;
mod ports;
mod servers;
mod software;
mod tour;
mod two_apps;
