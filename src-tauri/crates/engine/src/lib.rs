//! The engine: operations, their journal, and the watchers.

pub mod repository;
