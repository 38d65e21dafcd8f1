//! Every way to be refused has its code, its status and the member it is about.

use crate::desk::{Desk, ask, composed, create};
use axum::http::Method;
use clusterdeck_api::{Code, Front, Problem};
use clusterdeck_testkit::Lab;
use serde_json::{Value, json};

async fn confirmed(desk: &Desk, preview: &Value, typed: Option<&str>) -> (u16, String) {
    desk.post("/v1/operations", json!({"preview_id": preview["id"], "typed": typed})).await.problem()
}

#[tokio::test]
async fn input_that_is_not_understood_names_the_member_that_is_wrong() {
    let desk = Desk::with_cluster().await;
    let pointer = async |body: Value| {
        let told = desk.post("/v1/previews", body).await;
        assert_eq!(told.problem(), (400, "invalid".to_owned()));
        told.json()["fields"][0]["pointer"].as_str().expect("a pointer").to_owned()
    };
    assert_eq!(
        pointer(json!({"kind": "create-cluster", "name": "x", "service": "oracle"})).await,
        "/service"
    );
    assert_eq!(pointer(json!({"kind": "create-cluster", "service": "redis"})).await, "/name");
    assert_eq!(pointer(json!({"kind": "fly"})).await, "/kind");
    assert_eq!(pointer(json!([1, 2])).await, "");
    for (path, member) in [
        ("/v1/clusters?limit=0", "/limit"),
        ("/v1/clusters?limit=many", "/limit"),
        ("/v1/operations?state=lost", "/state"),
        ("/v1/clusters/demo/metrics?metric=luck", "/metric"),
        ("/v1/clusters/demo/metrics?from=5&to=4", "/from"),
        ("/v1/clusters/demo/metrics?step=1", "/step"),
        ("/v1/clusters/demo/metrics/chart", "/metric"),
        ("/v1/clusters/demo/metrics/chart?metric=clients&width=9", "/width"),
        ("/v1/clusters/demo/credentials?reveal=maybe", "/reveal"),
        ("/v1/nodes/demo-1/logs?lines=0", "/lines"),
    ] {
        let told = desk.get(path).await;
        assert_eq!(told.problem(), (400, "invalid".to_owned()), "{path}");
        assert_eq!(told.json()["fields"][0]["pointer"], member, "{path}");
    }
    let bad_id = desk.post("/v1/operations", json!({"preview_id": "clu_1"})).await;
    assert_eq!(bad_id.problem(), (400, "invalid".to_owned()));
    assert_eq!(bad_id.json()["fields"][0]["pointer"], "/preview_id");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_large_and_a_wrong_method_are_refused() {
    let desk = Desk::new().await;
    let plain = ask(&desk.front, Method::POST, "/v1/previews", &[("content-type", "text/plain")], None).await;
    assert_eq!(plain.problem(), (415, "invalid".to_owned()), "a form of another site cannot send JSON");
    let large = desk.post("/v1/previews", json!({"kind": "x".repeat(300 << 10)})).await;
    assert_eq!(large.problem(), (413, "invalid".to_owned()));
    let method = ask(&desk.front, Method::DELETE, "/v1/clusters", &[], None).await;
    assert_eq!(method.problem(), (405, "invalid".to_owned()));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let desk = Desk::new().await;
    for path in [
        "/v1/clusters/nope",
        "/v1/clusters/nope/credentials",
        "/v1/nodes/nope-1",
        "/v1/nodes/nope-1/logs",
        "/v1/operations/op_00000000000000000000000000000000",
        "/v1/operations/nonsense",
        "/v1/services/oracle",
        "/v1/providers/mars/plans",
        "/v1/nothing",
        "/v2/clusters",
    ] {
        assert_eq!(desk.get(path).await.problem(), (404, "not-found".to_owned()), "{path}");
    }
    let connection =
        ask(&desk.front, Method::GET, "/v1/clusters", &[("x-clusterdeck-connection", "mars")], None).await;
    assert_eq!(connection.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_change_is_refused_with_the_code_that_says_why() {
    let desk = Desk::with_cluster().await;
    let preview = desk.post("/v1/previews", create("demo")).await.json();
    assert_eq!(confirmed(&desk, &preview, None).await, (409, "blocked".to_owned()), "the name is taken");
    let blocked = desk.post("/v1/operations", json!({"preview_id": preview["id"]})).await.json();
    assert_eq!(blocked["fields"][0]["pointer"], "/name", "{blocked}");

    let delete = json!({"kind": "delete-cluster", "cluster": "demo"});
    let preview = desk.post("/v1/previews", delete.clone()).await.json();
    assert_eq!(preview["confirm"], "demo");
    assert_eq!(confirmed(&desk, &preview, None).await, (409, "confirmation-missing".to_owned()));
    assert_eq!(confirmed(&desk, &preview, Some("Demo")).await, (409, "confirmation-missing".to_owned()));

    // Something changes between the look and the decision.
    let ended = desk.change(json!({"kind": "set-protection", "cluster": "demo", "enabled": true})).await;
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(confirmed(&desk, &preview, Some("demo")).await, (409, "preview-stale".to_owned()));
    assert_eq!(desk.get("/v1/clusters/demo").await.status, 200, "it is still there");
    let unknown = json!({"id": "pre_00000000000000000000000000000000"});
    assert_eq!(confirmed(&desk, &unknown, None).await, (410, "preview-expired".to_owned()));
}

#[tokio::test]
async fn an_operation_that_has_ended_well_can_neither_be_stopped_nor_taken_up_again() {
    let desk = Desk::with_cluster().await;
    let listed = desk.get("/v1/operations").await.json();
    let id = listed["items"][0]["id"].as_str().expect("an id");
    for verb in ["cancel", "retry", "keep"] {
        let told = ask(&desk.front, Method::POST, &format!("/v1/operations/{id}/{verb}"), &[], None).await;
        assert_eq!(told.problem(), (400, "invalid".to_owned()), "{verb}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let desk = Desk::with_cluster().await;
    let preview = desk
        .post("/v1/previews", json!({"kind": "set-protection", "cluster": "demo", "enabled": true}))
        .await
        .json();
    let confirmation = json!({"preview_id": preview["id"]});
    let key = "x".repeat(201);
    let told =
        ask(&desk.front, Method::POST, "/v1/operations", &[("idempotency-key", &key)], Some(confirmation))
            .await;
    assert_eq!(told.problem(), (400, "invalid".to_owned()));
}

#[tokio::test]
async fn an_engine_that_does_not_start_says_why_and_starts_when_that_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new().await;
    let compose = composed(&lab);
    let locked = Problem::new(Code::KeyringLocked, "the keyring is locked").hint("Unlock it.");
    *compose.ailment.lock().expect("not poisoned") = Some(locked);
    let front = Front::open(folder.path(), "test".to_owned(), compose.clone())
        .await
        .expect("the home itself is fine");
    let told = ask(&front, Method::GET, "/v1/clusters", &[], None).await;
    assert_eq!(told.problem(), (503, "keyring-locked".to_owned()));
    *compose.ailment.lock().expect("not poisoned") = None;
    let deadline = tokio::time::Instant::now() + crate::desk::WORN;
    while ask(&front, Method::GET, "/v1/clusters", &[], None).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "a later request must start it again");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn while_everything_ends_nothing_is_begun() {
    let desk = Desk::with_cluster().await;
    desk.front.close(std::time::Duration::ZERO).await;
    let told = desk.post("/v1/previews", create("other")).await;
    assert_eq!(told.problem(), (503, "shutting-down".to_owned()));
}
