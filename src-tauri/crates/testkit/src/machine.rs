//! A fake machine: files and units in memory.

use crate::{
    driver::FOLDER,
    world::{Box_, World},
};
use async_trait::async_trait;
use clusterdeck_domain::{MachineId, Plan};
use clusterdeck_driver::{
    Carried, DriverError, Extension, Filter, Incoming, Machine, Outgoing, Result, Software, UnitSpec,
    UnitState, UnitUsage,
};
use std::{net::IpAddr, path::PathBuf};

pub(crate) struct FakeMachine {
    pub(crate) world: World,
    pub(crate) known: Box_,
}

impl FakeMachine {
    fn with<T>(&self, act: impl FnOnce(&mut Box_) -> T) -> Result<T> {
        let mut world = self.world.lock();
        let found = world.machines.get_mut(&self.known.spec.id);
        found.map(act).ok_or_else(|| DriverError::Gone { what: format!("machine {}", self.known.spec.id) })
    }
    /// What the server of this machine has written: it lies in [`FOLDER`].
    fn written<T: Default>(&self, act: impl FnOnce(&mut u64) -> T) -> T {
        let mut world = self.world.lock();
        let node = world.node_on(&self.known.spec.id);
        let server = node.and_then(|node| world.servers.get_mut(&node));
        server.map(|server| act(&mut server.writes)).unwrap_or_default()
    }
}

#[async_trait]
impl Machine for FakeMachine {
    fn id(&self) -> &MachineId {
        &self.known.spec.id
    }
    fn address(&self) -> IpAddr {
        self.known.spec.address
    }
    fn port(&self, port: u16) -> u16 {
        port + self.known.spec.port_offset
    }
    fn plan(&self) -> &Plan {
        &self.known.plan
    }
    fn limited_by(&self) -> &'static str {
        "server-settings"
    }
    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/fake/{}/{path}", self.known.spec.id))
    }
    fn here(&self, path: &str) -> Option<PathBuf> {
        Some(self.path(path))
    }
    async fn software(&self, program: &str) -> Result<Vec<Software>> {
        Ok(vec![Software {
            program: program.to_owned(),
            path: "/fake/bin".into(),
            version: "7.0.15".to_owned(),
        }])
    }
    async fn extension(&self, _: &'static Extension) -> Result<Vec<Carried>> {
        Ok(Vec::new())
    }
    async fn write(&self, path: &str, content: &[u8], _mode: u32) -> Result<()> {
        self.with(|m| m.files.insert(path.to_owned(), content.to_vec())).map(drop)
    }
    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.with(|m| m.files.get(path).cloned())?.ok_or_else(|| DriverError::Gone { what: path.to_owned() })
    }
    async fn create_dir(&self, path: &str) -> Result<()> {
        self.with(|m| m.files.entry(path.to_owned()).or_default().len()).map(drop)
    }
    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if from == FOLDER {
            let written = self.written(std::mem::take);
            self.with(|m| m.files.insert(from.to_owned(), written.to_string().into_bytes()))?;
        }
        let moved = self.with(|m| {
            let below = format!("{from}/");
            let moved: Vec<_> =
                m.files.extract_if(.., |path, _| path == from || path.starts_with(&below)).collect();
            let content = moved.iter().find(|(path, _)| path == from).map(|(_, content)| content.clone());
            let renamed =
                moved.into_iter().map(|(path, content)| (format!("{to}{}", &path[from.len()..]), content));
            m.files.extend(renamed);
            content
        })?;
        if let (FOLDER, Some(content)) = (to, moved) {
            let was = String::from_utf8_lossy(&content).parse().unwrap_or(0);
            self.written(|writes| *writes = was);
        }
        Ok(())
    }
    async fn remove(&self, path: &str) -> Result<()> {
        if path == FOLDER {
            self.written(|writes| *writes = 0);
        }
        let below = format!("{path}/");
        self.with(|m| m.files.retain(|file, _| file != path && !file.starts_with(&below)))
    }
    async fn exists(&self, path: &str) -> Result<bool> {
        self.with(|m| m.files.contains_key(path))
    }
    async fn disk_bytes(&self, _path: &str) -> Result<u64> {
        Ok(0)
    }
    async fn start(&self, unit: &UnitSpec) -> Result<()> {
        self.with(|m| m.units.insert(unit.name.clone(), unit.clone())).map(drop)
    }
    async fn stop(&self, name: &str) -> Result<()> {
        if name == "gateway" {
            self.world.lock().endpoint = None;
        }
        self.with(|m| m.units.remove(name)).map(drop)
    }
    async fn state(&self, name: &str) -> Result<UnitState> {
        let running = self.with(|m| m.units.contains_key(name))?;
        Ok(if running { UnitState::Running { pid: 1, since_ms: 0, restarts: 0 } } else { UnitState::Stopped })
    }
    async fn usage(&self, _name: &str) -> Result<UnitUsage> {
        Ok(UnitUsage::default())
    }
    async fn units(&self) -> Result<Vec<String>> {
        self.with(|m| m.units.keys().cloned().collect())
    }
    async fn restart_due(&self, _name: &str) -> Result<bool> {
        Ok(false)
    }
    async fn restart(&self, _name: &str) -> Result<bool> {
        Ok(false)
    }
    async fn log(&self, _unit: &str, _lines: usize, _after: Option<u64>) -> Result<(Vec<String>, u64)> {
        Ok((Vec::new(), 0))
    }
    async fn output_of(&self, _filter: &Filter, _output: &mut Outgoing) -> Result<String> {
        Err(DriverError::Unsupported { what: "running programs on a fake machine".to_owned() })
    }
    async fn feed(&self, _filter: &Filter, _input: &mut Incoming, _bytes: u64) -> Result<String> {
        Err(DriverError::Unsupported { what: "running programs on a fake machine".to_owned() })
    }
}
