//! Numbers as rows of PostgreSQL.

use super::{ANSWER, Numbers, Result};
use std::time::Duration;
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{Client, NoTls, types::ToSql};

/// A write waits while no synchronous replica is there; one that is not acknowledged by then is given up.
const WRITTEN: Duration = Duration::from_secs(5);

pub(super) struct Postgres {
    runtime: Runtime,
    client: Client,
}

fn said(e: &tokio_postgres::Error) -> String {
    e.as_db_error().map_or_else(|| e.to_string(), |e| format!("{} ({})", e.message(), e.code().code()))
}

impl Postgres {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let mut config: tokio_postgres::Config = url.parse().map_err(|e: tokio_postgres::Error| said(&e))?;
        config.connect_timeout(ANSWER);
        let client = runtime.block_on(async {
            let connected = timeout(ANSWER, config.connect(NoTls)).await.map_err(|_| "silent".to_owned())?;
            let (client, connection) = connected.map_err(|e| said(&e))?;
            tokio::spawn(connection);
            let table = client.batch_execute("CREATE TABLE IF NOT EXISTS w (n int8 PRIMARY KEY)");
            match timeout(WRITTEN, table).await {
                Ok(made) => made.map(|()| client).map_err(|e| said(&e)),
                Err(_) => Err("silent".to_owned()),
            }
        })?;
        Ok(Self { runtime, client })
    }
}

impl Numbers for Postgres {
    fn all(&mut self) -> Result<Vec<u64>> {
        self.runtime.block_on(async {
            let asked = timeout(10 * ANSWER, self.client.query("SELECT n FROM w ORDER BY n", &[])).await;
            let rows = asked.map_err(|_| "silent".to_owned())?.map_err(|e| said(&e))?;
            Ok(rows.iter().filter_map(|row| u64::try_from(row.get::<_, i64>(0)).ok()).collect())
        })
    }
    fn say(&mut self, sql: &str) -> Result<()> {
        self.runtime.block_on(async {
            let done = timeout(30 * ANSWER, self.client.batch_execute(sql)).await;
            done.map_err(|_| "silent".to_owned())?.map_err(|e| said(&e))
        })
    }
    fn put(&mut self, number: u64) -> Result<()> {
        let number = i64::try_from(number).map_err(|e| e.to_string())?;
        self.runtime.block_on(async {
            let row: [&(dyn ToSql + Sync); 1] = [&number];
            let put = self.client.execute("INSERT INTO w VALUES ($1) ON CONFLICT DO NOTHING", &row);
            match timeout(WRITTEN, put).await {
                Ok(put) => put.map(drop).map_err(|e| said(&e)),
                Err(_) => Err("silent".to_owned()),
            }
        })
    }
    fn lacks(&mut self, numbers: &[u64]) -> Result<Vec<u64>> {
        let numbers: Vec<i64> = numbers.iter().filter_map(|n| i64::try_from(*n).ok()).collect();
        self.runtime.block_on(async {
            let ask = "SELECT n FROM unnest($1::int8[]) n WHERE NOT EXISTS (SELECT 1 FROM w WHERE w.n = n.n)";
            match timeout(10 * ANSWER, self.client.query(ask, &[&numbers])).await {
                Ok(rows) => {
                    let rows = rows.map_err(|e| said(&e))?;
                    Ok(rows.iter().filter_map(|row| u64::try_from(row.get::<_, i64>(0)).ok()).collect())
                }
                Err(_) => Err("silent".to_owned()),
            }
        })
    }
}
