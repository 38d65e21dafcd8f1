//! `clusterdeck alert list`

use super::{more, query, word};
use crate::{
    args::AlertVerb,
    failure::Failure,
    output::{Table, age},
    session::Session,
};
use clusterdeck_api::wire::List;
use clusterdeck_domain::Alert;
use jiff::Timestamp;

pub(super) async fn run(session: &Session, verb: AlertVerb) -> Result<(), Failure> {
    let AlertVerb::List { cluster, open, paged } = verb;
    let only = if open { "&open=true" } else { "" };
    let answer = session.get(&format!("/v1/alerts{}{only}", query(&paged, cluster.as_ref()))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let alerts: List<Alert> = answer.read()?;
    if alerts.items.is_empty() {
        let what =
            if open { "Nothing is wrong that anybody would have to be told of." } else { "No alerts." };
        return session.output.line(what);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["state", "since", "met", "what is wrong", "why", "what to do"]);
    for alert in &alerts.items {
        let state =
            alert.resolved_at.map_or_else(|| word(&alert.severity), |at| format!("over {}", age(at, now)));
        table.row(vec![
            state,
            age(alert.raised_at, now),
            match alert.times {
                1 => "once".to_owned(),
                times => format!("{times} times, last {}", age(alert.last_seen_at, now)),
            },
            alert.title.clone(),
            alert.detail.clone(),
            if alert.open() { alert.hint.clone() } else { String::new() },
        ]);
    }
    session.output.table(&table)?;
    more(&session.output, alerts.next_cursor.as_ref());
    Ok(())
}
