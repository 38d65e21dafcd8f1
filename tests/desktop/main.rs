//! The real window on a virtual screen, with a real keyring and real servers.

mod life;
mod start;
