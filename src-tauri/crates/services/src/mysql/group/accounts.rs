//! Who may sign in to a server of a group. The same names as beside MariaDB, each with a password of its own, checked by
//! `caching_sha2_password`; ours come over TLS. While passwords change an account has two (`RETAIN CURRENT PASSWORD`).

use super::super::{accounts::PEOPLE, sql::As};
use clusterdeck_domain::Sensitive;
use clusterdeck_driver::{Result, Secrets};

/// An account with its rights.
pub(crate) struct Account {
    pub(crate) who: As,
    grants: &'static [&'static str],
}

/// A member that catches up signs in as `replica`, also to copy everything. People get their own database, as everywhere.
pub(crate) const ACCOUNTS: [Account; 4] = [
    Account { who: As::People, grants: &["ALL PRIVILEGES ON `app`.*", "ALL PRIVILEGES ON `app\\_%`.*"] },
    Account { who: As::Operator, grants: &["ALL PRIVILEGES ON *.*"] },
    Account {
        who: As::Replica,
        grants: &["REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.*"],
    },
    Account {
        who: As::Watch,
        grants: &["PROCESS, REPLICATION CLIENT ON *.*", "SELECT ON `performance_schema`.*"],
    },
];

impl Account {
    pub(crate) fn name(&self) -> String {
        format!("`{}`@`%`", self.who.user())
    }
    /// `IDENTIFIED …`, with the newest password.
    fn identified(&self, secrets: &Secrets) -> Result<Sensitive<String>> {
        let password = secrets.newest(self.who.secret())?;
        let require = if self.who == As::People { "NONE" } else { "SSL" };
        // A password is hexadecimal, so nothing in it needs quoting.
        Ok(Sensitive::new(format!(
            "IDENTIFIED WITH caching_sha2_password BY '{}' REQUIRE {require}",
            password.reveal()
        )))
    }
    /// `GRANT …`, one a line.
    fn granted(&self) -> String {
        let pass_on = if self.who == As::Operator { " WITH GRANT OPTION" } else { "" };
        let one = |grant: &&str| format!("GRANT {grant} TO {}{pass_on};\n", self.name());
        self.grants.iter().map(one).collect()
    }
}

/// What a new data folder is given: our accounts, nobody else's, and the database of people. Nothing of it is in the binary
/// log, so that every member of a new group begins with the same and with no history.
pub(crate) fn first_statements(secrets: &Secrets) -> Result<Sensitive<String>> {
    let mut text = format!("SET sql_log_bin = 0;\nCREATE DATABASE `{PEOPLE}`;\n");
    for account in &ACCOUNTS {
        let (name, how) = (account.name(), account.identified(secrets)?);
        text.push_str(&format!("CREATE USER {name} {};\n{}", how.reveal(), account.granted()));
    }
    text.push_str("DROP USER IF EXISTS `root`@`localhost`;\n");
    Ok(Sensitive::new(text))
}

/// What a copy of another cluster's data is given before its server ends: our accounts as above, while those that people made
/// stay, and nothing of the group it was in. Where automatic failover was off, that one opened nobody by itself, and would not
/// open the first member of a new one either.
pub(crate) fn statements_for_a_copy(secrets: &Secrets) -> Result<Sensitive<String>> {
    let mut text = format!(
        "SET sql_log_bin = 0;\nRESET REPLICA ALL;\n\
         UPDATE mysql.replication_group_member_actions SET enabled = 1 \
         WHERE name = 'mysql_disable_super_read_only_if_primary';\n\
         CREATE DATABASE IF NOT EXISTS `{PEOPLE}`;\n"
    );
    for account in &ACCOUNTS {
        let (name, how) = (account.name(), account.identified(secrets)?);
        // A second password stays when the first one is changed.
        text.push_str(&format!(
            "CREATE USER IF NOT EXISTS {name} {how};\nALTER USER {name} {how};\n\
             ALTER USER {name} DISCARD OLD PASSWORD;\n{}",
            account.granted(),
            how = how.reveal()
        ));
    }
    text.push_str("SHUTDOWN;\n");
    Ok(Sensitive::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_gets_our_passwords_loses_those_it_had_and_its_server_ends() {
        let names = ["people", "operator", "replica", "watch"];
        let current = names.map(|name| (name.to_owned(), Sensitive::new(format!("{name}-new"))));
        let secrets = Secrets { current: current.into(), next: None };
        let text = statements_for_a_copy(&secrets).unwrap();
        let lines: Vec<&str> = text.reveal().lines().collect();
        // The server reads one statement a line.
        assert!(lines.iter().all(|line| line.ends_with(';')), "{lines:?}");
        for account in &ACCOUNTS {
            let (alter, discard) = (
                format!("ALTER USER {} IDENTIFIED", account.name()),
                format!("ALTER USER {} DISCARD OLD PASSWORD;", account.name()),
            );
            let at = |start: &str| lines.iter().position(|line| line.starts_with(start)).expect("a line");
            assert!(at(&alter) < at(&discard));
        }
        assert_eq!((lines[0], *lines.last().unwrap()), ("SET sql_log_bin = 0;", "SHUTDOWN;"));
    }
}
