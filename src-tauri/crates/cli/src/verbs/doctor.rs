//! `clusterdeck doctor`
