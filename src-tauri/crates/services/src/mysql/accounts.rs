//! Who may sign in to a server. Every account has a password of its own, which the server only ever sees as a hash; ours
//! come over TLS or from the folder of the machine itself, and nobody comes in without a password.

use clusterdeck_domain::Sensitive;
use clusterdeck_driver::{Result, Secrets};
use sha1::{Digest as _, Sha1};

/// The account of people, and the database that is theirs.
pub(crate) const PEOPLE: &str = "app";
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const REPLICA: &str = "replica";
pub(crate) const WATCH: &str = "watch";
pub(crate) const COPY: &str = "copy";
/// The accounts that are not people's.
pub(crate) const OURS: [&str; 4] = [OPERATOR, REPLICA, WATCH, COPY];

/// How an account may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From anywhere, with TLS or without.
    Any,
    /// From anywhere with TLS.
    Tls,
    /// Through the socket in the machine's folder. Names are not resolved, so nobody who comes over TCP is `localhost`.
    Socket,
}

struct Account {
    user: &'static str,
    secret: &'static str,
    way: Way,
    grants: &'static [&'static str],
}

/// People get their own database and may make others whose names begin with `app_`: a right to make any would be a right
/// over the server's own tables too.
const ACCOUNTS: [Account; 6] = [
    Account {
        user: PEOPLE,
        secret: "people",
        way: Way::Any,
        grants: &["ALL PRIVILEGES ON `app`.*", "ALL PRIVILEGES ON `app\\_%`.*"],
    },
    Account { user: OPERATOR, secret: OPERATOR, way: Way::Tls, grants: &["ALL PRIVILEGES ON *.*"] },
    Account { user: REPLICA, secret: REPLICA, way: Way::Tls, grants: &["REPLICATION SLAVE ON *.*"] },
    Account {
        user: WATCH,
        secret: WATCH,
        way: Way::Tls,
        grants: &["PROCESS, BINLOG MONITOR, REPLICA MONITOR ON *.*"],
    },
    // The same one, as the role check comes in.
    Account { user: WATCH, secret: WATCH, way: Way::Socket, grants: &["USAGE ON *.*"] },
    Account {
        user: COPY,
        secret: COPY,
        way: Way::Socket,
        grants: &["RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.*"],
    },
];

impl Account {
    fn name(&self) -> String {
        let host = if self.way == Way::Socket { "localhost" } else { "%" };
        format!("`{}`@`{host}`", self.user)
    }
    /// `IDENTIFIED …`: any of these passwords opens. The server tries them one after the other (measured with its own
    /// client, a replica's link and two client libraries).
    fn identified(&self, passwords: &[&Sensitive<String>]) -> String {
        let one = |p: &&Sensitive<String>| format!("mysql_native_password USING '{}'", hash(p));
        let any: Vec<_> = passwords.iter().map(one).collect();
        format!("IDENTIFIED VIA {}", any.join(" OR "))
    }
    fn passwords<'a>(&self, secrets: &'a Secrets) -> Result<Vec<&'a Sensitive<String>>> {
        let current = secrets.get(self.secret)?;
        let next = secrets.next.as_ref().and_then(|next| next.get(self.secret));
        Ok([next, Some(current)].into_iter().flatten().collect())
    }
}

/// A password as the server keeps it.
fn hash(password: &Sensitive<String>) -> String {
    let twice = Sha1::digest(Sha1::digest(password.reveal().as_bytes()));
    format!("*{}", hex::encode_upper(twice))
}

/// What makes every account as it should be, one statement a line. Nothing happens to those that are; people's own
/// accounts are left alone.
pub(crate) fn statements(secrets: &Secrets) -> Result<Vec<Sensitive<String>>> {
    let mut all = Vec::new();
    for account in &ACCOUNTS {
        let (name, how) = (account.name(), account.identified(&account.passwords(secrets)?));
        let tls = if account.way == Way::Tls { " REQUIRE SSL" } else { " REQUIRE NONE" };
        all.push(Sensitive::new(format!("CREATE USER IF NOT EXISTS {name} {how}{tls}")));
        all.push(Sensitive::new(format!("ALTER USER {name} {how}{tls}")));
        for grant in account.grants {
            let pass_on = if account.user == OPERATOR { " WITH GRANT OPTION" } else { "" };
            all.push(Sensitive::new(format!("GRANT {grant} TO {name}{pass_on}")));
        }
    }
    Ok(all)
}

/// What a new data folder is given: our accounts, nobody else's, and the database of people.
pub(crate) fn first_statements(secrets: &Secrets) -> Result<Sensitive<String>> {
    // `mariadb.sys` is locked; views of the server belong to it. `root` without a password is what is taken away.
    let mut text = String::from(
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\nDELETE FROM mysql.proxies_priv;\n\
         DELETE FROM mysql.db;\nFLUSH PRIVILEGES;\n",
    );
    for statement in statements(secrets)? {
        text.push_str(statement.reveal());
        text.push_str(";\n");
    }
    text.push_str(&format!("CREATE DATABASE IF NOT EXISTS `{PEOPLE}`;\n"));
    Ok(Sensitive::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_password_is_hashed_as_the_server_does() {
        let known = Sensitive::new("secret".to_owned());
        assert_eq!(hash(&known), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }

    #[test]
    fn while_passwords_change_both_open_and_no_account_is_without_one() {
        let set = |text: &str| -> BTreeMap<_, _> {
            ["people", OPERATOR, REPLICA, WATCH, COPY]
                .into_iter()
                .map(|name| (name.to_owned(), Sensitive::new(format!("{name}-{text}"))))
                .collect()
        };
        let secrets = Secrets { current: set("old"), next: Some(set("new")) };
        let all = statements(&secrets).unwrap();
        let users = all.iter().filter(|s| s.reveal().contains(" USER "));
        for statement in users {
            let text = statement.reveal();
            assert_eq!(text.matches("mysql_native_password USING '*").count(), 2, "{text}");
            assert!(!text.contains("-old") && !text.contains("-new"), "never in clear: {text}");
        }
    }
}
