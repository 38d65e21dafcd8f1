//! `clusterdeck cluster …`

use super::{more, query, word};
use crate::{
    answer::piece,
    args::{ClusterVerb, Create},
    change,
    failure::Failure,
    output::{Table, age, facts, or_unknown},
    session::Session,
};
use clusterdeck_api::wire::{Cluster, Credentials, Endpoint, List};
use clusterdeck_domain::NodeKind;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) async fn run(session: &Session, verb: ClusterVerb) -> Result<(), Failure> {
    let (change, confirming) = match verb {
        ClusterVerb::List(paged) => return list(session, &query(&paged, None)).await,
        ClusterVerb::Show { name } => return show(session, &name).await,
        ClusterVerb::Credentials { name, reveal, url } => {
            return credentials(session, &name, reveal || url, url).await;
        }
        ClusterVerb::Endpoints { name } => return endpoints(session, &name).await,
        ClusterVerb::Create(create) => (creation(&create), create.confirming),
        ClusterVerb::Delete { name, discard_backups, confirming } => (
            json!({"kind": "delete-cluster", "cluster": name, "discard_backups": discard_backups}),
            confirming,
        ),
        ClusterVerb::Resync { name, confirming } => {
            (json!({"kind": "resync-cluster", "cluster": name}), confirming)
        }
        ClusterVerb::Protect { name, to, confirming } => {
            (json!({"kind": "set-protection", "cluster": name, "enabled": to.is_on()}), confirming)
        }
        ClusterVerb::Failover { name, to, confirming } => {
            (json!({"kind": "set-auto-failover", "cluster": name, "enabled": to.is_on()}), confirming)
        }
        ClusterVerb::Options { name, stop_writes_without_replica: to, confirming } => {
            let options = json!({"stop_writes_without_replica": to.is_on()});
            (json!({"kind": "set-options", "cluster": name, "options": options}), confirming)
        }
        ClusterVerb::AddShard { name, confirming } => {
            (json!({"kind": "add-shard", "cluster": name}), confirming)
        }
        ClusterVerb::RemoveShard { name, shard, confirming } => {
            (json!({"kind": "remove-shard", "cluster": name, "shard": shard}), confirming)
        }
        ClusterVerb::Rotate { name, confirming } => {
            (json!({"kind": "rotate-credentials", "cluster": name}), confirming)
        }
    };
    change::make(session, change, &confirming).await
}

/// The change as it was typed: whether it makes sense is for the API to say.
fn creation(create: &Create) -> Value {
    let options =
        create.stop_writes_without_replica.map(|to| json!({"stop_writes_without_replica": to.is_on()}));
    json!({
        "kind": "create-cluster",
        "name": create.name,
        "service": create.service,
        "version": create.version,
        "topology": create.topology,
        "nodes": create.nodes,
        "shards": create.shards,
        "provider": create.provider,
        "region": create.region,
        "plan": create.plan,
        "protected": create.protected,
        "auto_failover": create.auto_failover.map(super::super::args::Switch::is_on),
        "options": options,
    })
}

async fn list(session: &Session, query: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters{query}")).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let clusters: List<Cluster> = answer.read()?;
    if clusters.items.is_empty() {
        return session
            .output
            .line("No clusters yet. `clusterdeck cluster create NAME --service redis` makes one.");
    }
    let mut table =
        Table::new(&["name", "service", "topology", "nodes", "state", "health", "endpoint", "seen"]);
    for cluster in &clusters.items {
        table.row(vec![
            cluster.name.to_string(),
            format!("{} {}", cluster.service, cluster.version),
            cluster.topology.to_string(),
            cluster.nodes.iter().filter(|n| n.kind == NodeKind::Data).count().to_string(),
            word(&cluster.state),
            word(&cluster.health),
            cluster.endpoints.first().map(place).unwrap_or_default(),
            cluster.observed_at.map_or_else(|| "never".to_owned(), |at| age(at, Timestamp::now())),
        ]);
    }
    session.output.table(&table)?;
    more(&session.output, clusters.next_cursor.as_ref());
    Ok(())
}

fn place(endpoint: &Endpoint) -> String {
    format!("{}:{}", endpoint.host, endpoint.port)
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}", piece(name))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let cluster: Cluster = answer.read()?;
    let failover = &cluster.auto_failover;
    let readiness = match (failover.enabled, failover.ready) {
        (false, _) if failover.reason.is_empty() => "off".to_owned(),
        (false, _) => format!("off: {}", failover.reason),
        (true, true) => "ready".to_owned(),
        (true, false) => format!("not ready: {}", failover.reason),
    };
    let shards = if cluster.shards > 0 { format!(", {} shards", cluster.shards) } else { String::new() };
    let votes = cluster
        .votes
        .map_or_else(String::new, |v| format!("{} of {}, {} needed", v.present, v.total, v.needed));
    session.output.line(&facts(&[
        ("Name", format!("{} ({})", cluster.name, cluster.id)),
        ("Service", format!("{} {}, {}{shards}", cluster.service, cluster.version, cluster.topology)),
        ("State", format!("{}, {}", word(&cluster.state), word(&cluster.health))),
        ("Busy", cluster.busy.map_or_else(String::new, |b| format!("{} ({})", b.title, b.operation_id))),
        ("Failover", readiness),
        ("Votes", votes),
        ("Protected", if cluster.protected { "yes" } else { "no" }.to_owned()),
        ("Place", format!("{}, {}, {}", cluster.provider, cluster.region, cluster.plan)),
        (
            "Endpoints",
            cluster
                .endpoints
                .iter()
                .filter(|e| word(&e.kind) != "node")
                .map(|e| format!("{} {}", word(&e.kind), place(e)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("Created", age(cluster.created_at, Timestamp::now())),
        ("Seen", or_unknown(cluster.observed_at, |at| age(at, Timestamp::now()))),
    ]))?;
    session.output.line("")?;
    session.output.table(&super::node::table(&cluster.nodes))
}

async fn endpoints(session: &Session, name: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}/endpoints", piece(name))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let endpoints: List<Endpoint> = answer.read()?;
    let mut table = Table::new(&["kind", "address", "passes traffic"]);
    for endpoint in &endpoints.items {
        let up = endpoint.up.map_or("unknown", |up| if up { "yes" } else { "no" });
        table.row(vec![word(&endpoint.kind), place(endpoint), up.to_owned()]);
    }
    session.output.table(&table)
}

async fn credentials(session: &Session, name: &str, reveal: bool, only_url: bool) -> Result<(), Failure> {
    let query = if reveal { "?reveal=true" } else { "" };
    let answer = session.get(&format!("/v1/clusters/{}/credentials{query}", piece(name))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let found: Credentials = answer.read()?;
    if only_url {
        return session.output.line(&found.url.unwrap_or_default());
    }
    session.output.line(&facts(&[
        ("User", found.username),
        ("Password", found.password.unwrap_or_else(|| "(hidden: --reveal shows it)".to_owned())),
        ("Address", found.url.unwrap_or_default()),
    ]))
}
