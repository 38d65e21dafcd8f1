//! The units of a node: its server, and what answers role checks for it.

use super::{accounts, config, flavour};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result, UnitSpec};
use std::time::Duration;

/// The server.
pub(crate) const UNIT: &str = "mysql";
/// What answers role checks.
pub(crate) const HEALTH_UNIT: &str = "mysql-health";
const SERVE: &str = "mysql/serve.sh";
const HEALTH: &str = "mysql/health.pl";
const SERVE_TEXT: &str = include_str!("serve.sh");
const HEALTH_TEXT: &str = include_str!("health.pl");
/// A server that is asked to end writes what it has in memory first.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// Starts a server.
pub(crate) async fn start_server(machine: &dyn Machine, software: &flavour::Software) -> Result<()> {
    machine.write(SERVE, SERVE_TEXT.as_bytes(), 0o600).await?;
    machine.start(&server_unit(machine, software, UNIT, "serve")).await
}

/// The unit of a server, or of finding out how far it had come.
pub(crate) fn server_unit(
    machine: &dyn Machine,
    software: &flavour::Software,
    name: &str,
    what: &str,
) -> UnitSpec {
    let text = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let args = vec![
        text(SERVE),
        what.to_owned(),
        text(config::FOLDER),
        software.server.to_string_lossy().into_owned(),
        machine.address().to_string(),
        machine.port(config::COPY_PORT).to_string(),
        config::redo_log_bytes(machine).to_string(),
    ];
    UnitSpec {
        name: name.to_owned(),
        program: "/bin/bash".into(),
        args,
        memory_bytes: Some(machine.plan().memory_bytes),
        stop_grace: STOP_GRACE,
        restart: name == UNIT,
        // Nobody takes over by itself, so there is nobody to wait for.
        restart_not_before: Duration::ZERO,
        unprivileged: true,
    }
}

/// Starts what answers role checks, or leaves it alone.
pub(crate) async fn start_health(cx: &ClusterContext, machine: &dyn Machine) -> Result<()> {
    if machine.state(HEALTH_UNIT).await?.is_running() {
        return Ok(());
    }
    let software = flavour::software(&cx.spec, machine).await?;
    let found = machine.software("mariadb").await?.into_iter().next();
    let client = found.ok_or_else(|| {
        DriverError::rejected(
            format!("the client of MariaDB is not installed on the machine at {}", machine.address()),
            "install mariadb-client, then try again",
        )
    })?;
    write_watch_conf(cx, machine).await?;
    machine.write(HEALTH, HEALTH_TEXT.as_bytes(), 0o600).await?;
    let args = vec![
        machine.path(HEALTH).to_string_lossy().into_owned(),
        machine.address().to_string(),
        machine.port(config::HEALTH_PORT).to_string(),
        client.path.to_string_lossy().into_owned(),
        machine.path(config::WATCH_CONF).to_string_lossy().into_owned(),
    ];
    machine
        .start(&UnitSpec {
            name: HEALTH_UNIT.to_owned(),
            program: software.perl,
            args,
            memory_bytes: None,
            stop_grace: Duration::from_secs(2),
            restart: true,
            restart_not_before: Duration::ZERO,
            unprivileged: true,
        })
        .await
}

/// A unit works in the folder of its machine, so the socket's path is short.
pub(crate) async fn write_watch_conf(cx: &ClusterContext, machine: &dyn Machine) -> Result<()> {
    let conf = config::client_conf(cx, accounts::WATCH, "mysql/s.sock")?;
    machine.write(config::WATCH_CONF, conf.as_bytes(), 0o600).await
}
