//! What was seen of each cluster last, so that a window that opens has something to show, with its age.

use crate::{fault::Fault, migrate::Migration, table};
use clusterdeck_domain::{ClusterId, ClusterObserved};
use rusqlite::Connection;

pub(crate) const CREATE: Migration = Migration {
    version: 1,
    name: "observed",
    sql: "CREATE TABLE observed (cluster TEXT PRIMARY KEY, body TEXT NOT NULL, sum INTEGER NOT NULL) STRICT",
};

pub(super) fn put(
    connection: &Connection,
    cluster: &ClusterId,
    observed: &ClusterObserved,
) -> Result<(), Fault> {
    let body = table::to_text(observed)?;
    connection
        .prepare_cached(
            "INSERT INTO observed (cluster, body, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (cluster) DO UPDATE SET body = excluded.body, sum = excluded.sum",
        )?
        .execute((cluster.as_str(), &body, table::sum(&[&body])))?;
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<(ClusterId, ClusterObserved)>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT cluster, body, sum FROM observed ORDER BY cluster")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (cluster, body): (String, String) = (row.get(0)?, row.get(1)?);
        table::is_whole("an observation", &[&body], row.get(2)?)?;
        // A row of an older program may lack a member; it will be seen anew in two seconds.
        let (Ok(cluster), Ok(observed)) = (ClusterId::parse(&cluster), serde_json::from_str(&body)) else {
            continue;
        };
        found.push((cluster, observed));
    }
    Ok(found)
}

pub(super) fn forget(connection: &Connection, cluster: &ClusterId) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM observed WHERE cluster = ?1")?.execute([cluster.as_str()])?;
    Ok(())
}
