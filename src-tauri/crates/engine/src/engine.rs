//! The engine's shared state, its start and its end.

use crate::{
    clock::Clock,
    error::EngineError,
    event::{Event, EventHub, EventKind, Level},
    facade::{Asker, ClusterReport, EndpointKind, EndpointReport, Engine, PreparedPreview, Result, Settings},
    repository::{AuditEntry, CacheRepository, SecretRepository, StateRepository},
    runner, watch,
};
use clusterdeck_domain::{
    AlertBook, Backup, BackupId, BackupSchedule, BackupState, Busy, ClusterId, ClusterObserved, ClusterSpec,
    Lifecycle, Network, NodeId, NodeKind, OperationId, Plan, PlanId, PreviewId, ProviderId, ServiceKind,
    Topology, cluster_state, last_of, reads_beside,
};
use clusterdeck_driver::{ClusterContext, DriverError, Gateway, Provider, ServiceDriver, Vaults};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch as channel;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What an engine is made of. `compose.rs` is the only place that names concrete ones.
pub struct Parts {
    /// The truth.
    pub state: Arc<dyn StateRepository>,
    /// What may be lost.
    pub cache: Arc<dyn CacheRepository>,
    /// Where secrets live.
    pub secrets: Arc<dyn SecretRepository>,
    /// Service families.
    pub services: Vec<Arc<dyn ServiceDriver>>,
    /// Places.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Endpoints.
    pub gateway: Arc<dyn Gateway>,
    /// Where backups are kept.
    pub vaults: Arc<dyn Vaults>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What is known of a cluster while the engine runs.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) spec: ClusterSpec,
    pub(crate) observed: Option<ClusterObserved>,
    /// When the look of which that tells began; `None` when it is an earlier engine's. Not by the clock on the wall, which
    /// may be set back.
    pub(crate) looked: Option<Instant>,
    /// When listeners were last told that it was looked at.
    pub(crate) told: Option<Instant>,
    /// Who led when somebody was last seen leading; survives the moment of a failover in which nobody does.
    pub(crate) led_by: BTreeSet<NodeId>,
    pub(crate) busy: Option<(OperationId, Busy)>,
    /// The backup that is being made of it. It does not hold the cluster.
    pub(crate) backing_up: Option<(OperationId, Busy)>,
}

/// A preview somebody may still confirm.
pub(crate) struct Pending {
    pub(crate) change: clusterdeck_domain::Change,
    pub(crate) asker: Asker,
    pub(crate) prepared: PreparedPreview,
    pub(crate) fingerprint: String,
}

/// An operation under way in this process.
pub(crate) struct Running {
    pub(crate) cancel: CancellationToken,
    pub(crate) ended: channel::Receiver<bool>,
    pub(crate) record: runner::Record,
}

pub(crate) struct Shared {
    pub(crate) state: Arc<dyn StateRepository>,
    pub(crate) cache: Arc<dyn CacheRepository>,
    pub(crate) secrets: Arc<dyn SecretRepository>,
    pub(crate) services: Vec<Arc<dyn ServiceDriver>>,
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) vaults: Arc<dyn Vaults>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: EventHub,
    pub(crate) started_at: Timestamp,
    pub(crate) clusters: Mutex<BTreeMap<ClusterId, Live>>,
    pub(crate) pending: Mutex<HashMap<PreviewId, Pending>>,
    pub(crate) running: Mutex<HashMap<OperationId, Running>>,
    pub(crate) settings: Mutex<Settings>,
    /// Passwords by cluster and generation, so that watching does not ask the keyring every 2 s.
    pub(crate) passwords: Mutex<HashMap<(ClusterId, u32), crate::passwords::Set>>,
    /// Every backup there is, as state.db has it.
    pub(crate) backups: Mutex<BTreeMap<BackupId, Backup>>,
    /// What is wrong, as state.db has it. Held while it is written, so that rows follow each other.
    pub(crate) alerts: tokio::sync::Mutex<AlertBook>,
    /// The archive of each cluster's log.
    pub(crate) logs: Mutex<crate::backups::log::Archives>,
    /// Only one makes the key of the backups.
    pub(crate) making_key: tokio::sync::Mutex<()>,
    /// Networks of machines on which backups are tried.
    pub(crate) throw_away: Mutex<BTreeMap<ClusterId, Network>>,
    /// Held by the dump of a backup that is under way: one at a time, each has a machine.
    pub(crate) dumping: Arc<tokio::sync::Mutex<()>>,
    /// Migrations that copy or follow, by the cluster they go into.
    pub(crate) migrations: Mutex<BTreeMap<ClusterId, crate::operations::migrate::UnderWay>>,
    pub(crate) watched: Mutex<HashMap<ClusterId, CancellationToken>>,
    /// No new operations.
    pub(crate) closing: CancellationToken,
    /// Everything ends now.
    pub(crate) stopped: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// How long a start waits for the first look at every cluster; what was not seen by then is unknown.
const FIRST_LOOK: Duration = Duration::from_millis(1_200);

/// The key of the settings in state.db.
const SETTINGS: &str = "settings";

impl Engine {
    /// Starts an engine: reads what there is, takes up every unfinished operation, watches every cluster.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(parts: Parts) -> Result<Self> {
        let now = parts.clock.now();
        let settings = match parts.state.setting(SETTINGS).await? {
            Some(kept) => serde_json::from_value(kept).unwrap_or_default(),
            None => Settings::default(),
        };
        let alerts = match parts.state.setting(crate::alerts::KEPT).await? {
            Some(kept) => serde_json::from_value(kept).unwrap_or_default(),
            None => AlertBook::default(),
        };
        let backups = parts.state.backups().await?.into_iter().map(|b| (b.id.clone(), b)).collect();
        let logs = crate::backups::log::read(parts.state.as_ref()).await?;
        let observed: HashMap<_, _> = parts.cache.observed().await.unwrap_or_default().into_iter().collect();
        let clusters = parts.state.clusters().await?.into_iter().map(|spec| {
            let observed = observed.get(&spec.id).cloned();
            let led_by = observed.as_ref().map(watch::leaders).unwrap_or_default();
            (
                spec.id.clone(),
                Live { spec, observed, looked: None, told: None, led_by, busy: None, backing_up: None },
            )
        });
        // Event numbers start from the clock: two runs never share one, whatever a listener remembers.
        let first = u64::try_from(now.as_millisecond()).unwrap_or(0) << 10;
        let shared = Arc::new(Shared {
            clusters: Mutex::new(clusters.collect()),
            state: parts.state,
            cache: parts.cache,
            secrets: parts.secrets,
            services: parts.services,
            providers: parts.providers,
            gateway: parts.gateway,
            vaults: parts.vaults,
            clock: parts.clock,
            events: EventHub::new(first),
            started_at: now,
            pending: Mutex::default(),
            running: Mutex::default(),
            settings: Mutex::new(settings),
            passwords: Mutex::default(),
            backups: Mutex::new(backups),
            alerts: tokio::sync::Mutex::new(alerts),
            logs: Mutex::new(logs),
            making_key: tokio::sync::Mutex::default(),
            throw_away: Mutex::default(),
            dumping: Arc::default(),
            migrations: Mutex::default(),
            watched: Mutex::default(),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        crate::backups::clear_dumps(&shared).await?;
        for row in shared.state.unfinished().await? {
            runner::launch(&shared, row);
        }
        let ids: Vec<ClusterId> = shared.lock_clusters().keys().cloned().collect();
        // Whoever asks right after the start shall hear what is, not what was when the last engine ended.
        let first = ids.iter().map(|id| watch::after_operation(&shared, id));
        if tokio::time::timeout(FIRST_LOOK, futures::future::join_all(first)).await.is_err() {
            tracing::info!("not every cluster could be looked at yet; those show as unknown until then");
        }
        for id in ids {
            watch::begin(&shared, &id);
        }
        shared.tasks.spawn(watch::tidy(shared.clone()));
        shared.tasks.spawn(crate::backups::follow(shared.clone()));
        shared.tasks.spawn(crate::access::follow(shared.clone()));
        shared.tasks.spawn(crate::backups::log::follow(shared.clone()));
        Ok(Self { shared })
    }
}

/// See [`Engine::shutdown`].
pub(crate) async fn shutdown(shared: &Arc<Shared>, patience: Duration) {
    shared.closing.cancel();
    if tokio::time::timeout(patience, runner::idle(shared)).await.is_err() {
        tracing::info!("letting go of operations under way; they go on when the engine starts the next time");
    }
    shared.stopped.cancel();
    shared.tasks.close();
    // Every task listens to `stopped`; a driver call in the middle is dropped, which is no worse than a kill.
    if tokio::time::timeout(Duration::from_secs(5), shared.tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
    pub(crate) fn lock_clusters(&self) -> MutexGuard<'_, BTreeMap<ClusterId, Live>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn provider(&self, id: &str) -> Result<Arc<dyn Provider>> {
        let found = self.providers.iter().find(|p| p.id().0 == id).cloned();
        found.ok_or_else(|| EngineError::NotFound { what: format!("provider {id}") })
    }
    pub(crate) fn driver(&self, service: ServiceKind) -> Result<Arc<dyn ServiceDriver>> {
        let found = self.services.iter().find(|d| d.services().contains(&service)).cloned();
        found.ok_or_else(|| DriverError::Unsupported { what: format!("running {service}") }.into())
    }
    pub(crate) fn provider_of(&self, provider: &ProviderId) -> Result<Arc<dyn Provider>> {
        self.provider(&provider.0)
    }

    /// The cluster with that name or id.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Live> {
        let clusters = self.lock_clusters();
        let found = clusters
            .values()
            .find(|c| c.spec.name.as_str() == name_or_id || c.spec.id.as_str() == name_or_id);
        found.cloned().ok_or_else(|| EngineError::NotFound { what: format!("cluster `{name_or_id}`") })
    }
    /// The cluster with that id.
    pub(crate) fn live(&self, id: &ClusterId) -> Result<Live> {
        let found = self.lock_clusters().get(id).cloned();
        found.ok_or_else(|| EngineError::NotFound { what: format!("cluster {id}") })
    }
    /// The cluster and node with that node name or id.
    pub(crate) fn find_node(&self, name_or_id: &str) -> Result<(Live, NodeId)> {
        let clusters = self.lock_clusters();
        let found =
            clusters.values().find_map(|c| c.spec.find_node(name_or_id).map(|n| (c.clone(), n.id.clone())));
        found.ok_or_else(|| EngineError::NotFound { what: format!("node `{name_or_id}`") })
    }

    pub(crate) fn reports(&self) -> Vec<ClusterReport> {
        let mut lives: Vec<Live> = self.lock_clusters().values().cloned().collect();
        lives.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        lives.into_iter().map(|live| self.report_of(live)).collect()
    }
    pub(crate) fn report(&self, name_or_id: &str) -> Result<ClusterReport> {
        Ok(self.report_of(self.find(name_or_id)?))
    }
    pub(crate) fn report_of_node(&self, name_or_id: &str) -> Result<(ClusterReport, NodeId)> {
        let (live, node) = self.find_node(name_or_id)?;
        Ok((self.report_of(live), node))
    }
    fn report_of(&self, live: Live) -> ClusterReport {
        // What an earlier engine saw is shown with its age, but says nothing about how the cluster is now.
        let limit = i64::try_from(self.settings().figures.max_observation_age_ms).unwrap_or(i64::MAX);
        let age = |seen: &&ClusterObserved| self.now().as_millisecond() - seen.at.as_millisecond();
        let fresh = live.observed.as_ref().filter(|o| o.at >= self.started_at).filter(|o| age(o) <= limit);
        let (state, health) = cluster_state(&live.spec, fresh, live.busy.is_some());
        let endpoints = self.endpoints(&live);
        let backups = crate::backups::of(self, &live.spec.id);
        let verified = backups.iter().filter(|b| b.state == BackupState::Verified);
        let last_verified_backup = verified.map(|b| b.created_at).max();
        let now = self.now();
        let next = |s: &BackupSchedule| (s.clone(), s.due(last_of(&backups, s, now), now));
        let schedules = live.spec.backup_schedules.iter().map(next).collect();
        ClusterReport {
            spec: live.spec,
            observed: live.observed,
            state,
            health,
            busy: live.busy,
            backing_up: live.backing_up,
            schedules,
            last_verified_backup,
            endpoints,
        }
    }
    /// The stable addresses first, then one per data node.
    fn endpoints(&self, live: &Live) -> Vec<EndpointReport> {
        let spec = &live.spec;
        let Ok(driver) = self.driver(spec.service) else { return Vec::new() };
        let Some(port) = driver.ports(spec.service).first().copied() else { return Vec::new() };
        let Ok(provider) = self.provider_of(&spec.provider) else { return Vec::new() };
        let at = |kind, machine, port: u16, up| {
            let at = provider.reach(machine, port);
            EndpointReport { kind, host: at.ip().to_string(), port: at.port(), up, exposed: false }
        };
        let up = live.observed.as_ref().and_then(|o| o.endpoint_up);
        let replicas = spec.topology == Topology::PrimaryReplica;
        let mut found = Vec::new();
        if let Some(gateway) = &spec.gateway {
            found.push(at(EndpointKind::ReadWrite, gateway, port, up));
            if replicas {
                found.push(at(EndpointKind::ReadOnly, gateway, port + 1, up));
            }
        }
        if let Some(exposed) = spec.exposed_at() {
            // A computer that is in another network today has it no longer.
            let up = if provider.leads_here(exposed.ip()) { up } else { Some(false) };
            let at = |kind, at: SocketAddr| EndpointReport {
                kind,
                host: at.ip().to_string(),
                port: at.port(),
                up,
                exposed: true,
            };
            found.push(at(EndpointKind::ReadWrite, exposed));
            if replicas {
                found.push(at(EndpointKind::ReadOnly, reads_beside(exposed)));
            }
        }
        found.extend(spec.nodes.iter().filter(|n| n.kind == NodeKind::Data).map(|node| {
            let seen = live.observed.as_ref().and_then(|o| o.node(&node.id));
            let up = seen.map(|n| n.state == clusterdeck_domain::NodeState::Running);
            at(EndpointKind::Node, &node.machine, port, up)
        }));
        found
    }

    pub(crate) async fn set_settings(&self, settings: Settings) -> Result<()> {
        let wrong = |pointer: &str, what: &str| EngineError::Invalid {
            what: what.to_owned(),
            pointer: pointer.to_owned(),
        };
        if !["system", "light", "dark"].contains(&settings.theme.as_str()) {
            return Err(wrong("/theme", "the theme is `system`, `light` or `dark`"));
        }
        if let Some((pointer, what)) = settings.images.wrong() {
            return Err(wrong(&pointer, &what));
        }
        if settings.figures.max_observation_age_ms < 2_000 {
            return Err(wrong(
                "/figures/max_observation_age_ms",
                "the watcher looks every 2 s: 2000 ms is the least",
            ));
        }
        let value = serde_json::to_value(&settings).map_err(|e| wrong("", &e.to_string()))?;
        self.state.set_setting(SETTINGS, &value).await?;
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.events.send(Event::new(EventKind::SettingsChanged, Level::Info, "Settings changed"), self.now());
        Ok(())
    }

    /// A cluster with its machines (those that exist) and passwords at hand.
    pub(crate) async fn context(&self, id: &ClusterId) -> Result<ClusterContext> {
        let spec = self.live(id)?.spec;
        let provider = self.provider_of(&spec.provider)?;
        let mut machines = BTreeMap::new();
        for machine in spec.machines() {
            match provider.machine(machine).await {
                Ok(found) => {
                    machines.insert(machine.id.clone(), found);
                }
                Err(DriverError::Gone { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let secrets = crate::passwords::of(self, &spec).await?;
        Ok(ClusterContext { spec, machines, secrets })
    }

    /// What a size of a cluster's provider is.
    pub(crate) async fn size(&self, spec: &ClusterSpec, plan: &PlanId) -> Result<Plan> {
        let plans = self.provider_of(&spec.provider)?.plans(&spec.region).await?;
        let found = plans.into_iter().find(|p| p.id == *plan);
        found.ok_or_else(|| EngineError::NotFound { what: format!("plan {plan}") })
    }

    /// The same cluster, with the machine of a stopped node as large as its row says. A provider that lost its note of a
    /// machine finds it again with the size it was made with.
    pub(crate) async fn sized(&self, context: ClusterContext, node: &NodeId) -> Result<ClusterContext> {
        let meant = context.node(node)?;
        if context.machine(meant)?.plan().id == meant.plan {
            return Ok(context);
        }
        let plan = self.size(&context.spec, &meant.plan).await?;
        self.provider_of(&context.spec.provider)?.resize_machine(&meant.machine, &plan).await?;
        self.context(&context.spec.id).await
    }

    /// Changes a cluster's row: reads it, lets `edit` say what it should be, keeps it with the next generation. Writes
    /// nothing when nothing differs, so that a repeated step is the same as one.
    pub(crate) async fn update_spec(
        &self,
        id: &ClusterId,
        edit: impl Fn(&mut ClusterSpec) + Send,
    ) -> Result<ClusterSpec> {
        let mut spec = self.live(id)?.spec;
        let before = spec.clone();
        edit(&mut spec);
        if spec != before {
            spec.generation = before.generation + 1;
            self.state.put_cluster(&spec).await?;
            if let Some(live) = self.lock_clusters().get_mut(id) {
                live.spec = spec.clone();
            }
            self.cluster_changed(&spec, "The cluster's settings changed");
        }
        Ok(spec)
    }

    pub(crate) fn cluster_changed(&self, spec: &ClusterSpec, text: &str) {
        let mut event = Event::new(EventKind::ClusterChanged, Level::Info, text);
        event.cluster_id = Some(spec.id.clone());
        event.cluster = Some(spec.name.to_string());
        self.events.send(event, self.now());
    }

    /// Adds to the audit trail. A failure to do so is logged, not passed on: what happened has happened.
    pub(crate) async fn audit(&self, entry: AuditEntry) {
        if let Err(error) = self.state.add_audit(&entry).await {
            tracing::error!(%error, action = %entry.action, "the audit trail could not be written");
        }
    }

    pub(crate) fn is_deleting(&self, id: &ClusterId) -> bool {
        self.lock_clusters().get(id).is_none_or(|live| live.spec.lifecycle == Lifecycle::Deleting)
    }
}
