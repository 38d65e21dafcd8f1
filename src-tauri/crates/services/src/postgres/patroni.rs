//! Patroni: its configuration, what it says of the members, what it is asked to do. It decides who leads; nobody here does.

use super::{
    archive, config, etcd,
    flavour::{self, Software},
    http, tls,
};
use clusterdeck_domain::{NodeSpec, Parameters, Topology, replica_needed_for_writes};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result, UnitSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The unit: Patroni with PostgreSQL as its child, under a guard.
pub(crate) const UNIT: &str = "patroni";
pub(crate) const PROGRAM: &str = "patroni";
/// Its REST address.
pub(crate) const PORT: u16 = 8008;
const CONF: &str = "patroni/patroni.yml";
const GUARD: &str = "patroni/guard.py";
const LAUNCH: &str = "patroni/launch.py";
const PIPE: &str = "patroni/life";
const GUARD_TEXT: &str = include_str!("guard.py");
const LAUNCH_TEXT: &str = include_str!("launch.py");

/// The election's timings, in seconds. `loop_wait + 2·retry ≤ ttl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// A leader that has not renewed its lock for so long is replaced.
    pub(crate) ttl: u32,
    pub(crate) loop_wait: u32,
    pub(crate) retry: u32,
}

/// Measured here: a dead node costs 4.4–4.8 s, and with a retry of one second nobody ever leads.
const TIMING: Timing = Timing { ttl: 5, loop_wait: 1, retry: 2 };

impl Timing {
    /// As chosen, else as measured to be good.
    pub(crate) fn of(chosen: &Parameters) -> Self {
        let seconds = |name: &str, default| {
            chosen.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
        };
        Self {
            ttl: seconds("failover_ttl", TIMING.ttl),
            loop_wait: seconds("failover_loop_wait", TIMING.loop_wait),
            retry: seconds("failover_retry_timeout", TIMING.retry),
        }
    }
    /// As Patroni keeps them.
    pub(crate) fn shared(self) -> Value {
        json!({ "ttl": self.ttl, "loop_wait": self.loop_wait, "retry_timeout": self.retry })
    }
}

/// The guard ends PostgreSQL so long before the lock of a silent Patroni runs out.
const SAFETY_S: u32 = 1;
/// A replica further behind is not promoted by a failover.
const MAX_LAG_BYTES: u64 = 1 << 20;

/// For one answer; a switchover is answered when it is done.
const ANSWER: Duration = Duration::from_secs(20);
pub(crate) const GLANCE: Duration = Duration::from_millis(800);
/// PostgreSQL writes a checkpoint before it ends.
const STOP_GRACE: Duration = Duration::from_secs(60);
/// Patroni on other nodes replaces a dead leader within its time to live.
const FAILOVER_FIRST: Duration = Duration::from_secs(8);

fn at(machine: &dyn Machine, port: u16) -> String {
    format!("{}:{}", machine.address(), machine.port(port))
}

/// How the leader waits for its followers: what the options say, and nothing of it in a single node.
pub(crate) fn replication(cx: &ClusterContext) -> Value {
    json!({
        "synchronous_mode": cx.spec.topology != Topology::Single && cx.spec.options.synchronous,
        "synchronous_mode_strict": cx.spec.options.synchronous && replica_needed_for_writes(&cx.spec),
        "synchronous_node_count": 1,
    })
}

/// What all members keep in etcd and follow together.
fn shared(cx: &ClusterContext, machine: &dyn Machine) -> Value {
    let mut shared = json!({
        "maximum_lag_on_failover": MAX_LAG_BYTES,
        // A primary that crashed is replaced at once where somebody can; it comes back as a replica.
        "primary_start_timeout": 0,
        "master_start_timeout": 0,
        "check_timeline": true,
        // Without a majority of etcd the primary goes on while it reaches every member (measured: no gap instead of 9 s).
        "failsafe_mode": true,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": config::parameters(&cx.spec, machine.plan()),
        },
    });
    for part in [replication(cx), Timing::of(&cx.spec.parameters).shared()] {
        if let (Some(all), Value::Object(part)) = (shared.as_object_mut(), part) {
            all.extend(part);
        }
    }
    shared
}

/// What a node may be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Take the lead when there is none.
    pub(crate) may_lead: bool,
    /// Serve reads.
    pub(crate) serves: bool,
    /// Make the first data folder of the cluster: all others wait for that one and copy it.
    pub(crate) founds: bool,
}

impl Part {
    /// What a node in service does. Without automatic failover only the one that leads may lead: it takes its place again
    /// after a crash, and nobody else does.
    pub(crate) const fn of(cx: &ClusterContext, node: &NodeSpec, leads: bool) -> Self {
        Self {
            may_lead: !node.drained && (cx.spec.auto_failover || leads),
            serves: !node.drained,
            founds: false,
        }
    }

    /// What a node's configuration says; before it has one, what a replica does.
    pub(crate) async fn noted(cx: &ClusterContext, node: &NodeSpec) -> Self {
        let Ok(machine) = cx.machine(node) else { return Self::of(cx, node, false) };
        let noted =
            machine.read(CONF).await.ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let leads = noted.is_some_and(|conf| conf["tags"]["nofailover"] == false);
        Self::of(cx, node, leads)
    }
}

fn conf(
    cx: &ClusterContext,
    node: &NodeSpec,
    machine: &dyn Machine,
    software: &Software,
    part: Part,
) -> Result<Value> {
    let file = |path: &str| json!(machine.path(path));
    let voters = etcd::voters(cx).into_iter().filter_map(|v| cx.machine(v).ok());
    let account = |user: &str, secret: &str| -> Result<Value> {
        Ok(json!({
            "username": user,
            "password": cx.secrets.newest(secret)?.reveal(),
            "sslmode": "verify-full",
            "sslrootcert": file(tls::CA_FILE),
        }))
    };
    let mut conf = json!({
        "scope": cx.spec.name,
        "namespace": "/clusterdeck/",
        "name": node.name,
        "log": { "level": "INFO" },
        "restapi": {
            "listen": at(machine, PORT),
            "connect_address": at(machine, PORT),
            "certfile": file(tls::CERT_FILE),
            "keyfile": file(tls::KEY_FILE),
            "cafile": file(tls::CA_FILE),
            // Whoever has no certificate of the cluster may ask how it is, and change nothing.
            "verify_client": "optional",
        },
        "ctl": {
            "certfile": file(tls::CERT_FILE),
            "keyfile": file(tls::KEY_FILE),
            "cacert": file(tls::CA_FILE),
        },
        "etcd3": {
            "hosts": voters.map(|m| etcd::client_at(m.as_ref())).collect::<Vec<_>>(),
            "protocol": "https",
            "cacert": file(tls::CA_FILE),
            "cert": file(tls::CERT_FILE),
            "key": file(tls::KEY_FILE),
        },
        "postgresql": {
            "listen": at(machine, config::PORT),
            "connect_address": at(machine, config::PORT),
            "data_dir": file(config::DATA),
            "bin_dir": software.folder,
            "use_unix_socket": false,
            "pgpass": file("patroni/pgpass"),
            "authentication": {
                "superuser": account(config::OPERATOR, config::OPERATOR)?,
                "replication": account(config::REPLICA, config::REPLICA)?,
                "rewind": account(config::REWIND, config::REWIND)?,
            },
            "pg_hba": config::pg_hba(cx, machine),
            "parameters": config::local_parameters(cx, machine),
            "basebackup": [{ "checkpoint": "fast" }],
            "remove_data_directory_on_rewind_failure": true,
            "remove_data_directory_on_diverged_timelines": true,
        },
        "watchdog": {
            // Its interface to a device, here a pipe that the guard reads.
            "mode": "required",
            "driver": "testing",
            "device": file(PIPE),
            "safety_margin": SAFETY_S,
        },
        "tags": {
            "nofailover": !part.may_lead,
            "noloadbalance": !part.serves,
        },
    });
    // Without it Patroni makes no folder of its own and waits for somebody to copy.
    if part.founds {
        conf["bootstrap"] = json!({
            "dcs": shared(cx, machine),
            "initdb": [
                { "encoding": "UTF8" }, { "locale": "C.UTF-8" }, "data-checksums",
                { "auth-host": "scram-sha-256" }, { "auth-local": "scram-sha-256" },
            ],
        });
    }
    Ok(conf)
}

/// Writes a node's files; what a running Patroni reads of them it reads when asked to.
pub(crate) async fn write(cx: &ClusterContext, node: &NodeSpec, part: Part) -> Result<Software> {
    let machine = cx.machine(node)?.as_ref();
    let software = flavour::software(cx, machine).await?;
    tls::ensure(cx, &node.name, machine).await?;
    machine.create_dir(archive::WAITING).await?;
    machine.write(archive::SCRIPT, archive::SCRIPT_TEXT.as_bytes(), 0o600).await?;
    machine.write(GUARD, GUARD_TEXT.as_bytes(), 0o600).await?;
    machine.write(LAUNCH, LAUNCH_TEXT.as_bytes(), 0o600).await?;
    let conf = conf(cx, node, machine, &software, part)?.to_string();
    machine.write(CONF, conf.as_bytes(), 0o600).await?;
    Ok(software)
}

/// Writes a node's configuration and starts it.
pub(crate) async fn start(cx: &ClusterContext, node: &NodeSpec, part: Part) -> Result<()> {
    let machine = cx.machine(node)?;
    if machine.state(UNIT).await?.is_running() {
        return Ok(());
    }
    let software = write(cx, node, part).await?;
    let text = |path: &str| machine.path(path).to_string_lossy().into_owned();
    // Isolated: what a person set for their own Python is not for this one.
    let python = ["python3", "-I", "-S"].map(str::to_owned);
    let args = [text(GUARD), text(PIPE), text(config::DATA), software.patroni, text(LAUNCH), text(CONF)];
    machine
        .start(&UnitSpec {
            name: UNIT.to_owned(),
            program: "/usr/bin/env".into(),
            args: python.into_iter().chain(args).collect(),
            memory_bytes: Some(machine.plan().memory_bytes),
            stop_grace: STOP_GRACE,
            restart: true,
            restart_not_before: FAILOVER_FIRST,
            unprivileged: true,
        })
        .await
}

/// A member as `GET /cluster` shows it.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// `leader`, `replica`, `sync_standby`, `standby_leader`.
    pub(crate) role: String,
    /// `running`, `streaming`, `starting`, `stopped`, `crashed`, …
    pub(crate) state: String,
    pub(crate) timeline: Option<u64>,
}

/// The members as one of them sees them.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub(crate) struct Members {
    #[serde(default)]
    pub(crate) members: Vec<Member>,
    #[serde(default)]
    pub(crate) pause: bool,
}

impl Members {
    /// The name of the node that leads.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.members.iter().find(|m| m.role == "leader" && m.state == "running").map(|m| m.name.as_str())
    }
}

/// Somebody who may ask any Patroni of the cluster.
pub(crate) struct Client {
    http: reqwest::Client,
    at: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn new(cx: &ClusterContext) -> Result<Self> {
        Self::within(cx, ANSWER)
    }
    pub(crate) fn within(cx: &ClusterContext, limit: Duration) -> Result<Self> {
        let nodes = cx.spec.data_nodes().filter_map(|n| Some((n, cx.machine(n).ok()?)));
        Ok(Self {
            http: http::client(cx, limit)?,
            at: nodes.map(|(n, m)| (n.name.clone(), format!("https://{}", m.reach(PORT)))).collect(),
        })
    }

    /// Asks the members one after the other, `first` before the others, until one answers.
    async fn any(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
        first: Option<&str>,
    ) -> Result<String> {
        let mut last = DriverError::transient("no Patroni answers");
        let (preferred, others): (Vec<_>, Vec<_>) =
            self.at.iter().partition(|(name, _)| Some(name.as_str()) == first);
        for (name, at) in preferred.into_iter().chain(others) {
            match self.one(method.clone(), name, &format!("{at}{path}"), body).await {
                Err(e) if e.is_transient() => last = e,
                answer => return answer,
            }
        }
        Err(last)
    }

    async fn one(
        &self,
        method: reqwest::Method,
        name: &str,
        url: &str,
        body: Option<&Value>,
    ) -> Result<String> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let silent = |e: reqwest::Error| {
            let how = if e.is_timeout() { "does not answer in time" } else { "does not answer" };
            DriverError::transient(format!("Patroni of {name} {how}"))
        };
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        // A busy one may begin in time and not end.
        let said = answer.text().await.map_err(silent)?;
        match status.as_u16() {
            200..300 => Ok(said),
            // 409, 412 and 503 pass by themselves: somebody is at it, or there is no leader now.
            409 | 412 | 500..600 => Err(DriverError::transient(format!("Patroni of {name} says: {said}"))),
            _ => Err(DriverError::rejected(
                format!("Patroni of {name} refuses ({status}): {said}"),
                "the log of its unit says more",
            )),
        }
    }

    fn url(&self, name: &str) -> Result<&str> {
        let found = self.at.iter().find(|(n, _)| n == name).map(|(_, at)| at.as_str());
        found.ok_or_else(|| DriverError::Gone { what: format!("node {name}") })
    }

    /// The members, as the first that answers sees them.
    pub(crate) async fn members(&self) -> Result<Members> {
        let text = self.any(reqwest::Method::GET, "/cluster", None, None).await?;
        serde_json::from_str(&text).map_err(|_| DriverError::broken("Patroni gave no readable answer"))
    }

    /// What a node's Patroni says of its own server.
    pub(crate) async fn status(&self, name: &str) -> Result<Value> {
        let url = format!("{}/patroni", self.url(name)?);
        let text = self.one(reqwest::Method::GET, name, &url, None).await?;
        serde_json::from_str(&text).map_err(|_| DriverError::broken("Patroni gave no readable answer"))
    }

    /// Where the timelines ended from which the leader's came: each with the place in the log.
    pub(crate) async fn history(&self) -> Result<Vec<(u64, u64)>> {
        let text = self.any(reqwest::Method::GET, "/history", None, None).await?;
        let lines: Vec<Vec<Value>> = serde_json::from_str(&text)
            .map_err(|_| DriverError::broken("Patroni gave no readable answer"))?;
        Ok(lines.iter().filter_map(|line| Some((line.first()?.as_u64()?, line.get(1)?.as_u64()?))).collect())
    }

    /// The first number of the version of a node's Patroni.
    pub(crate) async fn major_version(&self, node: &NodeSpec) -> Result<u32> {
        let status = self.status(&node.name).await?;
        let version = status["patroni"]["version"].as_str().unwrap_or_default();
        version.split('.').next().and_then(|major| major.parse().ok()).ok_or_else(|| {
            DriverError::transient(format!("Patroni of {} does not say which version it is", node.name))
        })
    }

    /// Hands the lead over in order.
    pub(crate) async fn switch_over(&self, leader: &str, candidate: &str) -> Result<()> {
        let body = json!({ "leader": leader, "candidate": candidate });
        self.any(reqwest::Method::POST, "/switchover", Some(&body), Some(leader)).await.map(drop)
    }

    /// Changes what all members follow.
    pub(crate) async fn patch(&self, change: &Value) -> Result<()> {
        self.any(reqwest::Method::PATCH, "/config", Some(change), None).await.map(drop)
    }

    /// Makes a node read its configuration again.
    pub(crate) async fn reload(&self, name: &str) -> Result<()> {
        let url = format!("{}/reload", self.url(name)?);
        self.one(reqwest::Method::POST, name, &url, None).await.map(drop)
    }

    /// Restarts PostgreSQL under its Patroni; answers when it serves again.
    pub(crate) async fn restart(&self, name: &str) -> Result<()> {
        let url = format!("{}/restart", self.url(name)?);
        self.one(reqwest::Method::POST, name, &url, Some(&json!({}))).await.map(drop)
    }
}
