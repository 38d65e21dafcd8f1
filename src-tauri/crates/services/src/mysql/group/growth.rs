//! What a single node may hold that a group cannot: a group refuses every write to a table without a primary key, or of
//! another engine than InnoDB, so a single node that holds one does not become the first of a group. (The server could refuse
//! to make such tables, `sql_require_primary_key`; but then also temporary ones, which a group takes without a key.)

use super::super::{
    count::SYSTEM,
    sql::{ANSWER, As, Session, number, text},
};
use clusterdeck_domain::{Finding, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Result};

/// So many tables are named; the others are counted.
const NAMED: usize = 5;

/// Tables of people's that a group would refuse writes to: how many in all, and the first of them.
struct Unfit {
    count: u64,
    names: Vec<String>,
}

/// From a list of tables: those whose condition holds.
fn question(what: &str, condition: &str) -> String {
    format!(
        "SELECT {what} FROM information_schema.TABLES t LEFT JOIN information_schema.TABLE_CONSTRAINTS c \
         ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.CONSTRAINT_TYPE = 'PRIMARY KEY' \
         WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN ({SYSTEM}) AND {condition}"
    )
}

async fn unfit(session: &mut Session, condition: &str) -> Result<Unfit> {
    let count = number(&session.row(&question("COUNT(*)", condition)).await?, 0).unwrap_or(0);
    let named = question("CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME)", condition);
    let rows = session.rows(&format!("{named} ORDER BY 1 LIMIT {NAMED}")).await?;
    Ok(Unfit { count, names: rows.iter().filter_map(|row| text(row, 0)).collect() })
}

/// `app.log, app.note and 3 more`.
fn listed(unfit: &Unfit) -> String {
    let more = unfit.count.saturating_sub(unfit.names.len() as u64);
    let names = unfit.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

/// People's tables for which a condition holds, named; nothing when there is none.
pub(crate) async fn tables(session: &mut Session, condition: &str) -> Result<Option<String>> {
    let found = unfit(session, condition).await?;
    Ok((found.count > 0).then(|| listed(&found)))
}

/// What keeps a single node from becoming the first member of a group.
pub(crate) async fn growth_findings(cx: &ClusterContext) -> Result<Vec<Finding>> {
    match (cx.spec.topology, cx.spec.data_nodes().next()) {
        (Topology::Single, Some(node)) => unfit_tables(cx, node).await,
        _ => Ok(Vec::new()),
    }
}

async fn unfit_tables(cx: &ClusterContext, node: &NodeSpec) -> Result<Vec<Finding>> {
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    let mut found = Vec::new();
    let keyless = unfit(&mut session, "t.ENGINE = 'InnoDB' AND c.CONSTRAINT_NAME IS NULL").await?;
    if keyless.count > 0 {
        let text = format!("A group refuses writes to tables without a primary key: {}.", listed(&keyless));
        let hint = "Give each a primary key (`ALTER TABLE … ADD PRIMARY KEY …`), then add the nodes.";
        found.push(Finding::new("tables-without-key", text).at("/cluster").hint(hint));
    }
    let other = unfit(&mut session, "t.ENGINE <> 'InnoDB'").await?;
    if other.count > 0 {
        let text = format!("A group refuses writes to tables that are not InnoDB: {}.", listed(&other));
        let hint = "Convert each (`ALTER TABLE … ENGINE = InnoDB`, with a primary key), then add the nodes.";
        found.push(Finding::new("tables-not-innodb", text).at("/cluster").hint(hint));
    }
    Ok(found)
}

/// The same, asked again by whoever is about to begin a group with it.
pub(crate) async fn fits_a_group(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    match unfit_tables(cx, node).await?.into_iter().next() {
        None => Ok(()),
        Some(finding) => Err(DriverError::rejected(
            finding.text.trim_end_matches('.').to_owned(),
            finding.hint.unwrap_or_default(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_tables_are_named_and_the_others_counted() {
        let names = |n: usize| (0..n).map(|i| format!("app.t{i}")).collect();
        assert_eq!(listed(&Unfit { count: 2, names: names(2) }), "`app.t0`, `app.t1`");
        assert_eq!(listed(&Unfit { count: 9, names: names(2) }), "`app.t0`, `app.t1` and 7 more");
    }
}
