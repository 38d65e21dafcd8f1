//! The only list of real stores and drivers. Window (`src-tauri`), `clusterdeck serve` and every command start from here,
//! so that they cannot differ in what they can do.

use async_trait::async_trait;
use clusterdeck_api::{Code, Compose, Kept, Problem};
use clusterdeck_domain::MachineId;
use clusterdeck_driver::{DriverError, Provider};
use clusterdeck_engine::{Engine, EngineError, Parts, SystemClock};
use clusterdeck_providers::{Container, Local};
use clusterdeck_services::{Haproxy, Mysql, Postgres, Redis};
use clusterdeck_store::{Cache, State};
use clusterdeck_vaults::HomeVaults;
use std::{path::Path, sync::Arc};

/// Everything real.
pub struct Real;

#[async_trait]
impl Compose for Real {
    async fn open(&self, home: &Path) -> Result<Kept, Problem> {
        let home = home.to_owned();
        // Opening checks files and may make a copy of them: not on a thread of the runtime.
        let opened = tokio::task::spawn_blocking(move || -> Result<Kept, EngineError> {
            let state = Arc::new(State::open(&home)?);
            let cache = Arc::new(Cache::open(&home)?);
            let secrets = clusterdeck_secrets::open(clusterdeck_secrets::OpenOptions::from_env(&home))?;
            Ok(Kept { state, cache, secrets })
        });
        let ended = |e| Problem::new(Code::Internal, format!("the home could not be opened: {e}"));
        Ok(opened.await.map_err(ended)??)
    }

    async fn start(&self, home: &Path, kept: &Kept) -> Result<Engine, Problem> {
        let parts = Parts {
            state: kept.state.clone(),
            cache: kept.cache.clone(),
            secrets: kept.secrets.clone(),
            services: vec![Arc::new(Redis::new()), Arc::new(Postgres::new()), Arc::new(Mysql::new())],
            providers: vec![Arc::new(Local::new(home.to_owned())), Arc::new(Container::new(home.to_owned()))],
            gateway: Arc::new(Haproxy::new()),
            vaults: Arc::new(HomeVaults::new(home)),
            clock: Arc::new(SystemClock),
        };
        Ok(Engine::start(parts).await?)
    }
}

/// The machines there are in a home, known or left behind, each with where it is in words. A place that cannot be asked
/// says why.
pub(crate) async fn machines(home: &Path) -> Vec<(&'static str, Result<Vec<MachineId>, DriverError>)> {
    let (local, container) = (Local::new(home.to_owned()), Container::new(home.to_owned()));
    let providers: [&dyn Provider; 2] = [&local, &container];
    let mut found = Vec::with_capacity(providers.len());
    for provider in providers {
        found.push((provider.name(), provider.machines().await));
    }
    found
}
