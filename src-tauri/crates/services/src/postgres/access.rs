//! From where people's roles may come in at the nodes themselves: `pg_hba`, and what is open from elsewhere.

use super::{
    config,
    patroni::{self, Client, Part},
    sql::{ANSWER, As, Session},
};
use crate::{
    tls,
    wait::{Look, until},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, Result};
use std::time::Duration;

/// Patroni writes the server's file the moment it is told to; a busy computer takes longer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);

/// Makes every server hold to the spec's list. One that does not run reads its file when it starts.
pub(crate) async fn apply(cx: &ClusterContext) -> Result<()> {
    let client = Client::new(cx)?;
    let mut running = Vec::new();
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        patroni::write(cx, node, Part::noted(cx, node).await).await?;
        if machine.state(patroni::UNIT).await?.is_running() {
            client.reload(&node.name).await?;
            running.push(node);
        }
    }
    for node in running {
        in_force(cx, node).await?;
        cut(cx, node).await?;
    }
    Ok(())
}

/// Lets every certificate name where other computers come in. A server that does not run reads its own when it starts.
pub(crate) async fn name_exposed(cx: &ClusterContext) -> Result<()> {
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        tls::ensure(cx, &node.name, machine.as_ref()).await?;
        if machine.state(patroni::UNIT).await?.is_running() {
            let session = Session::open(cx, node, As::Operator, ANSWER).await?;
            session.row("SELECT pg_reload_conf()", &[]).await?;
        }
    }
    Ok(())
}

/// The ranges of which `pg_hba.conf` should speak, as text with a prefix.
fn expected(cx: &ClusterContext, node: &NodeSpec) -> Result<Vec<String>> {
    if cx.spec.allowlist.is_empty() {
        return Ok(["0.0.0.0/0", "::/0"].map(str::to_owned).into());
    }
    let ranges = config::let_in(cx, cx.machine(node)?.as_ref());
    Ok(ranges.iter().map(|c| format!("{}/{}", c.first(), c.prefix())).collect())
}

/// Whether the file says so: the rules for people's roles, each as an address and a mask, are those and no others.
const FILE_SAYS: &str = "WITH wanted AS (SELECT host(x::inet) a, host(netmask(x::inet)) m FROM unnest($1::text[]) x), \
    there AS (SELECT address a, netmask m FROM pg_hba_file_rules WHERE type = 'host' AND database = '{all}' \
    AND user_name = '{all}' AND auth_method <> 'reject') \
    SELECT NOT EXISTS (TABLE wanted EXCEPT TABLE there) AND NOT EXISTS (TABLE there EXCEPT TABLE wanted)";

/// Waits until the server has read what Patroni wrote.
async fn in_force(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let expected = expected(cx, node)?;
    until!(WRITTEN_WITHIN, async {
        let session = Session::open(cx, node, As::Operator, ANSWER).await?;
        Ok(if session.row(FILE_SAYS, &[&expected]).await?.get::<_, bool>(0) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} has not been told yet who may come in", node.name))
        })
    })?;
    // Whether it was read since is not to be seen; so it is read once more, and the time of that is.
    let session = Session::open(cx, node, As::Operator, ANSWER).await?;
    let before: String = session.row("SELECT pg_conf_load_time()::text", &[]).await?.get(0);
    session.row("SELECT pg_reload_conf()", &[]).await?;
    until!(WRITTEN_WITHIN, async {
        let row = session.row("SELECT pg_conf_load_time() <> $1::text::timestamptz", &[&before]).await?;
        Ok(if row.get::<_, bool>(0) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} has not read yet who may come in", node.name))
        })
    })
}

/// Ends what people have open from elsewhere.
async fn cut(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    const OURS: [&str; 4] = [config::OPERATOR, config::WATCH, config::REWIND, config::REPLICA];
    if cx.spec.allowlist.is_empty() {
        return Ok(());
    }
    let session = Session::open(cx, node, As::Operator, ANSWER).await?;
    let rows = session
        .rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' \
             AND usename <> ALL ($1::text[]) AND client_addr IS NOT NULL \
             AND NOT EXISTS (SELECT FROM unnest($2::text[]) x WHERE client_addr <<= x::inet)",
            &[&OURS.as_slice(), &expected(cx, node)?],
        )
        .await?;
    if !rows.is_empty() {
        tracing::info!(node = %node.name, closed = rows.len(), "connections from addresses that are not in the list");
    }
    Ok(())
}
