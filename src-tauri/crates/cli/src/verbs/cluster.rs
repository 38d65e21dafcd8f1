//! `clusterdeck cluster …`

use super::{more, query, word};
use crate::{
    answer::piece,
    args::{ClusterVerb, Create, OptionSwitches, Switch},
    change,
    failure::Failure,
    output::{Table, age, facts, or_unknown},
    session::Session,
};
use clusterdeck_api::wire::{Cluster, Credentials, Endpoint, List};
use clusterdeck_api::{Code, Problem};
use clusterdeck_domain::{NodeKind, Parameter};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) async fn run(session: &Session, verb: ClusterVerb) -> Result<(), Failure> {
    let (change, confirming) = match verb {
        ClusterVerb::List(paged) => return list(session, &query(&paged, None)).await,
        ClusterVerb::Show { name } => return show(session, &name).await,
        ClusterVerb::Credentials { name, reveal, url } => {
            return credentials(session, &name, reveal || url, url).await;
        }
        ClusterVerb::Allow(allow) => return super::access::allow(session, &allow).await,
        ClusterVerb::Expose(expose) => return super::access::expose(session, &expose).await,
        ClusterVerb::Endpoints { name } => return endpoints(session, &name).await,
        ClusterVerb::Parameters { name, set, reset, grep, confirming } => {
            if set.is_empty() && reset.is_empty() {
                return parameters(session, &name, grep.as_deref().unwrap_or_default()).await;
            }
            let wish = parameter_wish(&set, &reset)?;
            (json!({"kind": "set-parameters", "cluster": name, "parameters": wish}), confirming)
        }
        ClusterVerb::Create(create) => (creation(&create), create.confirming),
        ClusterVerb::Delete { name, discard_backups, confirming } => (
            json!({"kind": "delete-cluster", "cluster": name, "discard_backups": discard_backups}),
            confirming,
        ),
        ClusterVerb::Clone(wish) => {
            let change = json!({
                "kind": "clone-cluster",
                "cluster": wish.name,
                "name": wish.new_name,
                "topology": wish.topology,
                "nodes": wish.nodes,
                "provider": wish.provider,
                "region": wish.region,
                "plan": wish.plan,
            });
            (change, wish.confirming)
        }
        ClusterVerb::Recover { name, confirming } => {
            return super::backup::recover(session, &name, &confirming).await;
        }
        ClusterVerb::Resync { name, confirming } => {
            (json!({"kind": "resync-cluster", "cluster": name}), confirming)
        }
        ClusterVerb::Resize { name, plan, confirming } => {
            (json!({"kind": "resize-cluster", "cluster": name, "plan": plan}), confirming)
        }
        ClusterVerb::Upgrade { name, to, confirming } => {
            (json!({"kind": "upgrade-cluster", "cluster": name, "version": to}), confirming)
        }
        ClusterVerb::Protect { name, to, confirming } => {
            (json!({"kind": "set-protection", "cluster": name, "enabled": to.is_on()}), confirming)
        }
        ClusterVerb::Failover { name, to, confirming } => {
            (json!({"kind": "set-auto-failover", "cluster": name, "enabled": to.is_on()}), confirming)
        }
        ClusterVerb::Options { name, switches, confirming } => {
            (json!({"kind": "set-options", "cluster": name, "options": options(&switches)}), confirming)
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

/// What was not typed is left as it is.
fn options(typed: &OptionSwitches) -> Value {
    json!({
        "stop_writes_without_replica": typed.stop_writes_without_replica.map(Switch::is_on),
        "synchronous": typed.synchronous.map(Switch::is_on),
    })
}

/// The change as it was typed: whether it makes sense is for the API to say.
fn creation(create: &Create) -> Value {
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
        "auto_failover": create.auto_failover.map(Switch::is_on),
        "options": options(&create.switches),
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
            format!("{} {}", cluster.service_name, cluster.version),
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
    match endpoint.host.contains(':') {
        true => format!("[{}]:{}", endpoint.host, endpoint.port),
        false => format!("{}:{}", endpoint.host, endpoint.port),
    }
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
        ("Service", format!("{} {}, {}{shards}", cluster.service_name, cluster.version, cluster.topology)),
        ("State", format!("{}, {}", word(&cluster.state), word(&cluster.health))),
        ("Busy", cluster.busy.map_or_else(String::new, |b| format!("{} ({})", b.title, b.operation_id))),
        ("Failover", readiness),
        ("Votes", votes),
        (
            "Access",
            match cluster.allowlist.len() {
                0 => "open to every address".to_owned(),
                1 => "1 entry may come in".to_owned(),
                n => format!("{n} entries may come in"),
            },
        ),
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
    let mut table = Table::new(&["kind", "address", "other computers", "passes traffic"]);
    for endpoint in &endpoints.items {
        let up = endpoint.up.map_or("unknown", |up| if up { "yes" } else { "no" });
        let from = if endpoint.exposed { "come in" } else { "" };
        table.row(vec![word(&endpoint.kind), place(endpoint), from.to_owned(), up.to_owned()]);
    }
    session.output.table(&table)
}

/// `NAME=VALUE` and names as the API wants them.
fn parameter_wish(set: &[String], reset: &[String]) -> Result<Value, Failure> {
    let mut wish = serde_json::Map::new();
    for text in set {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            let title = format!("`{text}` is not NAME=VALUE, for example --set work_mem=64MB");
            Failure::from(Problem::new(Code::Invalid, title))
        })?;
        wish.insert(name.trim().to_owned(), json!(value.trim()));
    }
    wish.extend(reset.iter().map(|name| (name.clone(), Value::Null)));
    Ok(wish.into())
}

async fn parameters(session: &Session, name: &str, part: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}/parameters", piece(name))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let all: List<Parameter> = answer.read()?;
    if all.items.is_empty() {
        return session.output.line("Nothing can be set in the servers of this cluster here.");
    }
    let mut table = Table::new(&["parameter", "value", "set to", "restart", "what"]);
    let fits = |p: &&Parameter| p.name.contains(part) || p.about.contains(part) || p.group.contains(part);
    for parameter in all.items.iter().filter(fits) {
        table.row(vec![
            parameter.name.clone(),
            parameter.value.clone(),
            match (&parameter.chosen, &parameter.fixed) {
                (Some(chosen), _) => chosen.clone(),
                (None, Some(_)) => "(fixed)".to_owned(),
                (None, None) => String::new(),
            },
            if parameter.restart { "yes".to_owned() } else { String::new() },
            parameter.fixed.clone().unwrap_or_else(|| parameter.about.clone()),
        ]);
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
