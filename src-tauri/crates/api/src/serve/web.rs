//! The web UI: built into a release, read from the folder in a debug build. Unknown paths get the page itself, which
//! finds its screen by the address.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../../ui/build"]
#[allow_missing = true]
struct Ui;

const PAGE: &str = "index.html";
const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>Clusterdeck</title>\
    <p>This program was built without the web interface. The API is here all the same: <code>/v1/openapi.json</code>.";

/// Answers for everything that is not the API.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "This address can only be read.");
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = Ui::get(name).filter(|_| !name.is_empty() && name != PAGE) {
        return sent(name, &file, headers);
    }
    // A file that is gone is a 404, not a page that would be taken for a script.
    if name.rsplit('/').next().is_some_and(|last| last.contains('.')) && name != PAGE {
        return plain(StatusCode::NOT_FOUND, "text/plain", "There is no such file.");
    }
    match Ui::get(PAGE) {
        Some(file) => {
            let mut response = sent(PAGE, &file, headers);
            if let Ok(policy) = HeaderValue::from_str(&policy(&file.data)) {
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            response
        }
        None => plain(StatusCode::OK, "text/html; charset=utf-8", NOT_BUILT),
    }
}

/// What the page may do: run the scripts it came with and talk to where it came from.
fn policy(page: &[u8]) -> String {
    let scripts: String = inline_scripts(&String::from_utf8_lossy(page))
        .map(|script| format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script.as_bytes()))))
        .collect();
    format!(
        "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// The scripts that stand in the page itself; each is allowed by what it hashes to.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script").skip(1).filter_map(|rest| {
        let (tag, rest) = rest.split_once('>')?;
        (!tag.contains("src=")).then(|| rest.split("</script>").next()).flatten()
    })
}

fn sent(name: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response<Body> {
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    // Names under `immutable` hold a hash of their content; everything else is asked for again each time.
    let cache =
        if name.starts_with("_app/immutable/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let body = if known { Body::empty() } else { Body::from(file.data.to_vec()) };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let set = [(header::CONTENT_TYPE, kind), (header::ETAG, tag), (header::CACHE_CONTROL, cache.to_owned())];
    for (name, value) in set {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn plain(status: StatusCode, kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scripts_of_the_page_itself_may_run() {
        let page = "<head><script type=\"module\" src=\"/x.js\"></script></head><script>start()</script>";
        assert_eq!(inline_scripts(page).collect::<Vec<_>>(), ["start()"]);
        let policy = policy(page.as_bytes());
        let hash = BASE64_STANDARD.encode(Sha256::digest(b"start()"));
        assert!(
            policy.contains(&format!("'sha256-{hash}'"))
                && !policy.contains("script-src 'self' 'unsafe-inline'")
        );
    }

    #[test]
    fn a_missing_file_is_not_answered_with_the_page() {
        let missing = answer(&Method::GET, "/_app/immutable/gone.js", &HeaderMap::new());
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let screen = answer(&Method::GET, "/clusters/demo", &HeaderMap::new());
        assert_eq!(screen.status(), StatusCode::OK, "an address of the page");
        assert_eq!(answer(&Method::POST, "/", &HeaderMap::new()).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
