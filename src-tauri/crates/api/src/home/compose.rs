//! What a home is made of. The concrete stores and drivers are named in one place (`clusterdeck_cli::compose`); this room
//! only says in which order they are needed.

use crate::problem::Problem;
use async_trait::async_trait;
use clusterdeck_engine::{
    Engine,
    repository::{SecretRepository, StateRepository},
};
use clusterdeck_store::Cache;
use std::{path::Path, sync::Arc};

/// What is remembered.
#[derive(Clone)]
pub struct Kept {
    /// The truth.
    pub state: Arc<dyn StateRepository>,
    /// What may be lost.
    pub cache: Arc<Cache>,
    /// Where secrets live.
    pub secrets: Arc<dyn SecretRepository>,
}

/// Opens a home.
#[async_trait]
pub trait Compose: Send + Sync {
    /// Opens what is remembered. Quick: a window shows its last contents from here.
    async fn open(&self, home: &Path) -> Result<Kept, Problem>;
    /// Starts the engine. May take as long as a keyring takes to be unlocked.
    async fn start(&self, home: &Path, kept: &Kept) -> Result<Engine, Problem>;
}
