//! Servers: added, chosen, asked, lost and found again. Certificates made by the server itself.

use crate::desk::{Desk, Told, ask, create};
use axum::http::Method;
use clusterdeck_api::{
    AS_OF,
    serve::{self, Options, Serving},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

struct Server {
    desk: Desk,
    serving: Serving,
    token: String,
}

async fn server(listen: &str) -> Server {
    let desk = Desk::with_cluster().await;
    let (serving, token) = start(&desk, listen.parse().expect("an address")).await;
    Server { desk, serving, token }
}

async fn start(desk: &Desk, listen: SocketAddr) -> (Serving, String) {
    let secrets = desk.front.secrets().expect("a host");
    let options = Options { listen, tls: None, names: vec![] };
    let serving = serve::start(desk.front.clone(), secrets.as_ref(), options).await.expect("served");
    let token = serve::token(secrets.as_ref()).await.expect("a token").reveal().clone();
    (serving, token)
}

async fn add(desk: &Desk, name: &str, url: &str, token: &str, fingerprint: Option<&str>) -> Told {
    let body = json!({"name": name, "url": url, "token": token, "fingerprint": fingerprint});
    desk.post("/v1/connections", body).await
}

async fn through(desk: &Desk, path: &str) -> Told {
    ask(&desk.front, Method::GET, path, &[("x-clusterdeck-connection", "team")], None).await
}

#[tokio::test]
async fn a_server_that_goes_away_is_read_from_the_copy_and_changes_are_refused() {
    let server = server("127.0.0.1:0").await;
    let desk = Desk::new().await;
    let added = add(&desk, "team", &server.serving.url(), &server.token, None).await;
    assert_eq!(added.status, 201, "{}", added.text);
    assert!(!added.text.contains(&server.token), "the token is not shown again");
    let fresh = through(&desk, "/v1/clusters").await;
    assert_eq!(fresh.json()["items"][0]["name"], "demo");
    assert!(!fresh.headers.contains_key(&AS_OF), "an answer, not a copy");
    assert_eq!(through(&desk, "/v1/info").await.json()["offline"], false);
    let made = server.desk.change(json!({"kind": "back-up", "cluster": "demo"})).await;
    assert_eq!(made["state"], "succeeded", "{made}");
    let key = through(&desk, "/v1/backup-key?reveal=true").await.json()["secret"].clone();
    let key = key.as_str().expect("the key of the backups").to_owned();
    let revealed = through(&desk, "/v1/clusters/demo/credentials?reveal=true").await;
    assert_eq!(revealed.status, 200);
    let password = revealed.json()["password"].as_str().expect("a password").to_owned();

    let address = server.serving.address();
    server.serving.stop().await;
    let copied = through(&desk, "/v1/clusters").await;
    assert_eq!((copied.status, &copied.json()["items"][0]["name"]), (200, &json!("demo")));
    let as_of = copied.headers[&AS_OF].to_str().expect("text");
    assert!(as_of.parse::<jiff::Timestamp>().is_ok(), "{as_of} is a time");
    assert_eq!(through(&desk, "/v1/info").await.json()["offline"], true);
    let never = through(&desk, "/v1/clusters/demo").await;
    assert_eq!(never.problem(), (503, "offline".to_owned()), "what was never read has no copy");
    let secret = through(&desk, "/v1/clusters/demo/credentials?reveal=true").await;
    assert_eq!(secret.problem(), (503, "offline".to_owned()), "a password is never copied");
    let key_again = through(&desk, "/v1/backup-key?reveal=true").await;
    assert_eq!(key_again.problem(), (503, "offline".to_owned()), "nor is the key of the backups");
    let header = [("x-clusterdeck-connection", "team")];
    let change = ask(&desk.front, Method::POST, "/v1/previews", &header, Some(create("x"))).await;
    assert_eq!(change.problem(), (503, "offline".to_owned()));
    assert!(change.text.contains("nothing is queued"), "{}", change.text);
    for file in
        std::fs::read_dir(desk.folder.path()).expect("a folder").flatten().filter(|f| f.path().is_file())
    {
        let bytes = std::fs::read(file.path()).expect("readable");
        for secret in [&password, &server.token, &key] {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "a secret lies in {}", file.path().display());
        }
    }
    let listed = desk.get("/v1/connections").await.json();
    assert_eq!(listed["items"][1]["reachable"], false, "{listed}");
    assert!(listed["items"][1]["last_seen"].is_string());

    // It comes back: the next request reaches it, nothing was queued in between.
    let (_serving, _) = start(&server.desk, address).await;
    let back = through(&desk, "/v1/clusters").await;
    assert!(back.status == 200 && !back.headers.contains_key(&AS_OF));
    assert_eq!(
        back.json()["items"].as_array().map(Vec::len),
        Some(1),
        "the refused change did not happen later"
    );
}

#[tokio::test]
async fn the_current_connection_decides_where_a_request_goes_and_its_removal_leads_home() {
    let server = server("127.0.0.1:0").await;
    let desk = Desk::new().await;
    add(&desk, "team", &server.serving.url(), &server.token, None).await;
    assert_eq!(desk.get("/v1/clusters").await.json()["items"], json!([]), "this computer's own");
    let chosen =
        ask(&desk.front, Method::PUT, "/v1/connections/current", &[], Some(json!({"name": "team"}))).await;
    assert_eq!((chosen.status, &chosen.json()["current"]), (200, &json!(true)));
    assert_eq!(desk.get("/v1/clusters").await.json()["items"][0]["name"], "demo");
    let header = [("x-clusterdeck-connection", "this-computer")];
    let here = ask(&desk.front, Method::GET, "/v1/clusters", &header, None).await;
    assert_eq!(here.json()["items"], json!([]), "named for one request");
    let removed = ask(&desk.front, Method::DELETE, "/v1/connections/team", &[], None).await;
    assert_eq!(removed.status, 204);
    assert_eq!(desk.get("/v1/clusters").await.json()["items"], json!([]), "home again");
    assert_eq!(through(&desk, "/v1/clusters").await.problem(), (404, "not-found".to_owned()));
    let unknown =
        ask(&desk.front, Method::PUT, "/v1/connections/current", &[], Some(json!({"name": "mars"}))).await;
    assert_eq!(unknown.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_connection_that_would_not_work_is_refused_at_once() {
    let server = server("127.0.0.1:0").await;
    let desk = Desk::new().await;
    let url = server.serving.url();
    let wrong = add(&desk, "team", &url, &"0".repeat(64), None).await;
    assert_eq!(wrong.problem(), (401, "unauthorized".to_owned()));
    assert_eq!(wrong.json()["fields"][0]["pointer"], "/token");
    let nobody = add(&desk, "team", "http://127.0.0.1:1", &server.token, None).await;
    assert_eq!(nobody.problem(), (503, "offline".to_owned()));
    let plain = add(&desk, "team", "http://db.example:7443", &server.token, None).await;
    assert_eq!(plain.problem(), (400, "invalid".to_owned()), "the token would cross the network in the open");
    assert_eq!(
        desk.get("/v1/connections").await.json()["items"].as_array().map(Vec::len),
        Some(1),
        "none was kept"
    );
    assert_eq!(add(&desk, "team", &url, &server.token, None).await.status, 201);
    assert_eq!(add(&desk, "team", &url, &server.token, None).await.problem(), (409, "conflict".to_owned()));
    assert_eq!(
        add(&desk, "this-computer", &url, &server.token, None).await.problem(),
        (409, "conflict".to_owned())
    );
}

#[tokio::test]
async fn any_address_but_loopback_is_served_with_tls_and_trusted_by_its_fingerprint_only() {
    // Every address of the computer: not loopback, and reachable here.
    let server = server("0.0.0.0:0").await;
    let fingerprint = server.serving.fingerprint().expect("a certificate was made").to_owned();
    let url = format!("https://127.0.0.1:{}", server.serving.address().port());
    let desk = Desk::new().await;
    let untrusted = add(&desk, "team", &url, &server.token, None).await;
    assert_eq!(untrusted.problem(), (503, "offline".to_owned()), "nobody vouches for it");
    assert!(untrusted.json()["hint"].as_str().expect("a hint").contains("fingerprint"), "{}", untrusted.text);
    let other = "ab".repeat(32);
    let wrong = add(&desk, "team", &url, &server.token, Some(&other)).await;
    assert_eq!(wrong.problem(), (503, "offline".to_owned()), "another certificate");
    assert_eq!(add(&desk, "team", &url, &server.token, Some(&fingerprint)).await.status, 201);
    assert_eq!(through(&desk, "/v1/clusters").await.json()["items"][0]["name"], "demo");
    let plain = reqwest::get(url.replace("https", "http")).await;
    assert!(plain.is_err(), "without TLS nothing is answered");
    let key = std::fs::metadata(server.desk.folder.path().join("serve-key.pem")).expect("kept");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let (again, _) = {
        server.serving.stop().await;
        start(&server.desk, "0.0.0.0:0".parse().expect("an address")).await
    };
    assert_eq!(again.fingerprint(), Some(fingerprint.as_str()), "the same certificate at the next start");
    let listed: Value = desk.get("/v1/connections").await.json();
    assert_eq!(listed["items"][1]["fingerprint"].as_str().map(str::len), Some(64));
}
