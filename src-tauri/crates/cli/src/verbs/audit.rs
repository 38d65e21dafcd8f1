//! `clusterdeck audit list`

use super::{more, query};
use crate::{
    args::AuditVerb,
    failure::Failure,
    output::{Table, age},
    session::Session,
};
use clusterdeck_api::wire::List;
use clusterdeck_engine::repository::AuditEntry;
use jiff::Timestamp;

pub(super) async fn run(session: &Session, verb: AuditVerb) -> Result<(), Failure> {
    let AuditVerb::List { cluster, paged } = verb;
    let answer = session.get(&format!("/v1/audit{}", query(&paged, cluster.as_ref()))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let entries: List<AuditEntry> = answer.read()?;
    let mut table = Table::new(&["when", "who", "what", "cluster", "result", "text"]);
    for entry in &entries.items {
        table.row(vec![
            age(entry.at, Timestamp::now()),
            entry.actor.clone(),
            entry.action.clone(),
            entry.node.clone().or_else(|| entry.cluster.clone()).unwrap_or_default(),
            entry.result.clone(),
            entry.text.clone(),
        ]);
    }
    session.output.table(&table)?;
    more(&session.output, entries.next_cursor.as_ref());
    Ok(())
}
