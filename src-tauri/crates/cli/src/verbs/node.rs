//! `clusterdeck node …`

use super::word;
use crate::{
    answer::piece,
    args::NodeVerb,
    change,
    failure::Failure,
    output::{Table, bytes, count, facts, lasting, percent},
    session::Session,
};
use clusterdeck_api::wire::{Credentials, List, Node};
use clusterdeck_domain::{METRICS, NodeKind, Unit};
use clusterdeck_engine::{ClientCommand, LogPage};
use futures::StreamExt;
use serde_json::json;
use std::process::Command;

pub(super) async fn run(session: &Session, verb: NodeVerb) -> Result<(), Failure> {
    let (change, confirming) = match verb {
        NodeVerb::List { cluster } => return list(session, &cluster).await,
        // Ends with a program in our place: see `shell`.
        NodeVerb::Shell { .. } => return Ok(()),
        NodeVerb::Metrics { node } => return metrics(session, &node).await,
        NodeVerb::Logs { node, follow, grep, unit, lines } => {
            let mut path = format!("/v1/nodes/{}/logs?lines={lines}", piece(&node));
            for (name, value) in [("grep", &grep), ("unit", &unit)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", piece(value)));
                }
            }
            return if follow { followed(session, &path).await } else { logs(session, &path).await };
        }
        NodeVerb::Add { cluster, count, plan, confirming } => {
            (json!({"kind": "add-node", "cluster": cluster, "count": count, "plan": plan}), confirming)
        }
        NodeVerb::Promote { node, confirming } => (json!({"kind": "promote-node", "node": node}), confirming),
        NodeVerb::Drain { node, off, confirming } => {
            let kind = if off { "undrain-node" } else { "drain-node" };
            (json!({"kind": kind, "node": node}), confirming)
        }
        NodeVerb::Reboot { node, confirming } => (json!({"kind": "reboot-node", "node": node}), confirming),
        NodeVerb::Remove { node, confirming } => (json!({"kind": "remove-node", "node": node}), confirming),
    };
    change::make(session, change, &confirming).await
}

/// The service's own client for a node, signed in. Who asked for the password stands in the audit trail.
pub(crate) async fn shell(session: &Session, node: &str, rest: &[String]) -> Result<Command, Failure> {
    let client: ClientCommand = session.get(&format!("/v1/nodes/{}/client", piece(node))).await?.read()?;
    let found: Node = session.get(&format!("/v1/nodes/{}", piece(node))).await?.read()?;
    let path = format!("/v1/clusters/{}/credentials?reveal=true", piece(found.cluster_id.as_str()));
    let credentials: Credentials = session.get(&path).await?.read()?;
    let mut command = Command::new(&client.program);
    command.args(&client.args).args(rest);
    command.env(&client.password_variable, credentials.password.unwrap_or_default());
    Ok(command)
}

/// Nodes as a table. What is not known is said so.
pub(super) fn table(nodes: &[Node]) -> Table {
    let mut table =
        Table::new(&["node", "role", "state", "health", "address", "plan", "lag", "memory", "note"]);
    for node in nodes {
        let role = node.role.map_or_else(|| word(&node.kind), |role| word(&role));
        let role = match (node.shard, node.kind) {
            (Some(shard), NodeKind::Data) => format!("{role} {shard}"),
            _ => role,
        };
        let lag = if node.follows.is_some() { lag(node) } else { String::new() };
        let address =
            node.port.map_or_else(|| node.address.to_string(), |port| format!("{}:{port}", node.address));
        table.row(vec![
            node.name.clone(),
            role,
            word(&node.state),
            word(&node.health),
            address,
            node.plan.to_string(),
            lag,
            node.metrics.memory_bytes.map_or_else(String::new, bytes),
            node.detail.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// How far behind a node is: in what it has to read, and in time where that is known.
#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn lag(node: &Node) -> String {
    let late = node.lag_ms.map(|ms| lasting(i64::try_from(ms).unwrap_or(i64::MAX)));
    match (node.lag_bytes.map(|lag| bytes(lag as f64)), late) {
        (Some(read), Some(late)) => format!("{read}, {late}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "unknown".to_owned(),
    }
}

async fn list(session: &Session, cluster: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}/nodes", piece(cluster))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    session.output.table(&table(&answer.read::<List<Node>>()?.items))
}

async fn metrics(session: &Session, node: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/nodes/{}", piece(node))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let node: Node = answer.read()?;
    let value = |metric: clusterdeck_domain::Metric| {
        let text = node.metrics.get(metric).map(|value| match metric.unit() {
            Unit::Percent => percent(value),
            Unit::Bytes => bytes(value),
            Unit::BytesPerSecond => format!("{}/s", bytes(value)),
            Unit::PerSecond => format!("{}/s", count(value)),
            Unit::Count => count(value),
        });
        (metric.title(), text.unwrap_or_else(|| "unknown".to_owned()))
    };
    session.output.line(&facts(&METRICS.map(value)))
}

async fn logs(session: &Session, path: &str) -> Result<(), Failure> {
    let answer = session.get(path).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    printed(session, &answer.read()?)
}

/// Prints what comes until somebody stops it, or the node is gone. A connection that breaks is taken up where it ended.
async fn followed(session: &Session, path: &str) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let mut notices = session.stream(&format!("{path}&follow=true{after}")).await?;
        let mut heard = false;
        while let Some(notice) = notices.next().await {
            let notice = notice?;
            if notice.event != "lines" {
                continue;
            }
            heard = true;
            let page: LogPage =
                serde_json::from_str(&notice.data).map_err(|e| Failure::other(e.to_string()))?;
            after = format!("&after={}", page.next);
            if session.output.json() {
                session.output.line(&notice.data)?;
            } else {
                printed(session, &page)?;
            }
        }
        if !heard {
            // It ended before it said anything: whoever answered is going, or the node is. Ask again, not at full speed.
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
}

fn printed(session: &Session, page: &LogPage) -> Result<(), Failure> {
    for line in &page.lines {
        session.output.line(line)?;
    }
    Ok(())
}
