//! A home has one host; others are its guests, and one of them takes over when it goes.

use crate::desk::{Composed, Desk, WORN, ask, composed};
use axum::http::{HeaderMap, Method};
use clusterdeck_api::{AS_OF, Front};
use clusterdeck_testkit::Lab;
use futures::StreamExt;
use serde_json::json;
use std::{sync::Arc, time::Duration};

async fn guest(desk: &Desk) -> (Front, Lab, Arc<Composed>) {
    let lab = Lab::new().await;
    let compose = composed(&lab);
    let front =
        Front::open(desk.folder.path(), "test:bert".to_owned(), compose.clone()).await.expect("a guest");
    (front, lab, compose)
}

#[tokio::test]
async fn a_second_process_talks_to_the_first_and_is_named_in_the_audit_trail() {
    let desk = Desk::with_cluster().await;
    let (guest, _lab, _) = guest(&desk).await;
    assert!(desk.front.is_host() && !guest.is_host());
    let seen = ask(&guest, Method::GET, "/v1/clusters/demo", &[], None).await;
    assert_eq!(seen.json()["name"], "demo", "the same engine");
    let revealed = ask(&guest, Method::GET, "/v1/clusters/demo/credentials?reveal=true", &[], None).await;
    assert_eq!(revealed.status, 200);
    let audit = desk.get("/v1/audit").await.json();
    assert_eq!(audit["items"][0]["actor"], "test:bert", "{audit}");
    let mut notices = guest.stream("/v1/events", HeaderMap::new()).await.expect("streams pass as well");
    desk.change(json!({"kind": "set-protection", "cluster": "demo", "enabled": true})).await;
    let notice = tokio::time::timeout(WORN, notices.next()).await.expect("in time");
    assert!(notice.is_some_and(|n| n.is_ok()));
}

#[tokio::test]
async fn a_guest_takes_over_when_the_host_goes() {
    let desk = Desk::new().await;
    let (guest, _lab, _) = guest(&desk).await;
    assert_eq!(ask(&guest, Method::GET, "/v1/info", &[], None).await.status, 200);
    desk.front.close(Duration::ZERO).await;
    let told = ask(&guest, Method::GET, "/v1/info", &[], None).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert!(guest.is_host(), "it hosts now");
    assert!(
        std::fs::exists(desk.folder.path().join("api.sock")).expect("readable"),
        "and listens for others"
    );
}

#[tokio::test]
async fn requests_that_come_while_the_host_goes_are_all_answered() {
    let desk = Desk::new().await;
    let (guest, _lab, _) = guest(&desk).await;
    let asking: Vec<_> = (0..20)
        .map(|n| {
            let guest = guest.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(n * 5)).await;
                ask(&guest, Method::GET, "/v1/clusters", &[], None).await.status
            })
        })
        .collect();
    desk.front.close(Duration::ZERO).await;
    for asked in asking {
        assert_eq!(asked.await.expect("no panic"), 200);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_look_into_a_home() {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::tempdir().expect("a folder");
    let home = base.path().join("home");
    let lab = Lab::new().await;
    let front = Front::open(&home, "test".to_owned(), composed(&lab)).await.expect("a home");
    let mode = |name: &str| std::fs::metadata(home.join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("."), mode("lock"), mode("api.sock")), (0o700, 0o600, 0o600));
    front.close(Duration::ZERO).await;
    assert!(!home.join("api.sock").exists(), "a host that ends in order takes its socket away");
}

#[tokio::test]
async fn a_window_sees_its_last_contents_while_the_engine_still_starts() {
    let desk = Desk::with_cluster().await;
    assert_eq!(desk.get("/v1/clusters").await.json()["items"][0]["name"], "demo");
    desk.front.close(Duration::ZERO).await;
    let lab = Lab::new().await;
    let compose = composed(&lab);
    let gate = compose.gate.lock().await;
    let front = Front::open(desk.folder.path(), "test".to_owned(), compose.clone()).await.expect("a home");
    let copied = ask(&front, Method::GET, "/v1/clusters", &[], None).await;
    assert_eq!(copied.json()["items"][0]["name"], "demo");
    assert!(copied.headers.contains_key(&AS_OF), "and says how old it is");
    drop(gate);
    let fresh = tokio::time::timeout(WORN, async {
        loop {
            let told = ask(&front, Method::GET, "/v1/clusters", &[], None).await;
            if !told.headers.contains_key(&AS_OF) {
                return told;
            }
        }
    });
    assert_eq!(fresh.await.expect("in time").json()["items"], json!([]), "the engine's own answer");
}
