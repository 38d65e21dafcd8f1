//! The first copy of a replica: a running server is copied by `mariadb-backup` and sent to the node that waits for it, over
//! TLS between their machines. Each end is a unit, so it goes on while nobody of us is there.

use super::{accounts, config};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result, UnitSpec};
use std::{path::PathBuf, time::Duration};

const SEND: &str = "mysql/send.sh";
const SEND_TEXT: &str = include_str!("send.sh");
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The unit on the sending machine, one for each node that receives.
fn unit(node: &NodeSpec) -> String {
    format!("mysql-send-{}", node.ordinal)
}

/// There when all of it was sent, on the sending machine.
fn sent(node: &NodeSpec) -> String {
    format!("mysql/tmp/sent-{}", node.name)
}

/// What copies a running server.
pub(crate) async fn program(machine: &dyn Machine) -> Result<PathBuf> {
    let found = machine.software("mariadb-backup").await?.into_iter().next();
    found.map(|found| found.path).ok_or_else(|| {
        DriverError::rejected(
            format!("mariadb-backup is not installed on the machine at {}", machine.address()),
            "install mariadb-backup, then try again",
        )
    })
}

/// Writes how it signs in, with the newest password.
pub(crate) async fn sign_in(cx: &ClusterContext, machine: &dyn Machine) -> Result<()> {
    let conf = config::client_conf(cx, accounts::COPY, "../s.sock")?;
    machine.write(config::COPY_CONF, conf.as_bytes(), 0o600).await
}

/// Sends a copy of `from` to `node`; nothing happens while it is being sent or has been sent.
pub(crate) async fn send(cx: &ClusterContext, from: &NodeSpec, node: &NodeSpec) -> Result<()> {
    let (machine, to) = (cx.machine(from)?, cx.machine(node)?);
    let name = unit(node);
    // Once it is sent the other side prepares it.
    if machine.state(&name).await?.is_running() || machine.exists(&sent(node)).await? {
        return Ok(());
    }
    machine.stop(&name).await?;
    let backup = program(machine.as_ref()).await?;
    machine.write(SEND, SEND_TEXT.as_bytes(), 0o600).await?;
    sign_in(cx, machine.as_ref()).await?;
    let text = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let mut args = vec![
        text(SEND),
        text(config::FOLDER),
        backup.to_string_lossy().into_owned(),
        to.address().to_string(),
        to.port(config::COPY_PORT).to_string(),
        node.name.clone(),
    ];
    if cx.spec.topology == Topology::MultiMaster {
        args.push("--galera-info".to_owned());
    }
    machine
        .start(&UnitSpec {
            name,
            program: "/bin/bash".into(),
            args,
            memory_bytes: None,
            stop_grace: STOP_GRACE,
            restart: false,
            restart_not_before: Duration::ZERO,
            unprivileged: true,
        })
        .await
}

/// Ends what is left of sending to `node`, wherever it was sent from.
pub(crate) async fn end(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    for machine in cx.spec.data_nodes().filter_map(|n| cx.machine(n).ok()) {
        machine.stop(&unit(node)).await?;
        machine.remove(&sent(node)).await?;
    }
    Ok(())
}
