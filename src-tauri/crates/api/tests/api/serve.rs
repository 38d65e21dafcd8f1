//! `serve`: the token, browsers, other sites, names that are not ours.

use crate::desk::{Desk, create};
use clusterdeck_api::serve::{self, Options, Serving};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header, redirect::Policy};
use serde_json::{Value, json};

struct Served {
    desk: Desk,
    serving: Serving,
    token: String,
    client: Client,
}

async fn served() -> Served {
    let desk = Desk::with_cluster().await;
    let secrets = desk.front.secrets().expect("a host");
    let options = Options { listen: "127.0.0.1:0".parse().expect("an address"), tls: None, names: vec![] };
    let serving = serve::start(desk.front.clone(), secrets.as_ref(), options).await.expect("served");
    let token = serve::token(secrets.as_ref()).await.expect("a token").reveal().clone();
    let client = Client::builder().redirect(Policy::none()).no_proxy().build().expect("a client");
    Served { desk, serving, token, client }
}

impl Served {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.serving.url()))
    }
    fn change(&self) -> RequestBuilder {
        self.ask(Method::POST, "/v1/previews").json(&create("other"))
    }
    async fn cookie(&self) -> String {
        let link = self.serving.sign_in_link().expect("a link");
        let answer = self.client.get(link).send().await.expect("an answer");
        assert_eq!(
            (answer.status(), answer.headers()[header::LOCATION].as_bytes()),
            (StatusCode::SEE_OTHER, &b"/"[..])
        );
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().expect("a value").to_owned()
    }
}

async fn code(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn without_the_token_nothing_of_the_api_is_shown() {
    let served = served().await;
    for path in [
        "/v1/info",
        "/v1/clusters",
        "/v1/openapi.json",
        "/metrics",
        "/v1/events",
        "/v1/connections",
        "/v1/nothing",
    ] {
        assert_eq!(code(served.ask(Method::GET, path)).await, (401, "unauthorized".to_owned()), "{path}");
        let wrong = served.ask(Method::GET, path).bearer_auth("0".repeat(64));
        assert_eq!(code(wrong).await, (401, "unauthorized".to_owned()), "{path} with a wrong token");
    }
    let right =
        served.ask(Method::GET, "/v1/clusters").bearer_auth(&served.token).send().await.expect("an answer");
    assert_eq!(right.status(), 200);
    assert_eq!(right.headers()[header::CACHE_CONTROL], "no-store");
    let body: Value = right.json().await.expect("JSON");
    assert_eq!(body["items"][0]["name"], "demo");
    // What a script does is written down as the token's.
    served
        .ask(Method::GET, "/v1/clusters/demo/credentials?reveal=true")
        .bearer_auth(&served.token)
        .send()
        .await
        .expect("shown");
    assert_eq!(served.desk.get("/v1/audit").await.json()["items"][0]["actor"], "token");
}

#[tokio::test]
async fn the_token_is_the_same_at_the_next_start_and_in_no_body() {
    let served = served().await;
    let secrets = served.desk.front.secrets().expect("a host");
    assert_eq!(serve::token(secrets.as_ref()).await.expect("kept").reveal(), &served.token);
    for path in ["/v1/info", "/v1/settings", "/v1/connections", "/v1/audit", "/"] {
        let answer =
            served.ask(Method::GET, path).bearer_auth(&served.token).send().await.expect("an answer");
        assert!(!answer.text().await.expect("text").contains(&served.token), "{path} shows the token");
    }
}

#[tokio::test]
async fn a_link_signs_one_browser_in_once() {
    let served = served().await;
    let link = served.serving.sign_in_link().expect("a link");
    let first = served.client.get(&link).send().await.expect("an answer");
    assert!(first.headers().contains_key(header::SET_COOKIE));
    let second = served.client.get(&link).send().await.expect("an answer");
    assert!(!second.headers().contains_key(header::SET_COOKIE), "the code is used up");
    let cookie = served.cookie().await;
    let read = served.ask(Method::GET, "/v1/clusters").header(header::COOKIE, &cookie);
    assert_eq!(read.send().await.expect("an answer").status(), 200);
    let other = if cookie.ends_with('0') { '1' } else { '0' };
    let forged = served
        .ask(Method::GET, "/v1/clusters")
        .header(header::COOKIE, format!("{}{other}", &cookie[..cookie.len() - 1]));
    assert_eq!(code(forged).await.0, 401);
    let out = served
        .ask(Method::DELETE, "/v1/session")
        .header(header::COOKIE, &cookie)
        .header("x-clusterdeck", "1");
    assert_eq!(out.send().await.expect("an answer").status(), 204);
    let after = served.ask(Method::GET, "/v1/clusters").header(header::COOKIE, &cookie);
    assert_eq!(code(after).await.0, 401, "signed out");
}

#[tokio::test]
async fn a_typed_token_signs_in_and_a_wrong_one_does_not() {
    let served = served().await;
    let session = |token: &str| served.ask(Method::POST, "/v1/session").json(&json!({"token": token}));
    assert_eq!(code(session("guess")).await, (401, "unauthorized".to_owned()));
    let answer = session(&served.token).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert!(answer.headers().contains_key(header::SET_COOKIE));
    let foreign = session(&served.token).header(header::ORIGIN, "http://evil.example");
    assert_eq!(code(foreign).await, (403, "forbidden".to_owned()), "another site cannot sign a browser in");
}

#[tokio::test]
async fn a_change_by_cookie_must_come_from_our_own_page() {
    let served = served().await;
    let cookie = served.cookie().await;
    let change = || served.change().header(header::COOKIE, &cookie);
    let own = served.serving.url();
    assert_eq!(code(change()).await, (403, "forbidden".to_owned()), "without the header");
    let foreign = change().header("x-clusterdeck", "1").header(header::ORIGIN, "http://evil.example");
    assert_eq!(code(foreign).await, (403, "forbidden".to_owned()), "from another site");
    let sandboxed = change().header("x-clusterdeck", "1").header(header::ORIGIN, "null");
    assert_eq!(code(sandboxed).await, (403, "forbidden".to_owned()), "from nowhere");
    let cross = change().header("x-clusterdeck", "1").header("sec-fetch-site", "cross-site");
    assert_eq!(code(cross).await, (403, "forbidden".to_owned()), "as the browser says itself");
    let ours = change()
        .header("x-clusterdeck", "1")
        .header(header::ORIGIN, &own)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(ours.send().await.expect("an answer").status(), 201);
    assert_eq!(
        served.change().bearer_auth(&served.token).send().await.expect("an answer").status(),
        201,
        "a script"
    );
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() {
    let served = served().await;
    for (host, status) in [("evil.example", 421), ("10.0.0.1", 421), ("localhost:1", 200), ("[::1]", 200)] {
        let asked = served.ask(Method::GET, "/v1/info").bearer_auth(&served.token).header(header::HOST, host);
        assert_eq!(asked.send().await.expect("an answer").status().as_u16(), status, "Host: {host}");
    }
    let page = served.ask(Method::GET, "/").header(header::HOST, "evil.example");
    assert_eq!(page.send().await.expect("an answer").status().as_u16(), 421, "not even the page");
}

#[tokio::test]
async fn a_browser_is_told_to_be_careful() {
    let served = served().await;
    for path in ["/", "/v1/clusters", "/clusters/demo"] {
        let answer = served.ask(Method::GET, path).send().await.expect("an answer");
        let header = |name: &str| {
            answer.headers().get(name).map(|v| v.to_str().expect("text").to_owned()).unwrap_or_default()
        };
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert!(!header("content-security-policy").contains("script-src 'self' 'unsafe-inline'"), "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}: no other site may read it");
    }
}

#[tokio::test]
async fn headers_of_the_local_app_mean_nothing_from_outside() {
    let served = served().await;
    let asked =
        served.ask(Method::GET, "/v1/clusters/demo/credentials?reveal=true").bearer_auth(&served.token);
    let asked =
        asked.header("x-clusterdeck-actor", "desktop:root").header("x-clusterdeck-connection", "elsewhere");
    assert_eq!(
        asked.send().await.expect("an answer").status(),
        200,
        "the connection is always this computer's engine"
    );
    assert_eq!(
        served.desk.get("/v1/audit").await.json()["items"][0]["actor"],
        "token",
        "nobody says who they are"
    );
    let list = served
        .ask(Method::GET, "/v1/connections")
        .bearer_auth(&served.token)
        .send()
        .await
        .expect("an answer");
    let list: Value = list.json().await.expect("JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let add = served.ask(Method::POST, "/v1/connections").bearer_auth(&served.token).json(&json!({}));
    assert_eq!(code(add).await, (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_so_and_serving_ends_in_order() {
    let served = served().await;
    let secrets = served.desk.front.secrets().expect("a host");
    let options = Options { listen: served.serving.address(), tls: None, names: vec![] };
    let second = serve::start(served.desk.front.clone(), secrets.as_ref(), options).await;
    assert_eq!(second.err().map(|p| p.code.id()), Some("failed"));
    let url = served.serving.url();
    served.serving.stop().await;
    assert!(served.client.get(format!("{url}/")).send().await.is_err(), "nobody listens any more");
    assert_eq!(served.desk.get("/v1/info").await.status, 200, "the engine goes on");
}

#[tokio::test]
async fn where_a_request_comes_from_is_its_connection_and_not_what_it_says() {
    let served = served().await;
    let asked = served
        .ask(Method::GET, "/v1/clusters/demo/access")
        .bearer_auth(&served.token)
        .header("x-clusterdeck-asks-from", "192.0.2.9");
    let body: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
    let from = body["your_address"].as_str().expect("an address");
    assert_ne!(from, "192.0.2.9", "{body}");
}
