//! etcd: where the members agree on who leads. Three nodes carry it, five where there are so many, and it speaks to nobody
//! who has no certificate of the cluster.

use super::tls;
use crate::wait::{Look, until};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result, UnitSpec};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

/// The unit, and the program.
pub(crate) const UNIT: &str = "etcd";
pub(crate) const CLIENT_PORT: u16 = 2379;
pub(crate) const PEER_PORT: u16 = 2380;
/// It holds a few keys; one of etcd 3.5 was seen with 57 MB, and one that runs out of it would cost a vote.
const MEMORY: u64 = 192 << 20;
const CONF: &str = "etcd/etcd.yml";
const DATA: &str = "etcd/data";
/// Members beat ten times a second; one that is silent for a second is replaced as leader. On the same computer a tenth of
/// that would do, over a slow network it would not.
const HEARTBEAT_MS: u32 = 100;
const ELECTION_MS: u32 = 1000;
/// For one answer.
const ANSWER: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(800);
/// Three members that start together agree within half a second.
const AGREE_WITHIN: Duration = Duration::from_secs(20);

/// The nodes that carry etcd. A single node has one too, so that it can grow without being built anew.
pub(crate) fn voters(cx: &ClusterContext) -> Vec<&NodeSpec> {
    let voters = clusterdeck_domain::voters(&cx.spec);
    if voters.is_empty() { cx.spec.nodes.iter().take(1).collect() } else { voters }
}

fn peer_url(machine: &dyn Machine) -> String {
    format!("https://{}:{}", machine.address(), machine.port(PEER_PORT))
}

/// `address:port` of a machine's etcd.
pub(crate) fn client_at(machine: &dyn Machine) -> String {
    format!("{}:{}", machine.address(), machine.port(CLIENT_PORT))
}

fn conf(node: &NodeSpec, machine: &dyn Machine, members: &str, new: bool) -> String {
    let file = |path| json!(machine.path(path));
    let client = format!("https://{}", client_at(machine));
    let tls = json!({
        "cert-file": file(tls::CERT_FILE),
        "key-file": file(tls::KEY_FILE),
        "trusted-ca-file": file(tls::CA_FILE),
        "client-cert-auth": true,
    });
    // JSON is YAML.
    json!({
        "name": node.name,
        "data-dir": file(DATA),
        "listen-peer-urls": peer_url(machine),
        "listen-client-urls": client,
        "initial-advertise-peer-urls": peer_url(machine),
        "advertise-client-urls": client,
        "initial-cluster": members,
        "initial-cluster-state": if new { "new" } else { "existing" },
        "client-transport-security": tls,
        "peer-transport-security": tls,
        "heartbeat-interval": HEARTBEAT_MS,
        "election-timeout": ELECTION_MS,
        // Patroni and we speak JSON to it.
        "enable-grpc-gateway": true,
        "enable-v2": false,
        // A lock that is renewed each second makes a revision each second: they are dropped after an hour.
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "log-level": "warn",
        "logger": "zap",
        "log-outputs": ["stderr"],
    })
    .to_string()
}

/// Starts a voter of a cluster that is being made, or one that was stopped. A voter that comes to a running cluster is
/// announced first (see [`settle`]).
pub(crate) async fn start(cx: &ClusterContext, node: &NodeSpec, members: &str, new: bool) -> Result<()> {
    let machine = cx.machine(node)?;
    if machine.state(UNIT).await?.is_running() {
        return Ok(());
    }
    let program = machine.software(UNIT).await?.into_iter().next().ok_or_else(|| {
        DriverError::rejected(
            format!("etcd is not installed on the machine at {}", machine.address()),
            "install etcd, then try again",
        )
    })?;
    tls::ensure(cx, &node.name, machine.as_ref()).await?;
    machine.create_dir(DATA).await?;
    machine.write(CONF, conf(node, machine.as_ref(), members, new).as_bytes(), 0o600).await?;
    machine
        .start(&UnitSpec {
            name: UNIT.to_owned(),
            program: program.path,
            args: vec!["--config-file".to_owned(), machine.path(CONF).to_string_lossy().into_owned()],
            memory_bytes: Some(MEMORY),
            // What it has agreed to is on disk; one whose peers are gone would wait for them.
            stop_grace: Duration::from_secs(1),
            restart: true,
            restart_not_before: Duration::ZERO,
            unprivileged: false,
        })
        .await
}

/// The members of a new cluster: `demo-1=https://…,demo-2=https://…`.
pub(crate) fn founders(cx: &ClusterContext) -> Result<String> {
    let named = voters(cx)
        .into_iter()
        .map(|node| Ok(format!("{}={}", node.name, peer_url(cx.machine(node)?.as_ref()))));
    Ok(named.collect::<Result<Vec<_>>>()?.join(","))
}

/// A member as etcd knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    id: String,
    /// Empty until it has started once.
    pub(crate) name: String,
    pub(crate) peer_url: String,
}

/// Somebody who may ask any of the voters.
pub(crate) struct Client {
    http: reqwest::Client,
    at: Vec<String>,
}

impl Client {
    pub(crate) fn new(cx: &ClusterContext) -> Result<Self> {
        let machines = voters(cx).into_iter().filter_map(|node| cx.machine(node).ok());
        Ok(Self {
            http: super::http::client(cx, ANSWER)?,
            at: machines.map(|m| m.reach(CLIENT_PORT).to_string()).collect(),
        })
    }

    /// Asks one voter after the other until one answers.
    async fn ask(&self, path: &str, question: &Value) -> Result<Value> {
        let mut last = DriverError::transient("the cluster has no etcd");
        for at in &self.at {
            let sent = self.http.post(format!("https://{at}/v3/{path}")).json(question).send().await;
            match sent {
                Ok(answer) if answer.status().is_success() => {
                    return answer
                        .json()
                        .await
                        .map_err(|_| DriverError::broken("etcd gave no readable answer"));
                }
                Ok(answer) => {
                    let status = answer.status();
                    let said: Value = answer.json().await.unwrap_or_default();
                    let why = said["message"].as_str().or(said["error"].as_str()).unwrap_or_default();
                    // 14: no leader; 4: too slow to agree. Others may answer, or the same one in a moment.
                    last = DriverError::transient(format!("etcd at {at} answers {status}: {why}"));
                }
                Err(_) => last = DriverError::transient(format!("etcd at {at} does not answer")),
            }
        }
        Err(last)
    }

    /// Everybody who has a vote.
    pub(crate) async fn members(&self) -> Result<Vec<Member>> {
        let answer = self.ask("cluster/member/list", &json!({})).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let members = answer["members"].as_array().cloned().unwrap_or_default();
        Ok(members
            .iter()
            .map(|m| Member { id: text(&m["ID"]), name: text(&m["name"]), peer_url: text(&m["peerURLs"][0]) })
            .collect())
    }

    async fn add(&self, peer_url: &str) -> Result<()> {
        self.ask("cluster/member/add", &json!({ "peerURLs": [peer_url] })).await.map(drop)
    }

    async fn remove(&self, member: &Member) -> Result<()> {
        self.ask("cluster/member/remove", &json!({ "ID": member.id })).await.map(drop)
    }
}

/// How many voters answer and know a leader.
pub(crate) async fn present(cx: &ClusterContext) -> usize {
    let Ok(http) = super::http::client(cx, GLANCE) else { return 0 };
    let asked = voters(cx).into_iter().filter_map(|node| cx.machine(node).ok()).map(|machine| {
        let (http, at) = (&http, machine.reach(CLIENT_PORT));
        async move {
            let answer = http.get(format!("https://{at}/health")).send().await.ok()?;
            let said: Value = answer.json().await.ok()?;
            (said["health"] == "true").then_some(())
        }
    });
    join_all(asked).await.into_iter().flatten().count()
}

/// Makes the members of the running etcd those that the spec wants, one change at a time: a majority stays whatever
/// happens in between.
pub(crate) async fn settle(cx: &ClusterContext) -> Result<()> {
    let client = Client::new(cx)?;
    let wanted = voters(cx);
    loop {
        let members = until!(AGREE_WITHIN, async { client.members().await.map(Look::Done) })?;
        let is = |member: &Member, node: &NodeSpec| {
            cx.machine(node).is_ok_and(|machine| member.peer_url == peer_url(machine.as_ref()))
        };
        // First those that are gone: a dead member counts for the majority.
        if let Some(gone) = members.iter().find(|m| !wanted.iter().any(|node| is(m, node))) {
            until!(AGREE_WITHIN, async { client.remove(gone).await.map(Look::Done) })?;
            continue;
        }
        let Some(new) = wanted.iter().find(|node| !members.iter().any(|m| is(m, node))) else { break };
        let machine = cx.machine(new)?;
        // What it knew as a member of old is worthless, and keeps it from joining.
        machine.stop(UNIT).await?;
        machine.remove("etcd").await?;
        until!(AGREE_WITHIN, async { client.add(&peer_url(machine.as_ref())).await.map(Look::Done) })?;
        // Two members need both to agree on a third, so each runs before the next is announced.
        start(cx, new, &named(cx, &client.members().await?), false).await?;
        until!(AGREE_WITHIN, async { client.members().await.map(Look::Done) })?;
    }
    let list = named(cx, &client.members().await?);
    for node in &wanted {
        start(cx, node, &list, false).await?;
    }
    for node in cx.spec.nodes.iter().filter(|n| wanted.iter().all(|w| w.id != n.id)) {
        if let Ok(machine) = cx.machine(node) {
            machine.stop(UNIT).await?;
            machine.remove("etcd").await?;
        }
    }
    until!(AGREE_WITHIN, async {
        let present = present(cx).await;
        Ok(if present > wanted.len() / 2 && (present == wanted.len() || !all_there(cx, &wanted)) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{present} of {} etcd members answer", wanted.len()))
        })
    })
}

/// The members as a new one is told of them: `demo-1=https://…,demo-2=https://…`.
fn named(cx: &ClusterContext, members: &[Member]) -> String {
    let voters = voters(cx);
    let named = members.iter().map(|m| {
        let node = voters
            .iter()
            .find(|node| cx.machine(node).is_ok_and(|machine| m.peer_url == peer_url(machine.as_ref())));
        format!("{}={}", node.map_or(m.name.as_str(), |n| n.name.as_str()), m.peer_url)
    });
    named.collect::<Vec<_>>().join(",")
}

/// Whether every voter's machine can be reached; a missing one is no reason not to go on with a majority.
fn all_there(cx: &ClusterContext, voters: &[&NodeSpec]) -> bool {
    voters.iter().all(|node| cx.machine(node).is_ok())
}
