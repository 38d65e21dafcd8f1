//! The contracts between the engine and everything that does real work: providers hand out machines, service drivers
//! run servers on them, a gateway gives a cluster its stable addresses. They meet only at [`Machine`].
//!
//! Every call *looks, then acts*: calling it twice is the same as calling it once, because the engine may have been
//! killed between the act and the note of it. No concrete driver lives here. A method that every
//! driver must have has no default body; one that a family may lack says nothing is there.

mod context;
mod copy;
mod error;
mod extension;
mod gateway;
mod log;
mod machine;
mod migrate;
mod pipe;
mod provider;
mod route;
mod service;
mod vault;

pub use context::{ClusterContext, Secrets};
pub use copy::{CopyFormat, CopyFrom, Filter, Incoming, Outgoing};
pub use error::DriverError;
pub use extension::{Carried, Extension};
pub use gateway::{Backend, CheckLine, Gateway, GatewayStatus, Listener, Traffic};
pub use log::{LogReady, LogTaken, LogTarget, LogWaiting};
pub use machine::{Machine, Software, UnitSpec, UnitState, UnitUsage};
pub use migrate::{Migration, Passage};
pub use pipe::widen;
pub use provider::{
    Fence, Image, MachineRequest, Needs, OtherPrograms, Programs, Provider, ProviderCheck, Region,
    alternatives,
};
pub use route::source_towards;
pub use service::{ClientCommand, HandOver, Progress, ServiceDriver, StartAs, Switch};
pub use vault::{SealKey, Vault, VaultCheck, VaultTrial, Vaults};

/// What every driver call returns.
pub type Result<T> = std::result::Result<T, DriverError>;
