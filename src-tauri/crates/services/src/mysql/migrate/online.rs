//! A copy that is followed: everything as of one moment, then the source's binary log from the place at which that was. After a kill
//! it goes on where the copy stands whole, and else begins anew.

use super::{
    PLACE, compare, copied, follow,
    follow::Follower,
    source::{Place, Source},
    writer,
};
use crate::mysql::sql::Session;
use clusterdeck_domain::Migrated;
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Migration, Passage, Progress, Result};
use std::time::Instant;

pub(super) async fn bring_in(
    cx: &ClusterContext,
    migration: &Migration,
    (mut source, mut session, names): (Source, Session, Vec<String>),
    passage: &Passage,
    progress: &Progress,
) -> Result<Migrated> {
    let from = migration.from.to_string();
    let machine = cx.machine(writer(cx).await?)?;
    let mut bytes = 0;
    let place = match follow::stands(&mut session, &mut source, &from).await? {
        Some(place) => {
            passage.log(format!("The copy stands whole: it goes on from there, {place}"));
            place
        }
        None => {
            let begun = Instant::now();
            let all = (&mut source, &mut session, names.as_slice());
            bytes = copied(cx, all, migration, (passage, progress)).await?;
            let place = noted(machine.as_ref()).await?;
            follow::begin(&mut session, &from, &place).await?;
            machine.remove(PLACE).await?;
            passage.log(format!("Copied in {:.1} s", begun.elapsed().as_secs_f64()));
            place
        }
    };
    let mut follower = Follower::new(cx, migration, source, &names, place).await?;
    follower.follow(passage, progress).await?;

    let (up_to, begun) = (jiff::Timestamp::now(), Instant::now());
    follower.until_all(passage, progress).await?;
    let gap = begun.elapsed();
    passage.log(format!(
        "Cut over: the cluster had everything written up to {up_to} after {:.1} ms, in {} commits",
        gap.as_secs_f64() * 1e3,
        follower.applied()
    ));
    let mut report =
        Migrated { bytes, gap_ms: Some(gap.as_secs_f64() * 1e3), up_to: Some(up_to), ..Migrated::default() };
    compare::judge(&mut follower, &names, (passage, progress), &mut report).await?;
    report.items = report.compared.iter().map(|part| part.target).sum();
    drop(follower);
    follow::forget(&mut session).await?;
    Ok(report)
}

/// The place in the log at which the copy was, as the program that made it wrote down.
async fn noted(machine: &dyn Machine) -> Result<Place> {
    let noted = machine.read(PLACE).await?;
    let noted = String::from_utf8_lossy(&noted);
    let between = |from: &str, to: &str| Some(noted.split_once(from)?.1.split_once(to)?.0.to_owned());
    let file = between("_LOG_FILE='", "'");
    let at = between("_LOG_POS=", ";").and_then(|digits| digits.trim().parse().ok());
    match (file, at) {
        (Some(file), Some(at)) => Ok(Place { file, at }),
        _ => Err(DriverError::rejected(
            "the copy did not say at which place of the source's log it was",
            "Look whether the program that dumps is of the cluster's maker and version.",
        )),
    }
}
