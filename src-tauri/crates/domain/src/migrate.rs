//! Bringing the data of a server elsewhere into a cluster: where it is, what was found out about it, what came of it.

use crate::{CaCertificates, Sensitive};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How the way to a source is kept from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceTls {
    /// In the clear.
    #[default]
    Off,
    /// Encrypted; whoever answers is believed.
    Encrypt,
    /// Encrypted, and its certificate must be signed by an authority that was given, or else by one that this computer trusts.
    Verify,
}

/// Where the source is: `redis://user:password@host:port`, `postgres://…/database`, `mysql://…/database`. It is written and
/// printed without its password, which is all the more reason to pass it on as this and not as text.
#[derive(Clone, PartialEq)]
pub struct SourceUrl {
    /// What it speaks: `redis`, `postgres`, `mysql`.
    pub scheme: Scheme,
    /// As whom.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<Sensitive<String>>,
    /// Name or address of the server.
    pub host: String,
    /// Its port; `None` for the standard one.
    pub port: Option<u16>,
    /// Which database; `None` for all, or the only one.
    pub database: Option<String>,
    /// How the way is kept from others.
    pub tls: SourceTls,
    /// Who must have signed its certificate; `None` for whom this computer trusts. It comes beside the address, never in it.
    pub ca: Option<CaCertificates>,
}

/// What a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Redis, Valkey, KeyDB.
    Redis,
    /// PostgreSQL and what is loaded into it.
    Postgres,
    /// MySQL, MariaDB.
    Mysql,
}

impl Scheme {
    /// As an address begins.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
    /// The port where nobody names one.
    pub const fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::Postgres => 5432,
            Self::Mysql => 3306,
        }
    }
}

/// Why a text is no address of a source. Never holds the text: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSource(&'static str);

impl fmt::Display for BadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl std::error::Error for BadSource {}

/// `%41` is `A`.
fn decoded(text: &str) -> Result<String, BadSource> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.ok_or(BadSource("an address has two hexadecimal digits behind each %"))?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| BadSource("an address is UTF-8"))
}

/// The other way round, for everything that has a meaning in an address.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl SourceUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, without its words.
    pub fn parse(text: &str) -> Result<Self, BadSource> {
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or(BadSource("an address begins with redis://, postgres:// or mysql://"))?;
        let (scheme, mut tls) = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" | "keydb" => (Scheme::Redis, SourceTls::Off),
            "rediss" | "valkeys" => (Scheme::Redis, SourceTls::Verify),
            "postgres" | "postgresql" => (Scheme::Postgres, SourceTls::Off),
            "mysql" | "mariadb" => (Scheme::Mysql, SourceTls::Off),
            _ => return Err(BadSource("an address begins with redis://, postgres:// or mysql://")),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        for option in options.split('&').filter(|o| !o.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            tls = match (name, value.to_ascii_lowercase().replace('_', "-").as_str()) {
                ("tls" | "sslmode" | "ssl-mode" | "ssl", "off" | "disable" | "disabled" | "false") => {
                    SourceTls::Off
                }
                ("tls" | "sslmode" | "ssl-mode" | "ssl", "encrypt" | "require" | "required" | "true") => {
                    SourceTls::Encrypt
                }
                (
                    "tls" | "sslmode" | "ssl-mode",
                    "verify" | "verify-full" | "verify-ca" | "verify-identity",
                ) => SourceTls::Verify,
                _ => {
                    return Err(BadSource(
                        "of options an address has `tls=off`, `tls=encrypt` or `tls=verify`",
                    ));
                }
            };
        }
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The last one: a password may hold others.
        let (who, place) = place.rsplit_once('@').map_or((None, place), |(who, place)| (Some(who), place));
        let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            None => (None, None),
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
        };
        let (host, port) = match place.strip_prefix('[').map(|inner| inner.split_once(']')) {
            Some(Some((host, after))) => (host, after.strip_prefix(':')),
            Some(None) => return Err(BadSource("an IPv6 address ends with ]")),
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(named) {
            return Err(BadSource("an address names a host"));
        }
        let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n > 0);
        let port =
            port.map(|p| number(p).ok_or(BadSource("a port is a number from 1 to 65535"))).transpose()?;
        let database = decoded(path)?;
        if database.contains(|c: char| c.is_control() || c == '/') {
            return Err(BadSource("a database's name has no such character"));
        }
        let some = |text: &String| !text.is_empty();
        Ok(Self {
            scheme,
            user: user.filter(some),
            password: password.filter(some).map(Sensitive::new),
            host: host.to_owned(),
            port,
            database: Some(database).filter(some),
            tls,
            ca: None,
        })
    }
    /// The port, also where nobody named one.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.port())
    }
    /// `db.example.com:6379`.
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port())
        } else {
            format!("{}:{}", self.host, self.port())
        }
    }
}

/// Without the password.
impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.id())?;
        if let Some(user) = &self.user {
            write!(f, "{}@", encoded(user))?;
        }
        f.write_str(&self.place())?;
        if let Some(database) = &self.database {
            write!(f, "/{}", encoded(database))?;
        }
        match self.tls {
            SourceTls::Off => Ok(()),
            SourceTls::Encrypt => f.write_str("?tls=encrypt"),
            SourceTls::Verify => f.write_str("?tls=verify"),
        }
    }
}
impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl Serialize for SourceUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for SourceUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Sensitive::new(String::deserialize(from)?);
        Self::parse(text.reveal()).map_err(serde::de::Error::custom)
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sensitive<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()).map(Sensitive::new))
}

/// Bring the data of a server elsewhere in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MigrateIn {
    /// Into which cluster.
    pub cluster: String,
    /// From where: `redis://…`, `postgres://…/database`, `mysql://…/database`; `?tls=encrypt` or `?tls=verify` behind it. A password in
    /// it is kept in the keyring while the migration lasts, and nowhere else.
    #[schema(value_type = String)]
    pub from: SourceUrl,
    /// The password, where it is not in the address. It is taken and never shown.
    #[serde(default, skip_serializing, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Sensitive<String>>,
    /// Certificates of the authority that signs the source's own, as PEM, where this computer does not trust it. They are public. With
    /// them the source is always reached by TLS and verified, whatever its address says, and nobody else is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ca: Option<CaCertificates>,
    /// What the cluster has under the same names is replaced.
    #[serde(default)]
    pub replace: bool,
    /// Go on following the source until somebody says *cut over*; else that happens as soon as the cluster has everything.
    #[serde(default)]
    pub follow: bool,
}

impl MigrateIn {
    /// The address with the password, wherever it was given, and with whom to trust.
    pub fn source(&self) -> SourceUrl {
        let password = self.password.clone().or_else(|| self.from.password.clone());
        // Who names an authority wants it to count.
        let tls = if self.ca.is_some() { SourceTls::Verify } else { self.from.tls };
        SourceUrl { password, tls, ca: self.ca.clone(), ..self.from.clone() }
    }
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// All is well.
    Passed,
    /// It can be done, and somebody should know this first.
    Warning,
    /// It cannot be done like this.
    Failed,
    /// Not looked at, since another one failed.
    Skipped,
}

/// One thing that was looked at before a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// Stable name: `reachable`, `certificate`, `credentials`, `rights`, `version`, `extensions`, `character-sets`, `size`, `names`…
    pub id: String,
    /// In words: *The source answers*.
    pub title: String,
    /// What became of it.
    pub state: CheckState,
    /// What was found, in a sentence.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    /// A check with its result.
    pub fn new(id: &str, title: &str, state: CheckState, text: impl Into<String>) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), state, text: text.into(), hint: None }
    }
    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a source said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceReport {
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// What it is: `Redis 7.0.15`.
    pub server: Option<String>,
    /// Bytes of its data, as far as it says.
    pub bytes: Option<u64>,
    /// Things it holds: keys, rows.
    pub items: Option<u64>,
    /// The cluster holds nothing of its own.
    pub target_is_empty: bool,
    /// Something in the cluster has a name that something in the source has.
    pub clashes: bool,
    /// Clients may go on writing to the source meanwhile, and nothing of it is lost.
    pub online: bool,
    /// What is done, in sentences.
    pub how: Vec<String>,
    /// What is made at the source and taken away again, in a sentence; `None` where it is only read.
    pub makes: Option<String>,
}

/// Both sides of one part: a table, a range of slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Compared {
    /// Which: `shop.orders`, `slots 0 to 1023`.
    pub of: String,
    /// Things there, at the source.
    pub source: u64,
    /// Things there, in the cluster.
    pub target: u64,
    /// Their checksum at the source; empty where none was made.
    #[serde(default)]
    pub source_sum: String,
    /// Their checksum in the cluster.
    #[serde(default)]
    pub target_sum: String,
}

impl Compared {
    /// Both sides say the same.
    pub fn equal(&self) -> bool {
        self.source == self.target && self.source_sum == self.target_sum
    }
}

/// What came of a migration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Migrated {
    /// Things that were brought in: keys, rows.
    pub items: u64,
    /// Bytes of them, as they travelled.
    pub bytes: u64,
    /// From the moment up to which everything written to the source is in the cluster, until the cluster could be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<f64>,
    /// That moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub up_to: Option<jiff::Timestamp>,
    /// Both sides, part by part; at most some hundred.
    pub compared: Vec<Compared>,
    /// What differs, in sentences; empty when both sides are the same.
    pub differences: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// In what it is counted how far a cluster is behind its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BehindIn {
    /// Keys, transactions.
    #[default]
    Changes,
    /// Bytes of the source's log, those of what is not of these data included.
    LogBytes,
}

/// A migration that follows its source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Following {
    /// From where.
    pub from: String,
    /// What was written to the source and is not in the cluster yet; `None` while the first copy is made.
    pub behind: Option<u64>,
    /// In what that is counted.
    pub unit: BehindIn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_its_password_is_never_written() {
        let url = SourceUrl::parse("rediss://anna:p%40ss:w%2Frd@db.example.com:6380").unwrap();
        assert_eq!(url.password.as_ref().map(|p| p.reveal().as_str()), Some("p@ss:w/rd"));
        assert_eq!((url.user.as_deref(), url.port(), url.tls), (Some("anna"), 6380, SourceTls::Verify));
        assert_eq!(url.to_string(), "redis://anna@db.example.com:6380?tls=verify");
        let url = SourceUrl::parse("postgres://anna:x@[::1]/shop?sslmode=require").unwrap();
        assert_eq!((url.host.as_str(), url.port(), url.database.as_deref()), ("::1", 5432, Some("shop")));
        assert_eq!(url.tls, SourceTls::Encrypt);
        let again = SourceUrl::parse(&url.to_string()).unwrap();
        assert_eq!(again, SourceUrl { password: None, port: Some(5432), ..url.clone() });
        let written = serde_json::to_string(&url).unwrap() + &format!("{url:?}");
        assert!(!written.contains(":x@"), "{written}");
        assert_eq!(SourceUrl::parse("redis://:secret@h").unwrap().user, None);
        for bad in [
            "h:6379",
            "ftp://h",
            "redis://",
            "redis://u:hunter2@h:0",
            "redis://u:hunter2@h?x=1",
            "redis://u:hunter2@-h",
        ] {
            let error = SourceUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_written_of_a_change_holds_no_password() {
        let change =
            serde_json::json!({"cluster": "demo", "from": "redis://:hunter2@h", "password": "hunter3"});
        let wish: MigrateIn = serde_json::from_value(change).unwrap();
        assert_eq!(wish.source().password.as_ref().map(|p| p.reveal().as_str()), Some("hunter3"));
        let written = serde_json::to_string(&wish).unwrap() + &format!("{wish:?}");
        assert!(!written.contains("hunter"), "{written}");
        assert_eq!(
            serde_json::from_str::<MigrateIn>(&serde_json::to_string(&wish).unwrap()).unwrap().from.host,
            "h"
        );
    }
}
