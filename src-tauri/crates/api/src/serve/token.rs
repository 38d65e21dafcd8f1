//! The token: made once, kept in the keyring, compared in constant time.

use crate::problem::{Code, Problem};
use axum::http::{HeaderMap, header};
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::{EngineError, repository::SecretRepository};
use subtle::ConstantTimeEq;

/// 256 bits from the system's generator, as 64 hexadecimal digits.
pub(crate) fn fresh_token() -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Problem::new(Code::Internal, format!("the system gives no random numbers: {e}")))?;
    Ok(hex::encode(bytes))
}

/// The token of this home, made when there is none.
pub(super) async fn kept(secrets: &dyn SecretRepository) -> Result<Sensitive<String>, Problem> {
    let at = SecretRef::of_serve();
    if let Some(token) = secrets.get(&at).await.map_err(EngineError::from)? {
        return Ok(token);
    }
    let token = Sensitive::new(fresh_token()?);
    secrets.put(&at, &token).await.map_err(EngineError::from)?;
    Ok(token)
}

/// Whether two secrets are the same, without telling by the time it takes where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Whether a request bears this token.
pub(crate) fn bears(headers: &HeaderMap, token: &str) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let shown = value.and_then(|v| v.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    shown.is_some_and(|(_, shown)| same(shown.trim(), token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_whole_token_counts() {
        let token = fresh_token().expect("random numbers");
        let shows = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).expect("a header"));
            bears(&headers, &token)
        };
        assert!(shows(&format!("Bearer {token}")) && shows(&format!("bearer {token}")));
        for wrong in [
            format!("Bearer {}", &token[..63]),
            format!("Bearer {token}0"),
            format!("Basic {token}"),
            token.clone(),
            "Bearer ".into(),
        ] {
            assert!(!shows(&wrong), "{wrong} must be refused");
        }
        assert!(!bears(&HeaderMap::new(), &token), "no token at all");
    }
}
