//! A client of a server in a terminal, started in the container of its machine: this computer need not have the program.

use super::engines::Engine;
use clusterdeck_driver::ClientCommand;
use std::{env, path::Path};

/// `$1` the engine's own client, `$2` the way to the engine, `$3` the variable of the password, `$4` the container. The variable
/// is named without its value, which the engine's client takes from its environment: nobody reads it among the arguments. A
/// terminal is asked for only where there is one.
const ENTER: &str = r#"
t=; [ -t 0 ] && [ -t 1 ] && t=-t
engine="$1"; at="$2"; secret="$3"; box="$4"; shift 4
exec "$engine" "$at" exec -i $t -e "$secret" "$box" "$@"
"#;

impl Engine {
    /// The program that talks to it in a terminal.
    pub(super) const fn client(&self) -> &'static str {
        if self.podman { "podman" } else { "docker" }
    }

    /// The command that starts a client in a container; `None` where the engine's own client is not installed.
    pub(super) fn terminal(&self, container: &str, client: &ClientCommand) -> Option<ClientCommand> {
        let program = self.client();
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).find(|dir| dir.join(program).is_file())?;
        Some(enter(program, &self.socket, container, client))
    }
}

fn enter(engine: &str, socket: &Path, container: &str, client: &ClientCommand) -> ClientCommand {
    let option = if engine == "podman" { "--url" } else { "--host" };
    let at = format!("{option}=unix://{}", socket.display());
    let secret = client.password_variable.as_str();
    let own = ["-c", ENTER.trim(), "sh", engine, &at, secret, container, &client.program];
    let mut command = ClientCommand::new("/bin/sh", &own, secret);
    command.args.extend_from_slice(&client.args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_started_through_its_engine_with_the_password_named_and_not_told() {
        let client = ClientCommand::new("redis-cli", &["-h", "10.0.0.11"], "REDISCLI_AUTH");
        let command = enter("docker", Path::new("/var/run/docker.sock"), "clusterdeck-x", &client);
        let told =
            ["docker", "--host=unix:///var/run/docker.sock", "REDISCLI_AUTH", "clusterdeck-x", "redis-cli"];
        assert_eq!(command.args[3..8], told);
        assert_eq!(command.args[8..], ["-h", "10.0.0.11"]);
        assert_eq!(
            (command.program.as_str(), command.password_variable.as_str()),
            ("/bin/sh", "REDISCLI_AUTH")
        );
    }
}
