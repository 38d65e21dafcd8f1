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

/// A kind of tables that a group refuses writes to.
pub(crate) struct Refused {
    code: &'static str,
    /// Which of a list of tables they are.
    condition: &'static str,
    pub(crate) text: &'static str,
    pub(crate) remedy: &'static str,
}

pub(crate) const REFUSED: [Refused; 2] = [
    Refused {
        code: "tables-without-key",
        condition: "t.ENGINE = 'InnoDB' AND c.CONSTRAINT_NAME IS NULL",
        text: "A group refuses writes to tables without a primary key",
        remedy: "Give each a primary key (`ALTER TABLE … ADD PRIMARY KEY …`)",
    },
    Refused {
        code: "tables-not-innodb",
        condition: "t.ENGINE <> 'InnoDB'",
        text: "A group refuses writes to tables that are not InnoDB",
        remedy: "Convert each (`ALTER TABLE … ENGINE = InnoDB`, with a primary key)",
    },
];

/// The same of a group whose members all take writes.
pub(crate) const REFUSED_WHERE_ALL_WRITE: Refused = Refused {
    code: "tables-that-cascade",
    condition: "EXISTS (SELECT 1 FROM information_schema.REFERENTIAL_CONSTRAINTS r WHERE r.CONSTRAINT_SCHEMA = t.TABLE_SCHEMA \
         AND r.TABLE_NAME = t.TABLE_NAME AND (r.DELETE_RULE IN ('CASCADE', 'SET NULL') OR r.UPDATE_RULE IN ('CASCADE', 'SET NULL')))",
    text: "A group whose members all take writes refuses those to tables with foreign keys that cascade",
    remedy: "Let each say RESTRICT (`ALTER TABLE … DROP FOREIGN KEY …`, and `ADD` it without CASCADE and SET NULL)",
};

impl Refused {
    /// How a server is asked for those in some of its databases: how many there are, and the first of them by name.
    pub(crate) fn asked(&self, databases: &str) -> [String; 2] {
        asked(&format!("{} AND t.TABLE_SCHEMA IN ({databases})", self.condition))
    }
}

fn asked(condition: &str) -> [String; 2] {
    let of = |what: &str| {
        format!(
            "SELECT {what} FROM information_schema.TABLES t LEFT JOIN information_schema.TABLE_CONSTRAINTS c \
             ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.CONSTRAINT_TYPE = 'PRIMARY KEY' \
             WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN ({SYSTEM}) AND {condition}"
        )
    };
    let names = of("CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME)");
    [of("COUNT(*)"), format!("{names} ORDER BY 1 LIMIT {NAMED}")]
}

/// What was answered to that, as `app.log, app.note and 3 more`; nothing when there is none.
pub(crate) fn listed(count: u64, names: &[String]) -> Option<String> {
    let more = count.saturating_sub(names.len() as u64);
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let all = if more == 0 { names } else { format!("{names} and {more} more") };
    (count > 0).then_some(all)
}

/// People's tables for which a condition holds, named; nothing when there is none.
pub(crate) async fn tables(session: &mut Session, condition: &str) -> Result<Option<String>> {
    let [count, names] = asked(condition);
    let count = number(&session.row(&count).await?, 0).unwrap_or(0);
    let names: Vec<String> = session.rows(&names).await?.iter().filter_map(|row| text(row, 0)).collect();
    Ok(listed(count, &names))
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
    for Refused { code, condition, text, remedy } in &REFUSED {
        if let Some(names) = tables(&mut session, condition).await? {
            let finding = Finding::new(code, format!("{text}: {names}.")).at("/cluster");
            found.push(finding.hint(format!("{remedy}, then add the nodes.")));
        }
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
        let names = ["app.t0".to_owned(), "app.t1".to_owned()];
        assert_eq!(listed(2, &names).unwrap(), "`app.t0`, `app.t1`");
        assert_eq!(listed(9, &names).unwrap(), "`app.t0`, `app.t1` and 7 more");
        assert_eq!(listed(0, &[]), None);
    }
}
