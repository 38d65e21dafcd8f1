//! Making a server follow another one, now and whenever it starts.

use super::{
    accounts, config,
    sql::{ANSWER, As, Session, address},
    survey,
};
use crate::tls;
use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, Result};
use std::time::Duration;

/// Stopping waits for the statement that is being applied.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// `CHANGE MASTER …`, with the newest password of replication.
fn change_master(cx: &ClusterContext, node: &NodeSpec, primary: &NodeSpec) -> Result<Sensitive<String>> {
    let (host, port) = address(cx.machine(primary)?.as_ref());
    let ca = cx.machine(node)?.path(tls::CA_FILE);
    let (user, password) = (accounts::REPLICA, cx.secrets.newest(accounts::REPLICA)?);
    Ok(Sensitive::new(format!(
        "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', MASTER_PASSWORD='{}', \
         MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=2, MASTER_SSL=1, \
         MASTER_SSL_CA='{}', MASTER_SSL_VERIFY_SERVER_CERT=1",
        password.reveal(),
        ca.display().to_string().replace('\\', "\\\\").replace('\'', "\\'"),
    )))
}

/// A former primary follows from the last transaction it wrote itself; for a follower the two are the same.
const FROM_HERE: &str = "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos";

/// What a server does when it starts: one statement a line.
fn role(cx: &ClusterContext, node: &NodeSpec, primary: Option<&NodeSpec>) -> Result<Sensitive<String>> {
    Ok(match primary {
        None => Sensitive::new("STOP SLAVE;\nRESET SLAVE ALL;\n".to_owned()),
        Some(primary) => {
            let change = change_master(cx, node, primary)?;
            Sensitive::new(format!("{FROM_HERE};\n{};\nSTART SLAVE;\n", change.reveal()))
        }
    })
}

/// Writes what a server does when it starts: follow `primary`, or nobody.
pub(crate) async fn remember(cx: &ClusterContext, node: &NodeSpec, primary: Option<&NodeSpec>) -> Result<()> {
    let role = role(cx, node, primary)?;
    cx.machine(node)?.write(config::ROLE, role.reveal().as_bytes(), 0o600).await
}

/// Makes a running server follow `primary`, now and after a restart. One that does so already keeps its link, unless
/// `anew`: then it signs in again, with the newest password.
pub(crate) async fn follow(
    cx: &ClusterContext,
    node: &NodeSpec,
    primary: &NodeSpec,
    anew: bool,
) -> Result<()> {
    remember(cx, node, Some(primary)).await?;
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    let place = survey::place(&mut session).await?;
    let there = place.follows.as_ref().filter(|f| f.runs()).and_then(|f| survey::followed(cx, f));
    if there.as_ref() == Some(&primary.id) && !place.writable && !anew {
        return Ok(());
    }
    session.run("SET GLOBAL read_only = ON").await?;
    session.run_within("STOP SLAVE", STOPS_WITHIN).await?;
    session.run(FROM_HERE).await?;
    session.run(change_master(cx, node, primary)?.reveal()).await?;
    session.run("START SLAVE").await
}

/// Makes a running server that leads forget whom it followed.
pub(crate) async fn follow_nobody(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    remember(cx, node, None).await?;
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    if survey::place(&mut session).await?.follows.is_some() {
        session.run_within("STOP SLAVE", STOPS_WITHIN).await?;
        session.run("RESET SLAVE ALL").await?;
    }
    Ok(())
}
