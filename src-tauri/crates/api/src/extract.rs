//! What a handler takes out of a request. Every refusal is a `Problem` that names the member that is wrong.

use crate::problem::{Code, Problem};
use axum::{
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderName, StatusCode, header, request::Parts},
};
use clusterdeck_engine::Asker;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{convert::Infallible, str::FromStr};

/// Largest body of a request. Changes are a few hundred bytes.
pub const MAX_BODY: usize = 256 << 10;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json")) {
            let problem = Problem::new(Code::Invalid, "the body must be JSON");
            return Err(problem
                .hint("Send it with Content-Type: application/json.")
                .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let too_large =
            || Problem::new(Code::Invalid, "the body is too large").status(StatusCode::PAYLOAD_TOO_LARGE);
        let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| too_large())?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Problem::invalid("", format!("the body is not JSON: {e}")))?;
        T::deserialize(&value).map(Self).map_err(|error| {
            let message = error.to_string();
            let pointer = blame::<T>(&value, &message);
            let said = match pointer.strip_prefix('/') {
                Some(name) => format!("`{name}` cannot be understood: {message}"),
                None => format!("the body cannot be understood: {message}"),
            };
            Problem::new(Code::Invalid, said).detail("Nothing was changed.").field(&pointer, message)
        })
    }
}

/// The member that `message` is about. Serde loses the path inside tagged enums, so the members are tried one by one:
/// the one without which the complaint is another one is to blame.
fn blame<T: DeserializeOwned>(value: &Value, message: &str) -> String {
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("/{name}");
    }
    let Some(members) = value.as_object().filter(|members| members.len() <= 64) else { return String::new() };
    // Without `kind` everything is another complaint: it is tried last.
    for name in
        members.keys().filter(|name| *name != "kind").chain(members.keys().filter(|name| *name == "kind"))
    {
        let mut without = members.clone();
        without.remove(name);
        if T::deserialize(Value::Object(without)).err().is_none_or(|error| error.to_string() != message) {
            return format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        }
    }
    String::new()
}

/// The query of an address. A name may repeat.
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::try_from_uri(&parts.uri).map_err(|e| Problem::invalid("", e.body_text()))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// The parameter's text; empty is the same as left out.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
    /// Every value of a parameter that may repeat.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
    /// A number or another value that reads itself.
    ///
    /// # Errors
    /// `invalid` with the parameter's name.
    pub(crate) fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let read = |text: &str| {
            text.parse()
                .map_err(|_| Problem::invalid(&format!("/{name}"), format!("`{name}` cannot be `{text}`")))
        };
        self.text(name).map(read).transpose()
    }
    /// `true` or `false`; left out is `false`.
    ///
    /// # Errors
    /// `invalid` with the parameter's name.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.parse(name)?.unwrap_or(false))
    }
    /// How many items a page shall have: 50 when left out, at most 500.
    ///
    /// # Errors
    /// `invalid` when it is no number from 1 to 500.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        match self.parse("limit")?.unwrap_or(50) {
            limit @ 1..=500 => Ok(limit),
            _ => Err(Problem::invalid("/limit", "`limit` is a number from 1 to 500")),
        }
    }
}

/// Who asks, for the audit trail: `desktop:anna`, `cli:anna`, `token`. Whoever hands a request to the router puts it
/// into the request's extensions; a request cannot say it of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self("api".to_owned())))
    }
}

/// The address a request came from, told by one process of a user to another. What comes over TCP has it from `serve`.
pub(crate) const ASKS_FROM: HeaderName = HeaderName::from_static("x-clusterdeck-asks-from");

/// Where the one who asks is.
pub(crate) struct AskedFrom(pub(crate) Asker);

impl<S: Send + Sync> FromRequestParts<S> for AskedFrom {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let said = parts.headers.get(ASKS_FROM).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self(said.map_or(Asker::Here, Asker::At)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::Change;

    fn blamed(json: &str) -> String {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let error = Change::deserialize(&value).expect_err("must be refused").to_string();
        blame::<Change>(&value, &error)
    }
    use serde::Deserialize;

    #[test]
    fn the_member_that_is_wrong_is_named_also_inside_a_tagged_change() {
        assert_eq!(blamed(r#"{"kind":"create-cluster","service":"redis"}"#), "/name");
        assert_eq!(blamed(r#"{"kind":"create-cluster","name":"a","service":"oracle"}"#), "/service");
        assert_eq!(
            blamed(r#"{"kind":"create-cluster","name":"a","service":"redis","nodes":"many"}"#),
            "/nodes"
        );
        assert_eq!(blamed(r#"{"kind":"dance","node":"demo-1"}"#), "/kind");
        assert_eq!(blamed(r#"{"kind":"remove-shard","cluster":"c","shard":-1}"#), "/shard");
    }
}
