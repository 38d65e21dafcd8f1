//! The units of a node: its server, and what answers role checks for it.

use super::{
    accounts, config,
    flavour::{self, Flavour, Interpreter},
};
use crate::tls;
use clusterdeck_driver::{ClusterContext, Machine, Result, UnitSpec};
use std::{path::PathBuf, time::Duration};

/// The server.
pub(crate) const UNIT: &str = "mysql";
/// What answers role checks.
pub(crate) const HEALTH_UNIT: &str = "mysql-health";
/// A small script (9 MB) and one session of the client.
const HEALTH_MEMORY: u64 = 64 << 20;
const SERVE: &str = "mysql/serve.sh";
const HEALTH_PERL: (&str, &str) = ("mysql/health.pl", include_str!("health.pl"));
/// The same for Python.
const HEALTH_PYTHON: (&str, &str) = ("mysql/health.py", include_str!("health.py"));
const SERVE_TEXT: &str = include_str!("serve.sh");
const SERVE_GROUP_TEXT: &str = include_str!("group/serve.sh");
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
    script(machine, name, args)
}

/// Starts a server that is, or can be, a member of a group.
pub(crate) async fn start_group_server(machine: &dyn Machine, software: &flavour::Software) -> Result<()> {
    machine.write(SERVE, SERVE_GROUP_TEXT.as_bytes(), 0o600).await?;
    let text = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let args = vec![text(SERVE), text(config::FOLDER), software.server.to_string_lossy().into_owned()];
    machine.start(&script(machine, UNIT, args)).await
}

fn script(machine: &dyn Machine, name: &str, args: Vec<String>) -> UnitSpec {
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
    write_watch_conf(cx, machine).await?;
    let (program, before, (script, text)) = interpreted(&software.answers, machine);
    machine.write(script, text.as_bytes(), 0o600).await?;
    let mut args = before;
    args.extend([
        machine.path(script).to_string_lossy().into_owned(),
        machine.address().to_string(),
        machine.port(config::HEALTH_PORT).to_string(),
        software.client.to_string_lossy().into_owned(),
        machine.path(config::WATCH_CONF).to_string_lossy().into_owned(),
        if Flavour::of(&cx.spec.version) == Flavour::MySql { "group" } else { "mariadb" }.to_owned(),
    ]);
    machine
        .start(&UnitSpec {
            name: HEALTH_UNIT.to_owned(),
            program,
            args,
            memory_bytes: Some(HEALTH_MEMORY),
            stop_grace: Duration::from_secs(2),
            restart: true,
            restart_not_before: Duration::ZERO,
            unprivileged: true,
        })
        .await
}

/// What answers role checks: a program, what it is told before its script, and that script.
fn interpreted(
    answers: &Interpreter,
    machine: &dyn Machine,
) -> (PathBuf, Vec<String>, (&'static str, &'static str)) {
    match answers {
        Interpreter::Perl(path) => (path.clone(), Vec::new(), HEALTH_PERL),
        Interpreter::Python(path) => (path.clone(), Vec::new(), HEALTH_PYTHON),
        // It keeps notes of its own in a home, which a container's user may not have.
        Interpreter::Shell(path) => (
            PathBuf::from("/bin/bash"),
            vec![
                "-c".to_owned(),
                "MYSQLSH_USER_CONFIG_HOME=$0 exec \"$1\" --py --file \"${@:2}\"".to_owned(),
                machine.path("mysql/tmp").to_string_lossy().into_owned(),
                path.to_string_lossy().into_owned(),
            ],
            HEALTH_PYTHON,
        ),
    }
}

/// A unit works in the folder of its machine, so the socket's path is short. Where accounts open over TLS only, the client
/// comes that way.
pub(crate) async fn write_watch_conf(cx: &ClusterContext, machine: &dyn Machine) -> Result<()> {
    let mut conf = config::client_conf(cx, accounts::WATCH, "mysql/s.sock")?;
    if Flavour::of(&cx.spec.version) == Flavour::MySql {
        conf.push_str(&format!(
            "protocol=TCP\nhost={}\nport={}\nssl-mode=VERIFY_CA\nssl-ca={}\n",
            machine.address(),
            machine.port(config::PORT),
            machine.path(tls::CA_FILE).display()
        ));
    }
    machine.write(config::WATCH_CONF, conf.as_bytes(), 0o600).await
}
