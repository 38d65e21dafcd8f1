//! The providers room.
