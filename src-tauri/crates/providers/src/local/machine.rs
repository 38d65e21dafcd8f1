//! A machine on this computer: a folder, an address, and its units.

use super::{
    config::MachineNote,
    files::{self, off_thread},
    pipe,
    software::Finder,
    unit::Units,
};
use crate::path::{MachinePath, lexical};
use async_trait::async_trait;
use clusterdeck_domain::{MachineId, Plan};
use clusterdeck_driver::{
    Carried, Extension, Filter, Incoming, Machine, Outgoing, Result, Software, UnitSpec, UnitState, UnitUsage,
};
use std::{net::IpAddr, path::PathBuf, sync::Arc};

/// See the module.
pub(super) struct LocalMachine {
    pub note: MachineNote,
    pub units: Units,
    pub software: Arc<Finder>,
}

impl LocalMachine {
    /// Does something with a path of this machine where it holds nobody up.
    async fn at<T: Send + 'static>(
        &self,
        path: Result<MachinePath>,
        work: impl FnOnce(&std::path::Path, &MachinePath) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (root, path) = (self.units.root.clone(), path?);
        off_thread(move || work(&root, &path)).await
    }
}

#[async_trait]
impl Machine for LocalMachine {
    fn id(&self) -> &MachineId {
        &self.note.spec.id
    }
    fn address(&self) -> IpAddr {
        self.note.spec.address
    }
    fn port(&self, port: u16) -> u16 {
        port.saturating_add(self.note.spec.port_offset)
    }
    fn plan(&self) -> &Plan {
        &self.note.request.plan
    }
    fn limited_by(&self) -> &'static str {
        if self.units.group.is_some() { "cgroup-v2" } else { "server-settings" }
    }
    fn not_enforced(&self) -> Option<String> {
        let why = "memory and processor: this user may not set limits through cgroup v2 here. The server's own settings are \
                   all that holds it back";
        self.units.group.is_none().then(|| why.to_owned())
    }
    fn path(&self, path: &str) -> PathBuf {
        lexical(&self.units.root, path)
    }

    fn here(&self, path: &str) -> Option<PathBuf> {
        Some(self.path(path))
    }

    async fn software(&self, program: &str) -> Result<Vec<Software>> {
        Ok(self.software.find(program).await)
    }
    async fn extension(&self, extension: &'static Extension) -> Result<Vec<Carried>> {
        Ok(self.software.find_extension(extension).await)
    }
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let content = content.to_vec();
        self.at(MachinePath::parse_below(path), move |root, path| files::write(root, path, &content, mode))
            .await
    }
    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.at(MachinePath::parse_below(path), files::read).await
    }
    async fn create_dir(&self, path: &str) -> Result<()> {
        self.at(MachinePath::parse(path), |root, path| {
            let full = path.inside(root)?;
            files::create_dirs(&full).map_err(|e| files::broken(format!("making {}", full.display()), &e))
        })
        .await
    }
    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = MachinePath::parse_below(to)?;
        self.at(MachinePath::parse_below(from), move |root, from| files::rename(root, from, &to)).await
    }
    async fn remove(&self, path: &str) -> Result<()> {
        self.at(MachinePath::parse_below(path), |root, path| files::remove(&path.inside(root)?)).await
    }
    async fn exists(&self, path: &str) -> Result<bool> {
        self.at(MachinePath::parse(path), |root, path| Ok(path.inside(root)?.exists())).await
    }
    async fn disk_bytes(&self, path: &str) -> Result<u64> {
        self.at(MachinePath::parse(path), |root, path| Ok(files::disk_bytes(&path.inside(root)?))).await
    }

    async fn start(&self, unit: &UnitSpec) -> Result<()> {
        self.units.start(unit).await
    }
    async fn stop(&self, name: &str) -> Result<()> {
        self.units.stop(name).await
    }
    async fn state(&self, name: &str) -> Result<UnitState> {
        self.units.blocking(name, Units::state).await
    }
    async fn usage(&self, name: &str) -> Result<UnitUsage> {
        self.units.blocking(name, Units::usage).await
    }
    async fn units(&self) -> Result<Vec<String>> {
        let root = self.units.root.clone();
        off_thread(move || Units::names(&root)).await
    }
    async fn restart_due(&self, name: &str) -> Result<bool> {
        self.units.blocking(name, Units::restart_due).await
    }
    async fn restart(&self, name: &str) -> Result<bool> {
        self.units.restart(name).await
    }
    async fn log(&self, unit: &str, lines: usize, after: Option<u64>) -> Result<(Vec<String>, u64)> {
        self.units.blocking(unit, move |units, unit| units.log(unit, lines, after)).await
    }

    async fn output_of(&self, filter: &Filter, output: &mut Outgoing) -> Result<String> {
        pipe::output_of(&self.units.root, filter, output).await
    }
    async fn feed(&self, filter: &Filter, input: &mut Incoming, bytes: u64) -> Result<String> {
        pipe::feed(&self.units.root, filter, input, bytes).await
    }
}
