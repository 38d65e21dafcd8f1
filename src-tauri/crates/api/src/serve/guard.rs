//! Who may ask what of `serve`: the name it is asked under, the token or the cookie, and where a browser's request comes
//! from. Everything behind this door belongs to somebody who knows the token.

use super::{
    is_loopback,
    sessions::{SESSION_HOURS, Sessions},
    token::{bears, same},
    web,
};
use crate::{
    connections::{CONNECTION, only_embedded},
    converse::{Handler, Peer},
    extract::{ASKS_FROM, Actor, Body as Json},
    front::Front,
    problem::{Code, Problem},
    wire::{Session, SignIn},
};
use axum::{
    body::Body,
    extract::FromRequest,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
    response::IntoResponse,
};
use clusterdeck_domain::Sensitive;
use jiff::Timestamp;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(120);
/// Shows that a request was made by our own page: no other site can set it without being asked first (CORS).
const OURS: HeaderName = HeaderName::from_static("x-clusterdeck");
const ACTOR: HeaderName = HeaderName::from_static("x-clusterdeck-actor");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// See the module.
pub(super) struct Guard {
    front: Front,
    token: Sensitive<String>,
    address: SocketAddr,
    secure: bool,
    names: Vec<String>,
    sessions: Sessions,
}

impl Guard {
    pub(super) fn new(
        front: Front,
        token: Sensitive<String>,
        address: SocketAddr,
        secure: bool,
        mut names: Vec<String>,
    ) -> Self {
        names.push(crate::host::name());
        Self { front, token, address, secure, names, sessions: Sessions::default() }
    }

    pub(super) fn new_code(&self) -> Result<String, Problem> {
        self.sessions.new_code(Timestamp::now())
    }

    pub(super) fn handler(self: Arc<Self>) -> Handler {
        Arc::new(move |request| {
            let guard = self.clone();
            Box::pin(async move {
                let api = is_api(request.uri().path());
                let answered = tokio::time::timeout(ANSWER, guard.answer(request)).await;
                let response =
                    answered.unwrap_or_else(|_| Err(slow())).unwrap_or_else(IntoResponse::into_response);
                hardened(response, api)
            })
        })
    }

    async fn answer(&self, mut request: Request<Body>) -> Result<Response<Body>, Problem> {
        let host = self.host(&request)?;
        // What only one process of a user may tell another, or a window its own front.
        for name in [CONNECTION, ACTOR, ASKS_FROM] {
            request.headers_mut().remove(name);
        }
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/signin") => return self.sign_in_by_code(request.uri()),
            (&Method::POST, "/v1/session") => {
                self.must_be_our_page(request.headers(), &host)?;
                return self.sign_in_by_token(request).await;
            }
            (method, path) if !is_api(path) => return Ok(web::answer(method, path, request.headers())),
            _ => {}
        }
        let actor = self.who(&request, &host)?;
        if request.method() == Method::DELETE && path == "/v1/session" {
            return Ok(self.sign_out(request.headers()));
        }
        if path.starts_with("/v1/connections") {
            return match *request.method() {
                Method::GET if path == "/v1/connections" => Ok(axum::Json(only_embedded()).into_response()),
                _ => Err(Problem::new(Code::Forbidden, "connections belong to the app on your own computer")
                    .hint("Add them in the window, or with `clusterdeck connection add`.")),
            };
        }
        request.headers_mut().remove(header::AUTHORIZATION);
        request.headers_mut().remove(header::COOKIE);
        request.extensions_mut().insert(actor);
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
        if let Some(value) = peer.and_then(|peer| HeaderValue::from_str(&peer).ok()) {
            request.headers_mut().insert(ASKS_FROM, value);
        }
        Ok(self.front.handle_embedded(request).await)
    }

    /// The host a request is for. A name that is not ours was made to point here by somebody else (DNS rebinding).
    fn host(&self, request: &Request<Body>) -> Result<String, Problem> {
        let named = request.uri().host().map(ToOwned::to_owned);
        let header = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
        let authority = header.and_then(|h| h.parse::<axum::http::uri::Authority>().ok());
        let host = named.or_else(|| authority.as_ref().map(|a| a.host().to_owned()));
        let host = host.ok_or_else(|| Problem::invalid("/Host", "a request names its host"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let bound = self.address.ip();
        let known = is_loopback(bare) && (bound.is_loopback() || bound.is_unspecified())
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip == bound || bound.is_unspecified())
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(bare));
        if known {
            return Ok(header.unwrap_or(&host).to_owned());
        }
        Err(Problem::new(Code::Forbidden, format!("`{bare}` is not a name of this server"))
            .hint("If it is, start it with --name.")
            .status(StatusCode::MISDIRECTED_REQUEST))
    }

    /// Who asks: a script with the token, or a browser that has signed in.
    fn who(&self, request: &Request<Body>, host: &str) -> Result<Actor, Problem> {
        let headers = request.headers();
        if bears(headers, self.token.reveal()) {
            return Ok(Actor("token".to_owned()));
        }
        if headers.contains_key(header::AUTHORIZATION) {
            return Err(unauthorized("that token is not the one of this server"));
        }
        let signed_in =
            self.cookie(headers).is_some_and(|secret| self.sessions.knows(secret, Timestamp::now()));
        if !signed_in {
            return Err(unauthorized("sign in, or show the token"));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            self.must_be_our_page(headers, host)?;
            if headers.get(OURS).is_none_or(|v| v != "1") {
                return Err(Problem::new(
                    Code::Forbidden,
                    "a change from a browser needs the header X-Clusterdeck: 1",
                )
                .detail("Nothing was changed."));
            }
        }
        Ok(Actor("browser".to_owned()))
    }

    /// A browser says where a request comes from; it must be from here.
    fn must_be_our_page(&self, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
        let origin = headers.get(header::ORIGIN).map(|v| v.to_str().unwrap_or("?"));
        let scheme = if self.secure { "https" } else { "http" };
        let foreign = origin
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
            || headers.get(FETCH_SITE).is_some_and(|v| v != "same-origin" && v != "none");
        if foreign {
            return Err(Problem::new(Code::Forbidden, "this request comes from another site")
                .detail("Nothing was changed."));
        }
        Ok(())
    }

    fn cookie_name(&self) -> String {
        // Ports share cookies: two servers of one computer must not sign each other's browsers out.
        format!("clusterdeck-{}", self.address.port())
    }

    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie_name();
        let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
        let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    fn set_cookie(&self, secret: &str, seconds: i64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        let text = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    fn sign_in_by_code(&self, uri: &Uri) -> Result<Response<Body>, Problem> {
        let now = Timestamp::now();
        let code = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("code="));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
        // A used or late code leads to the page all the same: it shows its sign-in screen.
        if code.is_some_and(|code| self.sessions.redeem(code, now)) {
            let (secret, _) = self.sessions.begin(now)?;
            response.headers_mut().insert(header::SET_COOKIE, self.set_cookie(&secret, SESSION_HOURS * 3600));
        }
        Ok(response)
    }

    async fn sign_in_by_token(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let Json(SignIn { token }) = Json::from_request(request, &()).await?;
        let token = Sensitive::new(token);
        if !same(token.reveal().trim(), self.token.reveal()) {
            return Err(unauthorized("that is not the token of this server")
                .field("/token", "not the token of this server"));
        }
        let (secret, expires_at) = self.sessions.begin(Timestamp::now())?;
        let mut response = (StatusCode::CREATED, axum::Json(Session { expires_at })).into_response();
        response.headers_mut().insert(header::SET_COOKIE, self.set_cookie(&secret, SESSION_HOURS * 3600));
        Ok(response)
    }

    fn sign_out(&self, headers: &HeaderMap) -> Response<Body> {
        if let Some(secret) = self.cookie(headers) {
            self.sessions.end(secret, Timestamp::now());
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().insert(header::SET_COOKIE, self.set_cookie("", 0));
        response
    }
}

fn is_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/") || path == "/metrics"
}

fn unauthorized(title: &str) -> Problem {
    Problem::new(Code::Unauthorized, title).detail("Nothing was changed.").hint(
        "Scripts send `Authorization: Bearer TOKEN`; `clusterdeck serve --show-token` prints the token to the one who \
         started it.",
    )
}

fn slow() -> Problem {
    Problem::new(Code::Failed, "the answer took too long")
        .detail("Whether the request was worked on is not known.")
        .status(StatusCode::GATEWAY_TIMEOUT)
}

/// What every answer says to a browser.
fn hardened(mut response: Response<Body>, api: bool) -> Response<Body> {
    let status = response.status();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    );
    if api {
        set(header::CACHE_CONTROL, "no-store");
    }
    if status == StatusCode::UNAUTHORIZED {
        set(header::WWW_AUTHENTICATE, "Bearer realm=\"clusterdeck\"");
    }
    response
}
