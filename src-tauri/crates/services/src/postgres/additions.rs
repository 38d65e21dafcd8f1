//! What a node says of the extension that makes it the service it is. Asked seldom: nothing of it changes by itself.

use super::{
    flavour::{self, Addition},
    sql::{As, Session},
};
use clusterdeck_domain::{Fact, NodeId, NodeKind, NodeSpec};
use clusterdeck_driver::{ClusterContext, Result};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// For so long what was seen counts.
const FRESH: Duration = Duration::from_secs(30);
/// For all that is asked of one node.
const LIMIT: Duration = Duration::from_secs(1);
/// Nodes that are remembered.
const REMEMBERED: usize = 512;

/// What was seen of each node, and when.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<NodeId, (Instant, Vec<Fact>)>>);

impl Seen {
    /// What a node says, as last asked; nothing where the service is the server, or where it did not answer.
    pub(crate) async fn facts(&self, cx: &ClusterContext, node: &NodeSpec) -> Vec<Fact> {
        let Some(added) = flavour::addition(cx.spec.service) else { return Vec::new() };
        if node.kind == NodeKind::Witness || node.drained {
            return Vec::new();
        }
        if let Some((at, facts)) = self.known().get(&node.id)
            && at.elapsed() < FRESH
        {
            return facts.clone();
        }
        let Ok(Ok(told)) = timeout(LIMIT, ask(cx, node, added)).await else { return Vec::new() };
        let facts = told.facts(added);
        // Before a new cluster has the extension it would be missing for half a minute.
        if told.inside.is_some() {
            let mut known = self.known();
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
            if known.len() < REMEMBERED {
                known.insert(node.id.clone(), (Instant::now(), facts.clone()));
            }
        }
        facts
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, (Instant, Vec<Fact>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    server: String,
    /// The version that is installed on the machine.
    installed: Option<String>,
    /// The version that the database of people was made with or updated to.
    inside: Option<String>,
    edition: Option<String>,
    /// The database cannot be used: what it wants to load is not there any more.
    locked: bool,
}

async fn ask(cx: &ClusterContext, node: &NodeSpec, added: &Addition) -> Result<Told> {
    let session = Session::open(cx, node, As::Watch, LIMIT).await?;
    let row = session
        .row(
            "SELECT current_setting('server_version'), \
             (SELECT default_version FROM pg_available_extensions WHERE name = $1)",
            &[&added.name],
        )
        .await?;
    let server: String = row.get(0);
    let server = server.split_whitespace().next().unwrap_or_default().to_owned();
    let told = Told { server, installed: row.get(1), ..Told::default() };
    match inside(cx, node, added, As::WatchInside).await {
        Ok((inside, edition)) => Ok(Told { inside, edition, ..told }),
        Err(_) => {
            let (inside, _) = inside(cx, node, added, As::WatchUnloaded).await?;
            Ok(Told { locked: true, inside, ..told })
        }
    }
}

/// The version in the database of people, and the edition.
async fn inside(
    cx: &ClusterContext,
    node: &NodeSpec,
    added: &Addition,
    user: As,
) -> Result<(Option<String>, Option<String>)> {
    let session = Session::open(cx, node, user, LIMIT).await?;
    let row = session
        .row(
            "SELECT (SELECT extversion FROM pg_extension WHERE extname = $1), current_setting($2, true)",
            &[&added.name, &added.edition.unwrap_or("clusterdeck.none")],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

impl Told {
    fn facts(&self, added: &Addition) -> Vec<Fact> {
        let name = added.extension.name;
        let mut facts = vec![Fact::new("server", added.extension.carrier, self.server.as_str())];
        let version = match (&self.inside, &self.installed) {
            (Some(inside), _) => inside.clone(),
            (None, Some(installed)) => format!("{installed}, not in the database app"),
            (None, None) => "not installed".to_owned(),
        };
        facts.push(Fact::new("extension", name, version));
        if let (Some(inside), Some(installed)) = (&self.inside, &self.installed)
            && inside != installed
        {
            let means = if self.locked {
                "app cannot be used until then"
            } else {
                "app runs on with the older one until then"
            };
            facts.push(Fact::new(
                "extension-update",
                "Update due",
                format!(
                    "{installed} is installed and app has {inside}: run `ALTER EXTENSION {} UPDATE;` as the first command \
                     of a new session in app; {means}",
                    added.name
                ),
            ));
        } else if self.locked {
            facts.push(Fact::new(
                "extension-update",
                "Database app",
                format!("it cannot be used: the library of {name} cannot be loaded"),
            ));
        }
        if let Some(edition) = self.edition.as_deref().filter(|e| !e.is_empty()) {
            facts.push(Fact::new("edition", "Licence edition", edition));
        }
        if added.abandoned {
            facts.push(Fact::new("maintenance", "Maintenance", "its makers no longer maintain it"));
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::ServiceKind;

    fn told(inside: &str, installed: &str) -> Told {
        let text = |text: &str| Some(text.to_owned());
        Told {
            server: "17.11".to_owned(),
            inside: text(inside),
            installed: text(installed),
            ..Told::default()
        }
    }

    fn value(facts: &[Fact], id: &str) -> Option<String> {
        facts.iter().find(|f| f.id == id).map(|f| f.value.clone())
    }

    #[test]
    fn an_updated_package_is_told_with_the_command_that_follows_it() {
        let added = flavour::addition(ServiceKind::Timescaledb).unwrap();
        let same = Told { edition: Some("apache".to_owned()), ..told("2.19.3", "2.19.3") }.facts(added);
        assert_eq!(value(&same, "server").as_deref(), Some("17.11"));
        assert_eq!(value(&same, "extension").as_deref(), Some("2.19.3"));
        assert_eq!(value(&same, "edition").as_deref(), Some("apache"));
        assert_eq!(value(&same, "extension-update"), None);
        let older = value(&told("2.19.2", "2.19.3").facts(added), "extension-update").unwrap();
        assert!(older.contains("ALTER EXTENSION timescaledb UPDATE") && older.contains("runs on"), "{older}");
        let locked = Told { locked: true, ..told("2.19.2", "2.19.3") };
        assert!(value(&locked.facts(added), "extension-update").unwrap().contains("cannot be used"));
        assert!(older.contains("`ALTER EXTENSION timescaledb UPDATE;`"), "a command can be copied: {older}");
    }

    #[test]
    fn no_two_facts_of_a_node_have_one_name() {
        let added = flavour::addition(ServiceKind::Timescaledb).unwrap();
        let facts = Told { locked: true, ..told("2.19.3", "2.19.3") }.facts(added);
        let names: std::collections::BTreeSet<&str> = facts.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names.len(), facts.len(), "{facts:?}");
    }

    #[test]
    fn hydra_says_that_nobody_maintains_it() {
        let facts = told("11.1-12", "11.1-12").facts(flavour::addition(ServiceKind::Hydra).unwrap());
        assert_eq!(value(&facts, "extension").as_deref(), Some("11.1-12"));
        assert!(value(&facts, "maintenance").unwrap().contains("no longer"));
        assert_eq!(value(&facts, "edition"), None);
    }
}
