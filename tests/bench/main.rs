//! Measures the real programs and prints a table: ours beside the raw tool, medians of several runs in one sitting.
//!
//! Started by `cargo xtask bench`, which builds everything in release first. It is an *example* target because only those
//! (and tests) may use what the tests use, and because no test run starts them.

mod api;
mod copies;
mod family;
mod generated;
mod mariadb;
mod mariadb_raw;
mod migrate;
mod mysql;
mod mysql_raw;
mod ours;
mod patroni;
mod postgres;
mod raw;
mod table;
mod tree;
mod window;

use anyhow::Result;
use table::Table;

#[tokio::main]
async fn main() -> Result<()> {
    // The name of what to measure, or nothing for all.
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut table = Table::new(wanted);
    ours::measure(&mut table).await?;
    postgres::measure(&mut table).await?;
    mariadb::measure(&mut table).await?;
    mysql::measure(&mut table).await?;
    copies::measure(&mut table).await?;
    api::measure(&mut table).await?;
    migrate::measure(&mut table).await?;
    window::measure(&mut table).await?;
    table.print();
    Ok(())
}
