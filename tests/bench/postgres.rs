//! PostgreSQL clusters of ours beside Patroni as it comes.

use crate::family::{Aims, FAILS_OVER_WITHIN, Figures, Kind, RUNS, SMALL, keep, kill_node, lost};
use crate::ours::{Serve, WHILE, home, ms};
use crate::patroni::{self, Raw};
use crate::table::Table;
use anyhow::Result;
use clusterdeck_tests::client::Writer;

const KIND: Kind = Kind {
    service: "postgresql",
    topology: "primary-replica",
    promotes: true,
    fails_over: true,
    how: SMALL,
    kill: kill_node,
};

/// Creation, promotion and failover, ours and the raw tool's in turn.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("postgresql") {
        return Ok(());
    }
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        KIND.round(&serve, &home, &mut ours).await?;
        one_of_theirs(&mut theirs).await?;
    }
    let aims = Aims { create: "≤ 1.2 × raw", promote: "≤ 1000 ms", failover: "≤ 6000 ms" };
    KIND.tell(table, "PostgreSQL", &ours, &theirs, aims);
    Ok(())
}

async fn one_of_theirs(figures: &mut Figures) -> Result<()> {
    let (mut raw, took) = Raw::start().await?;
    keep("raw: create", &mut figures.create, ms(took));
    let writer = Writer::without_pause(patroni::url());
    tokio::time::sleep(2 * WHILE).await;
    raw.switch_over().await?;
    tokio::time::sleep(4 * WHILE).await;
    let written = writer.stop();
    keep("raw: promote", &mut figures.promote, ms(written.longest_gap));
    keep("raw: promote lost", &mut figures.promote_lost, lost(&patroni::url(), &written.acknowledged));

    raw.healthy().await?;
    let writer = Writer::without_pause(patroni::url());
    tokio::time::sleep(2 * WHILE).await;
    raw.kill_primary().await?;
    tokio::time::sleep(FAILS_OVER_WITHIN).await;
    keep("raw: failover", &mut figures.failover, ms(writer.stop().longest_gap));
    Ok(())
}
