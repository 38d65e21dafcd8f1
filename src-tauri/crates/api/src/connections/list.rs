//! The list of connections, kept as one setting in state.db. Tokens are not in it: they lie in the keyring.

use crate::problem::{Code, Problem};
use clusterdeck_engine::{EngineError, repository::StateRepository};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The name of the engine of this computer.
pub const EMBEDDED: &str = "this-computer";
/// The setting's key.
const KEY: &str = "connections";
/// A list of this length is a mistake.
const MOST: usize = 100;

/// What kind of control plane it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// The engine of this computer.
    Embedded,
    /// A server that runs `clusterdeck serve`.
    Server,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// What kind.
    pub kind: ConnectionKind,
    /// Where it is; `null` for this computer.
    pub url: Option<String>,
    /// SHA-256 of the one certificate that is trusted there, when it is not one of a public authority.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Requests go there unless they say otherwise.
    pub current: bool,
    /// It answered when it was last asked; `null` when nobody asked.
    pub reachable: Option<bool>,
    /// When it last answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
}

/// Adds a connection.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub struct NewConnection {
    /// A short name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// `https://host:port`; plain `http` only to this computer itself.
    pub url: String,
    /// What `clusterdeck serve --show-token` printed there.
    pub token: String,
    /// The fingerprint that `clusterdeck serve` printed there, for a certificate it made itself.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// Chooses the current connection.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UseConnection {
    /// Which.
    pub name: String,
}

/// A server as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    current: String,
    servers: Vec<Server>,
}

impl Default for Row {
    fn default() -> Self {
        Self { current: EMBEDDED.to_owned(), servers: Vec::new() }
    }
}

/// The list, in memory and in state.db.
pub(crate) struct Known {
    state: Arc<dyn StateRepository>,
    row: Mutex<Row>,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Known {
    pub(crate) async fn open(state: Arc<dyn StateRepository>) -> Result<Self, Problem> {
        let row = match state.setting(KEY).await.map_err(EngineError::from)? {
            None => Row::default(),
            Some(kept) => serde_json::from_value(kept).map_err(|error| {
                Problem::new(Code::StoreBroken, format!("the list of connections cannot be read: {error}"))
                    .hint("`clusterdeck doctor` looks at the home.")
            })?,
        };
        Ok(Self { state, row: Mutex::new(row), turn: tokio::sync::Mutex::default() })
    }

    fn row(&self) -> Row {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The name of the current connection.
    pub(crate) fn current(&self) -> String {
        self.row().current
    }

    pub(crate) fn servers(&self) -> Vec<Server> {
        self.row().servers
    }

    /// The server with that name.
    pub(crate) fn server(&self, name: &str) -> Result<Server, Problem> {
        self.servers().into_iter().find(|s| s.name == name).ok_or_else(|| unknown(name))
    }

    /// The server of the named connection, or of the current one; `None` for this computer.
    pub(crate) fn chosen(&self, name: Option<&str>) -> Result<Option<Server>, Problem> {
        match name.map_or_else(|| self.current(), ToOwned::to_owned) {
            name if name == EMBEDDED => Ok(None),
            name => self.server(&name).map(Some),
        }
    }

    pub(crate) async fn add(&self, server: Server) -> Result<(), Problem> {
        self.change(|row| {
            if row.servers.iter().any(|s| s.name == server.name) || server.name == EMBEDDED {
                let taken = format!("there is a connection `{}` already", server.name);
                return Err(Problem::new(Code::Conflict, taken.clone()).field("/name", taken));
            }
            if row.servers.len() >= MOST {
                return Err(Problem::invalid("/name", format!("at most {MOST} connections")));
            }
            row.servers.push(server.clone());
            row.servers.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(())
        })
        .await
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), Problem> {
        self.change(|row| {
            let before = row.servers.len();
            row.servers.retain(|s| s.name != name);
            if row.current == name {
                row.current = EMBEDDED.to_owned();
            }
            if row.servers.len() == before { Err(unknown(name)) } else { Ok(()) }
        })
        .await
    }

    pub(crate) async fn choose(&self, name: &str) -> Result<(), Problem> {
        self.change(|row| {
            if name != EMBEDDED && !row.servers.iter().any(|s| s.name == name) {
                return Err(unknown(name));
            }
            row.current = name.to_owned();
            Ok(())
        })
        .await
    }

    async fn change(&self, edit: impl FnOnce(&mut Row) -> Result<(), Problem>) -> Result<(), Problem> {
        let _turn = self.turn.lock().await;
        let mut row = self.row();
        edit(&mut row)?;
        let value = serde_json::to_value(&row).map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
        self.state.set_setting(KEY, &value).await.map_err(EngineError::from)?;
        *self.row.lock().unwrap_or_else(PoisonError::into_inner) = row;
        Ok(())
    }
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(&format!("connection `{name}`"))
        .hint("`clusterdeck connection list` shows what there is.")
}

impl NewConnection {
    /// Checks what was typed and brings it into one form.
    ///
    /// # Errors
    /// `invalid` with the member that is wrong.
    pub(crate) fn checked(&self) -> Result<Server, Problem> {
        let named = (1..=40).contains(&self.name.len())
            && self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !named {
            return Err(Problem::invalid(
                "/name",
                "a connection's name has 1 to 40 letters, digits, `-`, `_` or `.`, and begins with one of the first two",
            ));
        }
        if !(8..=512).contains(&self.token.len()) || !self.token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::invalid(
                "/token",
                "that is not a token; `clusterdeck serve --show-token` prints it",
            ));
        }
        let wrong = |what: &str| Problem::invalid("/url", what);
        let url = reqwest::Url::parse(&self.url)
            .map_err(|_| wrong("that is not an address like https://host:7443"))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the address is only https://host:port, without a path or a user"));
        }
        match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if crate::serve::is_loopback(host) => {}
            ("http", Some(_)) => {
                return Err(wrong("plain http would show the token to the network: use https"));
            }
            _ => return Err(wrong("the address begins with https://")),
        }
        let fingerprint =
            self.fingerprint.as_deref().filter(|f| !f.is_empty()).map(super::pin::parse).transpose()?;
        Ok(Server {
            name: self.name.clone(),
            url: url.as_str().trim_end_matches('/').to_owned(),
            fingerprint: fingerprint.map(hex::encode),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer_of(url: &str, name: &str, token: &str) -> Option<String> {
        let new =
            NewConnection { name: name.into(), url: url.into(), token: token.into(), fingerprint: None };
        new.checked().err().map(|p| p.fields[0].pointer.clone())
    }

    #[test]
    fn a_connection_that_would_show_its_token_or_means_something_else_is_refused() {
        let token = "a-token-of-some-length";
        assert_eq!(pointer_of("https://db.example:7443", "team", token), None);
        assert_eq!(pointer_of("http://127.0.0.1:7443/", "team", token), None, "this computer itself");
        for bad in
            ["http://db.example", "ftp://x", "https://u:p@x", "https://x/path", "https://x/?a=b", "nonsense"]
        {
            assert_eq!(pointer_of(bad, "team", token).as_deref(), Some("/url"), "{bad}");
        }
        assert_eq!(pointer_of("https://x", "a b", token).as_deref(), Some("/name"));
        assert_eq!(pointer_of("https://x", "team", "two words!").as_deref(), Some("/token"));
    }
}
