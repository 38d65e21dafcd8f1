//! From a confirmed change to its plan: ids, names and addresses are decided here, once, and written down.

use crate::{
    backups::{self, throw_away},
    collected::Collected,
    door::{unique, used_networks},
    engine::{Live, Shared},
    error::EngineError,
    facade::Result,
    inventory,
    operations::{
        Plan, Planned, add_node, add_shard, back_up, create_cluster, cut_over, delete_backup, delete_cluster,
        drain_node, expose_endpoint, migrate, promote_node, reboot_node, remove_node, remove_shard,
        resize_cluster, restore_in_place, resync_cluster, rotate_credentials, set_allowlist,
        set_backup_schedule, set_parameters, switches, undrain_node, upgrade_cluster, verify_backup,
    },
};
use clusterdeck_domain::{
    AllowEntry, Backup, BackupReason, BackupSchedule, Change, ClusterId, ClusterSpec, CreateCluster,
    LOCAL_VAULT, Lifecycle, MachineId, NodeKind, NodeSpec, NodeState, PlanId, Role, SourceUrl, Topology,
    dead_primary_of,
    preview::{
        allow_trial_ms, chosen_allowlist, chosen_exposure, chosen_parameters, nodes_per_shard, resize_order,
        resolve_create, resync_order, upgrade_order, upgrade_target,
    },
    side_plan,
};
use clusterdeck_driver::MachineRequest;
use jiff::Timestamp;
use std::sync::{Arc, PoisonError};

/// Decides everything the steps of this change will need. The preview has found no blocker.
pub(crate) async fn plan(shared: &Arc<Shared>, change: &Change, collected: &Collected) -> Result<Planned> {
    match change {
        Change::CreateCluster(wish) => return create(shared, wish, collected, Data::None).await,
        Change::RestoreBackup(_) | Change::VerifyBackup { .. } | Change::DeleteBackup { .. } => {
            return of_backup(shared, change, collected).await;
        }
        Change::CloneCluster(_) => {
            let (live, _) = collected.subject.as_ref().ok_or(EngineError::PreviewStale)?;
            let wish = collected.restored.clone().ok_or(EngineError::PreviewStale)?;
            let backup = backups::begun(shared, &live.spec, LOCAL_VAULT, BackupReason::ForClone).await?;
            return create(shared, &wish, collected, Data::Copied(backup)).await;
        }
        _ => {}
    }
    let (live, node) = collected.subject.as_ref().ok_or(EngineError::PreviewStale)?;
    let node = node.as_ref().and_then(|id| live.spec.node(id));
    let named = || node.ok_or(EngineError::PreviewStale);
    let plan = match change {
        Change::CreateCluster(_)
        | Change::RestoreBackup(_)
        | Change::CloneCluster(_)
        | Change::VerifyBackup { .. }
        | Change::DeleteBackup { .. } => return Err(EngineError::PreviewStale),
        Change::AddNode { count, plan, .. } => {
            let count = count.unwrap_or_else(|| live.spec.added_by_default());
            add_nodes(shared, live, count, plan.clone()).await?
        }
        Change::AddShard { .. } => add_a_shard(shared, live).await?,
        Change::RemoveShard { shard, .. } => Plan::RemoveShard(remove_shard::Plan {
            shard: *shard,
            nodes: live.spec.nodes.iter().filter(|n| n.shard == Some(*shard)).cloned().collect(),
        }),
        Change::PromoteNode { .. } => Plan::PromoteNode(promote_node::Plan {
            target: named()?.id.clone(),
            name: named()?.name.clone(),
            max_lag_bytes: shared.settings().figures.max_promotion_lag_bytes,
            by_hand: live
                .observed
                .as_ref()
                .and_then(|seen| dead_primary_of(&live.spec, seen, node?))
                .map(|dead| dead.id.clone()),
        }),
        Change::DrainNode { .. } => {
            Plan::DrainNode(drain_node::Plan { node: named()?.id.clone(), name: named()?.name.clone() })
        }
        Change::UndrainNode { .. } => {
            Plan::UndrainNode(undrain_node::Plan { node: named()?.id.clone(), name: named()?.name.clone() })
        }
        Change::RebootNode { .. } => {
            let in_place = shared.driver(live.spec.service)?.restarts_in_place();
            Plan::RebootNode(reboot(live, named()?, in_place))
        }
        Change::RemoveNode { .. } => {
            let seen = live.observed.as_ref().and_then(|o| o.node(&named().ok()?.id));
            let alive = seen.is_some_and(|n| n.state == NodeState::Running && n.role != Some(Role::Witness));
            Plan::RemoveNode(remove_node::Plan { node: named()?.clone(), alive })
        }
        Change::ResizeCluster { plan, .. } => resize(shared, live, plan).await?,
        Change::UpgradeCluster { version, .. } => upgrade(shared, live, version.as_deref(), collected)?,
        Change::ResyncCluster { .. } => {
            let copied = resync_order(&live.spec, live.observed.as_ref()).into_iter();
            let replicas = copied.map(|n| (n.id.clone(), n.name.clone())).collect();
            Plan::ResyncCluster(resync_cluster::Plan { replicas })
        }
        Change::SetProtection { enabled, .. } => Plan::Switch(switches::Plan::Protection { to: *enabled }),
        Change::SetAutoFailover { enabled, .. } => {
            Plan::Switch(switches::Plan::AutoFailover { to: *enabled, from: live.spec.auto_failover })
        }
        Change::SetOptions { options, .. } => {
            let to = live.spec.options.with(options, live.spec.offered_options());
            Plan::Switch(switches::Plan::Options { to, from: live.spec.options })
        }
        Change::SetParameters { parameters, .. } => Plan::SetParameters(set_parameters::Plan {
            to: chosen_parameters(&live.spec.parameters, parameters),
            from: live.spec.parameters.clone(),
        }),
        Change::SetAllowlist { entries, keep_within_ms, .. } => {
            let facts = collected.facts(shared);
            let to =
                chosen_allowlist(entries, facts.now).map_err(|blockers| EngineError::Blocked { blockers })?;
            Plan::SetAllowlist(set_allowlist::Plan {
                keep_within_ms: allow_trial_ms(&to, *keep_within_ms, &facts),
                to,
                from: live.spec.allowlist.clone(),
            })
        }
        Change::ExposeEndpoint { on, port, .. } => {
            let to = chosen_exposure(&live.spec, *on, *port, &collected.facts(shared));
            let to = to.map_err(|blockers| EngineError::Blocked { blockers })?;
            Plan::ExposeEndpoint(expose_endpoint::Plan { to, from: live.spec.exposure })
        }
        Change::RotateCredentials { .. } => Plan::RotateCredentials(rotate_credentials::Plan {
            from: live.spec.secrets_generation,
            to: live.spec.secrets_generation + 1,
        }),
        Change::BackUp { vault, verify, .. } => {
            let vault = vault.as_deref().unwrap_or(LOCAL_VAULT);
            let verify = verify.unwrap_or(true);
            let reason = if collected.by_schedule { BackupReason::Scheduled } else { BackupReason::Asked };
            Plan::BackUp(back_up(shared, &live.spec, vault, reason, verify).await?)
        }
        Change::SetBackupSchedule { vault, schedule, .. } => {
            let vault = vault.as_deref().unwrap_or(LOCAL_VAULT).to_owned();
            Plan::SetBackupSchedule(set_backup_schedule::Plan {
                to: schedule.as_ref().map(|wish| wish.resolved(&vault, shared.now())),
                from: live.spec.backup_schedules.iter().find(|s| s.vault == vault).cloned(),
                vault,
            })
        }
        Change::RestoreInPlace { at, discard_present, keep_within_ms, .. } => {
            let safety = match discard_present {
                true => None,
                false => {
                    Some(back_up(shared, &live.spec, LOCAL_VAULT, BackupReason::BeforeRestore, true).await?)
                }
            };
            let leads = |n: &&clusterdeck_domain::NodeObserved| n.role.is_some_and(Role::takes_writes);
            let seen = live.observed.iter().flat_map(|seen| &seen.nodes);
            Plan::RestoreInPlace(Box::new(restore_in_place::Plan {
                backup: collected.backup.clone().ok_or(EngineError::PreviewStale)?,
                at: *at,
                safety,
                led: seen.filter(leads).map(|n| n.node.clone()).collect(),
                keep_within_ms: *keep_within_ms,
            }))
        }
        Change::Migrate(wish) => Plan::Migrate(migrate::Plan {
            from: SourceUrl { password: None, ca: None, ..wish.source() },
            has_password: wish.source().password.is_some(),
            ca: wish.ca.clone(),
            replace: wish.replace,
            follow: wish.follow,
            fresh: collected.source.as_ref().is_some_and(|source| source.target_is_empty),
            online: collected.source.as_ref().is_some_and(|source| source.online),
        }),
        Change::CutOver { .. } => {
            let all = shared.migrations.lock().unwrap_or_else(PoisonError::into_inner);
            let found = all.get(&live.spec.id).ok_or(EngineError::PreviewStale)?;
            Plan::CutOver(cut_over::Plan { migration: found.operation.clone() })
        }
        Change::DeleteCluster { discard_backups, .. } => {
            let last = !discard_backups && live.spec.lifecycle == Lifecycle::Active;
            let last_backup = match last {
                true => {
                    Some(back_up(shared, &live.spec, LOCAL_VAULT, BackupReason::BeforeDelete, true).await?)
                }
                false => None,
            };
            let all = if *discard_backups { backups::of(shared, &live.spec.id) } else { Vec::new() };
            // A rotation that was cut short may have left the next generation behind.
            let now = live.spec.secrets_generation;
            Plan::DeleteCluster(delete_cluster::Plan {
                generations: (now.saturating_sub(1)..=now + 1).collect(),
                last_backup,
                discarded: all.into_iter().map(|backup| backup.id).collect(),
            })
        }
    };
    Ok(Planned {
        plan,
        cluster: live.spec.id.clone(),
        cluster_name: live.spec.name.to_string(),
        node: node.map(|n| n.name.clone()),
        new_cluster: None,
    })
}

/// What is about a backup, whether its cluster is there or not.
async fn of_backup(shared: &Arc<Shared>, change: &Change, collected: &Collected) -> Result<Planned> {
    let backup = collected.backup.clone().ok_or(EngineError::PreviewStale)?;
    let plan = match change {
        Change::RestoreBackup(asked) => {
            let wish = collected.restored.clone().ok_or(EngineError::PreviewStale)?;
            return create(shared, &wish, collected, Data::Kept(backup, asked.at)).await;
        }
        Change::VerifyBackup { .. } => {
            let test = throw_away::plan(shared, &backup.of).await?;
            Plan::VerifyBackup(verify_backup::Plan { backup: backup.clone(), test })
        }
        _ => Plan::DeleteBackup(delete_backup::Plan { backup: backup.id.clone() }),
    };
    let (cluster, cluster_name) = (backup.of.id, backup.cluster);
    Ok(Planned { plan, cluster, cluster_name, node: None, new_cluster: None })
}

async fn back_up(
    shared: &Arc<Shared>,
    spec: &ClusterSpec,
    vault: &str,
    reason: BackupReason,
    verify: bool,
) -> Result<back_up::Plan> {
    let backup = backups::begun(shared, spec, vault, reason).await?;
    let test = if verify { Some(throw_away::plan(shared, &backup.of).await?) } else { None };
    Ok(back_up::Plan { backup, test })
}

/// What a new cluster begins with.
enum Data {
    None,
    /// What a backup holds, or what there was at that moment.
    Kept(Backup, Option<Timestamp>),
    /// A backup that is yet to be made.
    Copied(Backup),
}

async fn create(
    shared: &Arc<Shared>,
    wish: &CreateCluster,
    collected: &Collected,
    data: Data,
) -> Result<Planned> {
    let (from, at, clone_of) = match data {
        Data::None => (None, None, None),
        Data::Kept(backup, at) => (Some(backup), at, None),
        Data::Copied(backup) => {
            let of = backup.of.id.clone();
            (Some(backup), None, Some(of))
        }
    };
    let facts = collected.facts(shared);
    let wish = resolve_create(wish, &facts).map_err(|blockers| EngineError::Blocked { blockers })?;
    let provider = shared.provider_of(&wish.provider)?;
    let id = ClusterId::new(unique());
    let network = provider.allocate_network(&id, &wish.region, &used_networks(shared)).await?;
    let mut spec = ClusterSpec {
        id,
        name: wish.name.clone(),
        service: wish.service,
        version: wish.version.clone(),
        topology: wish.topology,
        shards: wish.shards,
        provider: wish.provider.clone(),
        region: wish.region.clone(),
        plan: wish.plan.id.clone(),
        protected: wish.protected,
        auto_failover: wish.auto_failover,
        options: wish.options,
        parameters: from.as_ref().map(|backup| backup.of.parameters.clone()).unwrap_or_default(),
        backup_schedules: from.as_ref().map(|backup| since(&backup.of.schedules, shared)).unwrap_or_default(),
        allowlist: from.as_ref().map(|backup| still(&backup.of.allowlist, shared)).unwrap_or_default(),
        allow_trial: None,
        exposure: None,
        nodes: Vec::new(),
        gateway: None,
        network,
        last_ordinal: 0,
        secrets_generation: 1,
        lifecycle: Lifecycle::Creating,
        created_at: shared.now(),
        generation: 1,
    };
    let side = side_plan();
    let (image, ports) = (image(shared, &spec)?, ports(shared, &spec)?);
    let mut machines = Vec::new();
    for slot in &wish.slots {
        let plan = if slot.witness { side.clone() } else { wish.plan.clone() };
        let name = spec.name.node(slot.ordinal);
        let request = request(&spec, &name, slot.ordinal, plan, image.clone(), ports.clone());
        spec.nodes.push(NodeSpec {
            id: clusterdeck_domain::NodeId::new(unique()),
            name,
            ordinal: slot.ordinal,
            kind: if slot.witness { NodeKind::Witness } else { NodeKind::Data },
            shard: slot.shard,
            plan: request.plan.id.clone(),
            machine: provider.machine_spec(&request)?,
            drained: false,
        });
        spec.last_ordinal = spec.last_ordinal.max(slot.ordinal);
        machines.push(request);
    }
    let endpoint = format!("{}-endpoint", spec.name);
    let image = inventory::image_of(&inventory::gateway(shared), "");
    let gateway = request(&spec, &endpoint, 0, side, image, endpoint_ports(shared, &spec)?);
    spec.gateway = Some(provider.machine_spec(&gateway)?);
    machines.push(gateway);
    Ok(Planned {
        cluster: spec.id.clone(),
        cluster_name: spec.name.to_string(),
        node: None,
        new_cluster: Some(spec.clone()),
        plan: Plan::CreateCluster(create_cluster::Plan { spec, machines, from, at, clone_of }),
    })
}

/// A cluster that comes back is backed up as it was, from now on.
fn since(schedules: &[BackupSchedule], shared: &Shared) -> Vec<BackupSchedule> {
    let from_now = |s: &BackupSchedule| BackupSchedule { since: Some(shared.now()), ..s.clone() };
    schedules.iter().map(from_now).collect()
}

/// Who could reach a cluster may reach it when it comes back, and nobody else.
fn still(entries: &[AllowEntry], shared: &Shared) -> Vec<AllowEntry> {
    let now = shared.now();
    entries.iter().filter(|entry| !entry.is_over(now)).cloned().collect()
}

/// The image of a cluster's nodes, where its provider works with images.
fn image(shared: &Shared, spec: &ClusterSpec) -> Result<Option<String>> {
    Ok(inventory::image_of(&inventory::server(shared, spec.service)?, &spec.version))
}

pub(crate) fn request(
    spec: &ClusterSpec,
    name: &str,
    slot: u16,
    plan: clusterdeck_domain::Plan,
    image: Option<String>,
    publish: Vec<u16>,
) -> MachineRequest {
    MachineRequest {
        id: MachineId::new(unique()),
        cluster: spec.id.clone(),
        name: name.to_owned(),
        network: spec.network.clone(),
        slot,
        plan,
        image,
        publish,
    }
}

/// The standard ports of a node.
pub(crate) fn ports(shared: &Shared, spec: &ClusterSpec) -> Result<Vec<u16>> {
    Ok(shared.driver(spec.service)?.ports(spec.service).to_vec())
}

/// The standard ports of the endpoints: for writes and for reads, and those of what runs them.
fn endpoint_ports(shared: &Shared, spec: &ClusterSpec) -> Result<Vec<u16>> {
    let port = ports(shared, spec)?.first().copied();
    let endpoints = port.into_iter().flat_map(|port| [port, port.saturating_add(1)]);
    Ok(endpoints.chain(shared.gateway.ports().iter().copied()).collect())
}

async fn new_nodes(
    shared: &Arc<Shared>,
    spec: &ClusterSpec,
    count: u16,
    shard: Option<u16>,
    plan: Option<PlanId>,
) -> Result<(Vec<NodeSpec>, Vec<MachineRequest>)> {
    let provider = shared.provider_of(&spec.provider)?;
    let plan = shared.size(spec, plan.as_ref().unwrap_or(&spec.plan)).await?;
    let image = inventory::image_of(&inventory::server_of(shared, spec).await?, &spec.version);
    let ports = ports(shared, spec)?;
    let mut nodes = Vec::new();
    let mut machines = Vec::new();
    for ordinal in spec.last_ordinal + 1..=spec.last_ordinal + count {
        let name = spec.name.node(ordinal);
        let request = request(spec, &name, ordinal, plan.clone(), image.clone(), ports.clone());
        nodes.push(NodeSpec {
            id: clusterdeck_domain::NodeId::new(unique()),
            name,
            ordinal,
            kind: NodeKind::Data,
            shard,
            plan: plan.id.clone(),
            machine: provider.machine_spec(&request)?,
            drained: false,
        });
        machines.push(request);
    }
    Ok((nodes, machines))
}

async fn add_nodes(shared: &Arc<Shared>, live: &Live, count: u16, plan: Option<PlanId>) -> Result<Plan> {
    let (mut nodes, machines) = new_nodes(shared, &live.spec, count, None, plan).await?;
    // Sharded: a new replica goes where the fewest are.
    if live.spec.shards > 0 {
        for at in 0..nodes.len() {
            let having = |shard: u16| {
                let there = live.spec.data_nodes().filter(|n| n.shard == Some(shard)).count();
                there + nodes[..at].iter().filter(|n| n.shard == Some(shard)).count()
            };
            nodes[at].shard = (0..live.spec.shards).min_by_key(|shard| having(*shard));
        }
    }
    let grows = live.spec.topology == Topology::Single;
    Ok(Plan::AddNode(add_node::Plan { nodes, machines, grows }))
}

async fn add_a_shard(shared: &Arc<Shared>, live: &Live) -> Result<Plan> {
    let shard = live.spec.shards;
    let (nodes, machines) =
        new_nodes(shared, &live.spec, nodes_per_shard(&live.spec), Some(shard), None).await?;
    Ok(Plan::AddShard(add_shard::Plan { shard, nodes, machines }))
}

fn reboot(live: &Live, node: &NodeSpec, in_place: bool) -> reboot_node::Plan {
    let seen = live.observed.as_ref().and_then(|o| o.node(&node.id));
    let role = match seen.and_then(|n| n.role) {
        _ if node.kind == NodeKind::Witness => reboot_node::Part::Witness,
        Some(Role::Primary) if in_place => reboot_node::Part::InPlace,
        Some(Role::Primary) => reboot_node::Part::Primary,
        // A dead node says nothing of its role; it comes back as a follower of whoever leads now.
        _ if live.spec.topology == Topology::PrimaryReplica => reboot_node::Part::Replica,
        _ if live.spec.topology == Topology::Single => reboot_node::Part::Primary,
        _ => reboot_node::Part::Member,
    };
    let leader = live.observed.as_ref().and_then(|o| o.primary()).map(|n| n.node.clone());
    let follows = seen.and_then(|n| n.follows.clone()).or(leader);
    reboot_node::Plan { node: node.id.clone(), name: node.name.clone(), role, follows }
}

async fn resize(shared: &Arc<Shared>, live: &Live, to: &PlanId) -> Result<Plan> {
    let (spec, seen) = (&live.spec, live.observed.as_ref().ok_or(EngineError::PreviewStale)?);
    let mut nodes = Vec::new();
    for node in resize_order(spec, seen, to) {
        let (id, name) = (node.id.clone(), node.name.clone());
        nodes.push(resize_cluster::Node { id, name, from: shared.size(spec, &node.plan).await? });
    }
    let (to, from) = (shared.size(spec, to).await?, shared.size(spec, &spec.plan).await?);
    Ok(Plan::ResizeCluster(resize_cluster::Plan { to, from, nodes }))
}

fn upgrade(shared: &Shared, live: &Live, wanted: Option<&str>, collected: &Collected) -> Result<Plan> {
    let (spec, seen) = (&live.spec, live.observed.as_ref().ok_or(EngineError::PreviewStale)?);
    let capacity = collected.capacity.as_ref().ok_or(EngineError::PreviewStale)?;
    let to = upgrade_target(spec, wanted, capacity).ok_or(EngineError::PreviewStale)?;
    let nodes = upgrade_order(spec, seen, &to).into_iter();
    let nodes = nodes.map(|n| upgrade_cluster::Node { id: n.id.clone(), name: n.name.clone() }).collect();
    let image = inventory::image_of(&inventory::server(shared, spec.service)?, &to);
    Ok(Plan::UpgradeCluster(upgrade_cluster::Plan { to, from: spec.version.clone(), image, nodes }))
}
