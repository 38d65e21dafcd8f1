//! MariaDB clusters of ours beside a script that does what its manual says, by GTID and by Galera.

use crate::family::{Aims, FAILS_OVER_WITHIN, Figures, Kind, RUNS, SMALL, keep, kill_node, lost};
use crate::mariadb_raw::{self, Raw, Way};
use crate::ours::{Serve, WHILE, home, ms};
use crate::table::Table;
use anyhow::Result;
use clusterdeck_tests::client::Writer;

/// Nobody but us hands its writes over, and only when asked.
const BY_GTID: Kind = Kind {
    service: "mysql",
    topology: "primary-replica",
    promotes: true,
    fails_over: false,
    how: SMALL,
    kill: kill_node,
};
const BY_GALERA: Kind = Kind { topology: "multi-master", promotes: false, fails_over: true, ..BY_GTID };

/// Creation, promotion and failover, ours and the script's in turn.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("mariadb galera") {
        return Ok(());
    }
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        BY_GTID.round(&serve, &home, &mut ours).await?;
        by_gtid(&mut theirs).await?;
    }
    let aims = Aims { create: "≤ 1.2 × raw", promote: "≤ 1000 ms", failover: "" };
    BY_GTID.tell(table, "MariaDB, GTID", &ours, &theirs, aims);

    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        BY_GALERA.round(&serve, &home, &mut ours).await?;
        by_galera(&mut theirs).await?;
    }
    let aims = Aims { create: "≤ 1.2 × raw", promote: "", failover: "≤ 3000 ms" };
    BY_GALERA.tell(table, "MariaDB, Galera", &ours, &theirs, aims);
    Ok(())
}

async fn by_gtid(figures: &mut Figures) -> Result<()> {
    let (raw, took) = Raw::start(Way::Gtid).await?;
    keep("raw: create", &mut figures.create, ms(took));
    let url = mariadb_raw::url();
    let writer = Writer::without_pause(url.clone());
    tokio::time::sleep(2 * WHILE).await;
    raw.promote().await?;
    tokio::time::sleep(2 * WHILE).await;
    let written = writer.stop();
    keep("raw: promote", &mut figures.promote, ms(written.longest_gap));
    keep("raw: promote lost", &mut figures.promote_lost, lost(&url, &written.acknowledged));
    Ok(())
}

async fn by_galera(figures: &mut Figures) -> Result<()> {
    let (mut raw, took) = Raw::start(Way::Galera).await?;
    keep("raw: create", &mut figures.create, ms(took));
    let writer = Writer::without_pause(mariadb_raw::url());
    tokio::time::sleep(2 * WHILE).await;
    raw.kill_first()?;
    tokio::time::sleep(FAILS_OVER_WITHIN).await;
    keep("raw: failover", &mut figures.failover, ms(writer.stop().longest_gap));
    Ok(())
}
