//! Numbers as rows of MySQL and MariaDB.

use super::{ANSWER, Numbers, Result};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable as _};
use std::{collections::BTreeSet, time::Duration};
use tokio::{runtime::Runtime, time::timeout};

/// A write waits while the members of a group find out which of them is gone.
const WRITTEN: Duration = Duration::from_secs(5);

pub(super) struct Mysql {
    runtime: Runtime,
    // Gone before its runtime is.
    open: Option<Conn>,
}

/// What came of it, or that nobody answered in time.
async fn within<T>(limit: Duration, ask: impl Future<Output = mysql_async::Result<T>>) -> Result<T> {
    match timeout(limit, ask).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err("silent".to_owned()),
    }
}

/// One address for each server that it names.
fn each(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((before, rest)) = url.split_once('@') else { return whole() };
    let Some((hosts, after)) = rest.split_once('/').filter(|(hosts, _)| hosts.contains(',')) else {
        return whole();
    };
    hosts.split(',').map(|host| format!("{before}@{host}/{after}")).collect()
}

async fn open(url: &str) -> Result<Conn> {
    let options = Opts::from_url(url).map_err(|e| e.to_string())?;
    // Told here, so that they are not asked for: two questions less for each new connection.
    let options = OptsBuilder::from_opts(options)
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 20))
        .wait_timeout(Some(60));
    let mut open = within(ANSWER, Conn::new(options)).await?;
    // Refused where it is read-only, even when the table is there.
    let table = "CREATE TABLE IF NOT EXISTS w (n BIGINT UNSIGNED PRIMARY KEY) ENGINE=InnoDB";
    within(WRITTEN, open.query_drop(table)).await?;
    Ok(open)
}

impl Mysql {
    /// Connects to the server of the address; where it names several (`mysql://user:word@a:1,b:1/base`), to the first that
    /// takes writes.
    pub(super) fn connect(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let mut refused = "no address".to_owned();
        for url in each(url) {
            match runtime.block_on(open(&url)) {
                Ok(open) => return Ok(Self { runtime, open: Some(open) }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
    fn open(&mut self) -> Result<(&Runtime, &mut Conn)> {
        Ok((&self.runtime, self.open.as_mut().ok_or("closed")?))
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        // Letting go of a connection that somebody may have cut says goodbye in the background; nobody waits for that.
        let open = self.open.take();
        self.runtime.block_on(async { drop(open) });
    }
}

impl Numbers for Mysql {
    fn all(&mut self) -> Result<Vec<u64>> {
        let (runtime, open) = self.open()?;
        runtime.block_on(within(10 * ANSWER, open.query("SELECT n FROM w ORDER BY n")))
    }
    fn say(&mut self, sql: &str) -> Result<()> {
        let (runtime, open) = self.open()?;
        runtime.block_on(within(30 * ANSWER, open.query_drop(sql)))
    }
    fn put(&mut self, number: u64) -> Result<()> {
        let (runtime, open) = self.open()?;
        let put = open.query_drop(format!("INSERT IGNORE INTO w VALUES ({number})"));
        runtime.block_on(within(WRITTEN, put))
    }
    fn lacks(&mut self, numbers: &[u64]) -> Result<Vec<u64>> {
        let (runtime, open) = self.open()?;
        let there: Vec<u64> = runtime.block_on(within(10 * ANSWER, open.query("SELECT n FROM w")))?;
        let there: BTreeSet<u64> = there.into_iter().collect();
        Ok(numbers.iter().filter(|n| !there.contains(n)).copied().collect())
    }
}
