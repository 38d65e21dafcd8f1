//! What a user may switch of a cluster's behaviour. Which service has which switch, and what it means there, is data of
//! the catalogue.

use serde::{Deserialize, Serialize};

/// A switch, by the name of its member in [`ClusterOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterOption {
    /// See [`ClusterOptions::stop_writes_without_replica`].
    StopWritesWithoutReplica,
    /// See [`ClusterOptions::synchronous`].
    Synchronous,
}

impl ClusterOption {
    /// Every switch; one that needs another comes after it.
    pub const ALL: [Self; 2] = [Self::Synchronous, Self::StopWritesWithoutReplica];

    /// Where it stands in a change, as a JSON pointer.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::StopWritesWithoutReplica => "/options/stop_writes_without_replica",
            Self::Synchronous => "/options/synchronous",
        }
    }
}

/// The switches of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ClusterOptions {
    /// The primary refuses writes when no replica has been reachable for a while, so that a primary that was cut off
    /// cannot go on taking writes that a failover will discard.
    pub stop_writes_without_replica: bool,
    /// A write is acknowledged only when a replica has it on disk too.
    pub synchronous: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { stop_writes_without_replica: true, synchronous: false }
    }
}

impl ClusterOptions {
    /// With every switch off.
    pub const OFF: Self = Self { stop_writes_without_replica: false, synchronous: false };

    /// As a service has them from the start in a cluster of so many data nodes.
    pub fn from_start(offered: &[OptionEntry], nodes: usize) -> Self {
        let mut options = Self::OFF;
        for option in offered {
            options.set(option.id, option.default_on && nodes >= usize::from(option.from_nodes));
        }
        options
    }
    /// How a switch stands.
    pub const fn get(&self, option: ClusterOption) -> bool {
        match option {
            ClusterOption::StopWritesWithoutReplica => self.stop_writes_without_replica,
            ClusterOption::Synchronous => self.synchronous,
        }
    }
    /// Sets a switch.
    pub const fn set(&mut self, option: ClusterOption, on: bool) {
        match option {
            ClusterOption::StopWritesWithoutReplica => self.stop_writes_without_replica = on,
            ClusterOption::Synchronous => self.synchronous = on,
        }
    }
    /// What they become. One that needs another goes off with it, unless it was asked for by name.
    #[must_use]
    pub fn with(mut self, wish: &OptionWish, offered: &[OptionEntry]) -> Self {
        for option in ClusterOption::ALL {
            let needed = offered.iter().find(|o| o.id == option).and_then(|o| o.needs);
            let loses = needed.is_some_and(|needed| !self.get(needed));
            self.set(option, wish.get(option).unwrap_or_else(|| self.get(option) && !loses));
        }
        self
    }
}

/// Switches that somebody wants set; what is left out stays as it is, or as the service has it from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OptionWish {
    /// See [`ClusterOptions::stop_writes_without_replica`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_writes_without_replica: Option<bool>,
    /// See [`ClusterOptions::synchronous`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous: Option<bool>,
}

impl OptionWish {
    /// Asks for one switch and leaves the others.
    pub fn only(option: ClusterOption, on: bool) -> Self {
        Self::default().and(option, on)
    }
    /// Asks for all of them to be as they are there.
    pub const fn of(options: &ClusterOptions) -> Self {
        Self {
            stop_writes_without_replica: Some(options.stop_writes_without_replica),
            synchronous: Some(options.synchronous),
        }
    }
    /// Asks for another one as well.
    #[must_use]
    pub const fn and(mut self, option: ClusterOption, on: bool) -> Self {
        match option {
            ClusterOption::StopWritesWithoutReplica => self.stop_writes_without_replica = Some(on),
            ClusterOption::Synchronous => self.synchronous = Some(on),
        }
        self
    }
    /// What is asked for a switch.
    pub const fn get(&self, option: ClusterOption) -> Option<bool> {
        match option {
            ClusterOption::StopWritesWithoutReplica => self.stop_writes_without_replica,
            ClusterOption::Synchronous => self.synchronous,
        }
    }
}

/// A switch as a service offers it in one of its topologies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OptionEntry {
    /// Which.
    pub id: ClusterOption,
    /// Its name for people.
    pub name: &'static str,
    /// What holds while it is on, in a sentence.
    pub on: &'static str,
    /// What holds while it is off, in a sentence.
    pub off: &'static str,
    /// What may go wrong while it is off, in a sentence.
    pub risk: &'static str,
    /// It takes effect from so many data nodes in service on.
    pub from_nodes: u16,
    /// It is on from the start in a cluster of so many nodes.
    pub default_on: bool,
    /// Another switch without which it means nothing.
    pub needs: Option<ClusterOption>,
}

impl OptionEntry {
    /// Why it cannot be on while another one is off, in a sentence.
    pub fn means_nothing_without(&self, needed: ClusterOption, offered: &[Self]) -> String {
        let other = offered.iter().find(|o| o.id == needed).map_or("another switch", |o| o.name);
        format!("\u{201c}{}\u{201d} means nothing without \u{201c}{other}\u{201d}.", self.name)
    }
    /// Whether it takes effect: it is on, what it needs is on, and enough nodes are in service.
    pub fn holds(&self, options: &ClusterOptions, in_service: usize) -> bool {
        options.get(self.id)
            && self.needs.is_none_or(|needed| options.get(needed))
            && in_service >= usize::from(self.from_nodes)
    }
}
