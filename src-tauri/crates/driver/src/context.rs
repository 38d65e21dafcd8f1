//! What a driver gets to see of a cluster.

use crate::{DriverError, Machine, Result};
use clusterdeck_domain::{ClusterSpec, MachineId, NodeId, NodeSpec, Sensitive};
use std::{collections::BTreeMap, sync::Arc};

/// The passwords of a cluster by name. During a rotation there is a `next` generation beside the one in force.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// In force.
    pub current: BTreeMap<String, Sensitive<String>>,
    /// About to be, while rotating.
    pub next: Option<BTreeMap<String, Sensitive<String>>>,
}

impl Secrets {
    /// The password in force.
    ///
    /// # Errors
    /// [`DriverError::Broken`] when the cluster has none of that name.
    pub fn get(&self, name: &str) -> Result<&Sensitive<String>> {
        self.current
            .get(name)
            .ok_or_else(|| DriverError::broken(format!("the secret `{name}` of this cluster is missing")))
    }
    /// The password about to be in force, or the one that is.
    ///
    /// # Errors
    /// [`DriverError::Broken`] when the cluster has none of that name.
    pub fn newest(&self, name: &str) -> Result<&Sensitive<String>> {
        match self.next.as_ref().and_then(|next| next.get(name)) {
            Some(next) => Ok(next),
            None => self.get(name),
        }
    }
}

/// A cluster with its machines and secrets at hand.
#[derive(Clone)]
pub struct ClusterContext {
    /// As it is meant to be.
    pub spec: ClusterSpec,
    /// Its machines, as far as they exist.
    pub machines: BTreeMap<MachineId, Arc<dyn Machine>>,
    /// Its secrets.
    pub secrets: Secrets,
}

impl ClusterContext {
    /// The machine of a node.
    ///
    /// # Errors
    /// [`DriverError::Gone`] when it does not exist.
    pub fn machine(&self, node: &NodeSpec) -> Result<&Arc<dyn Machine>> {
        self.machines
            .get(&node.machine.id)
            .ok_or_else(|| DriverError::Gone { what: format!("the machine of {}", node.name) })
    }
    /// The machine of the endpoints.
    ///
    /// # Errors
    /// [`DriverError::Gone`] when it does not exist.
    pub fn gateway(&self) -> Result<&Arc<dyn Machine>> {
        self.spec
            .gateway
            .as_ref()
            .and_then(|g| self.machines.get(&g.id))
            .ok_or_else(|| DriverError::Gone { what: "the machine of the endpoints".to_owned() })
    }
    /// A node by id.
    ///
    /// # Errors
    /// [`DriverError::Gone`] when the cluster has no such node.
    pub fn node(&self, id: &NodeId) -> Result<&NodeSpec> {
        self.spec.node(id).ok_or_else(|| DriverError::Gone { what: format!("node {id}") })
    }
}
