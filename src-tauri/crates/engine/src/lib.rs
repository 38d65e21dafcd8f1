//! The engine: turns confirmed changes into operations, and watches what runs.
//!
//! A change is previewed and confirmed in `door`, becomes a row and a list of steps (`operations/<change>.rs`, one page
//! each), which `runner` drives while every step is written to the journal before and after. `watch` looks at every
//! cluster each 2 s. The engine knows no SQL, no keyring and no concrete driver: those come in as traits.

mod access;
mod alerts;
mod backups;
mod clock;
mod collected;
mod door;
mod engine;
mod error;
mod event;
mod facade;
#[cfg(debug_assertions)]
mod faults;
mod images;
mod inventory;
mod operations;
mod passwords;
mod plans;
pub mod repository;
mod runner;
mod step;
mod watch;

pub use backups::{BY_SCHEDULE, Download};
pub use clock::{Clock, SystemClock};
pub use clusterdeck_driver::{ClientCommand, VaultTrial};
pub use engine::Parts;
pub use error::EngineError;
pub use event::{Event, EventHub, EventKind, Level};
pub use facade::{
    AccessReport, Asker, BackupKeyReport, ClusterReport, Credentials, EndpointKind, EndpointReport, Engine,
    LogPage, PlaceReport, PreparedPreview, ProviderReport, Result, ServiceReport, Settings,
};
pub use images::ImageSources;
