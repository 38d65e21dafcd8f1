//! Asking the API: one request, one answer or its problem.

use crate::{failure::Failure, output::age};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, Method, Response, header},
};
use clusterdeck_api::{AS_OF, Code, Front, Problem, problem_of, request};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest answer that is taken in.
const LARGEST: usize = 64 << 20;

/// A good answer.
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// It is a copy of that time: the other side cannot be reached.
    pub(crate) as_of: Option<Timestamp>,
}

impl Answer {
    /// The body as a shape.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Problem::new(Code::Failed, format!("an answer was not understood: {error}"))
                .hint("What answers there may be another version of Clusterdeck.")
                .into()
        })
    }
    /// How old the copy is, in words.
    pub(crate) fn age(&self) -> Option<String> {
        self.as_of.map(|at| age(at, Timestamp::now()))
    }
}

/// Sends a request.
pub(crate) async fn ask(
    front: &Front,
    method: Method,
    path: &str,
    mut headers: HeaderMap,
    body: Option<&Value>,
) -> Result<Answer, Failure> {
    let body = match body {
        None => Body::empty(),
        Some(value) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::from(value.to_string())
        }
    };
    read(front.handle(request(method, path, headers, body)?).await).await
}

async fn read(response: Response<Body>) -> Result<Answer, Failure> {
    if !response.status().is_success() {
        return Err(problem_of(response).await.into());
    }
    let as_of = response.headers().get(AS_OF).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let body = to_bytes(response.into_body(), LARGEST).await;
    let broken = |_| Failure::from(Problem::new(Code::Offline, "the answer broke off"));
    Ok(Answer { body: body.map_err(broken)?.to_vec(), as_of })
}

/// One piece of a path or query, safe for any text.
pub(crate) fn piece(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if safe(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_an_address() {
        assert_eq!(piece("demo-1"), "demo-1");
        assert_eq!(piece("../x?a=b c/é"), "..%2Fx%3Fa%3Db%20c%2F%C3%A9");
    }
}
