//! Every route answers, in the shapes that others rely on.

use crate::desk::{Desk, ask};
use axum::http::{Method, header};
use serde_json::{Value, json};

fn has(value: &Value, members: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("an object: {value}"));
    for member in members {
        assert!(object.contains_key(*member), "`{member}` is missing in {value}");
    }
}

#[tokio::test]
async fn a_cluster_its_nodes_and_endpoints_have_every_member_that_others_rely_on() {
    let desk = Desk::with_cluster().await;
    let cluster = desk.get("/v1/clusters/demo").await.json();
    has(
        &cluster,
        &[
            "id",
            "name",
            "service",
            "version",
            "topology",
            "shards",
            "state",
            "health",
            "provider",
            "region",
            "plan",
            "protected",
            "auto_failover",
            "options",
            "votes",
            "nodes",
            "endpoints",
            "busy",
            "created_at",
            "observed_at",
        ],
    );
    has(&cluster["auto_failover"], &["enabled", "ready", "reason"]);
    let node = &cluster["nodes"][0];
    has(
        node,
        &[
            "id",
            "name",
            "cluster",
            "cluster_id",
            "role",
            "kind",
            "shard",
            "state",
            "health",
            "address",
            "port",
            "plan",
            "region",
            "lag_bytes",
            "link",
            "follows",
            "slots",
            "data_bytes",
            "drained",
            "diverged",
            "limited_by",
            "detail",
            "memory_limit_bytes",
            "disk_limit_bytes",
            "metrics",
            "observed_at",
        ],
    );
    has(&node["metrics"], &["cpu_percent", "memory_bytes", "disk_bytes"]);
    has(&cluster["endpoints"][0], &["kind", "host", "port", "up"]);
    let id = cluster["id"].as_str().expect("an id");
    assert_eq!(
        desk.get(&format!("/v1/clusters/{id}")).await.json()["name"],
        "demo",
        "by id as well as by name"
    );
    let nodes = desk.get("/v1/clusters/demo/nodes").await.json();
    assert_eq!(nodes["items"].as_array().map(Vec::len), cluster["nodes"].as_array().map(Vec::len));
    assert_eq!(desk.get("/v1/nodes/demo-1").await.json()["name"], "demo-1");
    let endpoints = desk.get("/v1/clusters/demo/endpoints").await.json();
    assert_eq!(endpoints["items"][0]["kind"], "read-write");
}

#[tokio::test]
async fn a_change_goes_through_preview_and_confirmation_and_leaves_a_journal_and_an_audit_line() {
    let desk = Desk::with_cluster().await;
    let preview = desk
        .post("/v1/previews", json!({"kind": "set-protection", "cluster": "demo", "enabled": true}))
        .await;
    let preview = preview.json();
    has(
        &preview,
        &["id", "expires_at", "title", "effects", "warnings", "blockers", "confirm", "expected_downtime_ms"],
    );
    let confirmation = json!({"preview_id": preview["id"]});
    let key = [("idempotency-key", "once")];
    let first = ask(&desk.front, Method::POST, "/v1/operations", &key, Some(confirmation.clone())).await;
    let again = ask(&desk.front, Method::POST, "/v1/operations", &key, Some(confirmation)).await;
    assert_eq!((first.status, again.status), (202, 202), "{}", again.text);
    assert_eq!(first.json()["id"], again.json()["id"], "the same key gives the same operation");
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(first.headers[header::LOCATION], format!("/v1/operations/{id}").as_str());
    let parsed = clusterdeck_domain::OperationId::parse(&id).expect("an id");
    desk.lab.engine.wait(&parsed).await.expect("ended");
    assert_eq!(desk.get("/v1/clusters/demo").await.json()["protected"], true);
    let journal = desk.get(&format!("/v1/operations/{id}/journal")).await.json();
    has(&journal["items"][0], &["at", "step", "step_state", "state", "text"]);
    let audit = desk.get("/v1/audit?cluster=demo").await.json();
    let line = audit["items"].as_array().expect("items").iter().find(|a| a["action"] == "set-protection");
    assert_eq!(line.expect("an audit line")["actor"], "test:anna", "the one who asked");
    let unfinished = desk.get("/v1/operations?state=unfinished").await.json();
    assert_eq!(unfinished["items"], json!([]));
}

#[tokio::test]
async fn a_password_is_shown_only_when_asked_for_and_that_is_audited() {
    let desk = Desk::with_cluster().await;
    let hidden = desk.get("/v1/clusters/demo/credentials").await.json();
    assert!(
        hidden["password"].is_null() && hidden["url"].is_null() && hidden["username"].is_string(),
        "{hidden}"
    );
    let revealed = desk.get("/v1/clusters/demo/credentials?reveal=true").await;
    assert_eq!(revealed.headers[header::CACHE_CONTROL], "private, no-store");
    let revealed = revealed.json();
    let password = revealed["password"].as_str().expect("a password").to_owned();
    assert!(revealed["url"].as_str().is_some_and(|url| url.contains(&password)));
    let audit = desk.get("/v1/audit").await.json();
    let lines = audit["items"].as_array().expect("items");
    assert_eq!(lines.iter().filter(|a| a["action"] == "reveal-credentials").count(), 1, "one look, one line");
    // Nowhere else, in no body.
    for path in [
        "/v1/clusters",
        "/v1/clusters/demo",
        "/v1/operations",
        "/v1/audit",
        "/v1/settings",
        "/v1/info",
        "/metrics",
        "/v1/connections",
    ] {
        assert!(!desk.get(path).await.text.contains(&password), "{path} shows the password");
    }
}

#[tokio::test]
async fn what_there_is_to_choose_from_is_listed() {
    let desk = Desk::new().await;
    let services = desk.get("/v1/services").await.json();
    let services = services["items"].as_array().expect("items").clone();
    assert_eq!(services.len(), 11, "all services of the catalogue, also those that are coming");
    has(&services[0], &["id", "name", "topologies", "available", "coming", "installed_versions", "missing"]);
    has(&services[0], &["lines", "places"]);
    has(&services[0]["lines"][0]["topologies"][0], &["failover", "all_vote", "limits", "options"]);
    let redis = desk.get("/v1/services/redis").await.json();
    assert_eq!((&redis["id"], &redis["lines"][0]["name"]), (&"redis".into(), &"Redis".into()));
    has(
        &redis["places"][0],
        &["provider", "name", "region", "ready", "versions", "carriers", "missing", "to_fetch", "problem"],
    );
    assert_eq!(redis["places"][0]["versions"][0]["installed"], true, "{redis}");
    let providers = desk.get("/v1/providers").await.json();
    has(&providers["items"][0], &["id", "name", "usable", "notes", "missing"]);
    let provider = providers["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(desk.get(&format!("/v1/providers/{provider}/regions")).await.status, 200);
    let plans = desk.get(&format!("/v1/providers/{provider}/plans")).await.json();
    assert!(plans["items"][0]["price_per_hour"].is_null() || plans["items"][0]["price_per_hour"].is_number());
}

#[tokio::test]
async fn measurements_come_as_numbers_as_a_picture_and_for_prometheus() {
    let desk = Desk::with_cluster().await;
    let answer =
        desk.get("/v1/clusters/demo/metrics?metric=memory-bytes&node=demo-1&node=demo-2").await.json();
    has(&answer, &["from", "to", "step", "series"]);
    let series = answer["series"].as_array().expect("series");
    assert_eq!(series.len(), 2, "one metric of two nodes: {answer}");
    let picture = desk.get("/v1/clusters/demo/metrics/chart?metric=memory-bytes").await;
    assert_eq!(picture.headers[header::CONTENT_TYPE], "image/svg+xml");
    assert!(picture.text.contains("<svg"));
    let png = desk.get("/v1/clusters/demo/metrics/chart?metric=memory-bytes&format=png&theme=dark").await;
    assert_eq!(
        (png.status, &png.headers[header::CONTENT_TYPE]),
        (200, &"image/png".parse().expect("a header"))
    );
    let prometheus = desk.get("/metrics").await;
    assert!(
        prometheus.headers[header::CONTENT_TYPE]
            .to_str()
            .expect("text")
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(prometheus.text.contains("clusterdeck_cluster_healthy{cluster=\"demo\""), "{}", prometheus.text);
    for line in prometheus.text.lines().filter(|l| !l.starts_with('#')) {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn settings_are_kept_and_a_wrong_one_is_refused_with_its_pointer() {
    let desk = Desk::new().await;
    let mut settings = desk.get("/v1/settings").await.json();
    settings["theme"] = json!("dark");
    let kept = ask(&desk.front, Method::PUT, "/v1/settings", &[], Some(settings.clone())).await;
    assert_eq!((kept.status, kept.json()["theme"].as_str().expect("a theme")), (200, "dark"));
    settings["theme"] = json!("pink");
    let refused = ask(&desk.front, Method::PUT, "/v1/settings", &[], Some(settings)).await;
    assert_eq!(refused.problem(), (400, "invalid".to_owned()));
    assert_eq!(refused.json()["fields"][0]["pointer"], "/theme");
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_every_address() {
    let desk = Desk::new().await;
    let document = desk.get("/v1/openapi.json").await.json();
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{}", document["openapi"]);
    let paths = document["paths"].as_object().expect("paths");
    for path in
        ["/v1/clusters", "/v1/previews", "/v1/operations", "/v1/events", "/v1/nodes/{id}/logs", "/metrics"]
    {
        assert!(paths.contains_key(path), "{path} is not described");
    }
    let mut ids: Vec<&str> = paths
        .values()
        .flat_map(|item| item.as_object().expect("an item").values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "every operation has a name of its own: {ids:?}");
}

#[tokio::test]
async fn backups_their_vaults_and_their_key_have_every_member_that_others_rely_on() {
    let desk = Desk::with_cluster().await;
    let made = desk.change(json!({"kind": "back-up", "cluster": "demo"})).await;
    assert_eq!(made["state"], "succeeded", "{made}");
    for path in ["/v1/backups", "/v1/backups?cluster=demo", "/v1/clusters/demo/backups"] {
        let backup = desk.get(path).await.json()["items"][0].clone();
        let members =
            ["id", "cluster", "kind", "state", "size_bytes", "created_at", "verified_at", "vault", "error"];
        has(&backup, &members);
        assert_eq!(
            (&backup["id"], &backup["state"]),
            (&made["outcome"]["backup"], &json!("verified")),
            "{path}"
        );
    }
    let id = made["outcome"]["backup"].as_str().expect("its id").to_owned();
    assert_eq!(desk.get(&format!("/v1/backups/{id}")).await.json()["cluster"], "demo");
    assert_eq!(desk.get("/v1/backups/bak_1").await.problem(), (404, "not-found".to_owned()));
    assert_eq!(desk.get("/v1/backups?cluster=other").await.json()["items"], json!([]));

    // A tar: what is told of it, how it is restored, and the plain data.
    let tar = desk.get(&format!("/v1/backups/{id}/download")).await;
    assert_eq!(
        (tar.status, tar.headers[header::CONTENT_TYPE].as_bytes()),
        (200, b"application/x-tar".as_slice())
    );
    let name = tar.headers[header::CONTENT_DISPOSITION].to_str().expect("text");
    assert!(name.starts_with("attachment; filename=\"demo-2"), "{name}");
    for said in ["README.txt", "manifest.json", "data.txt", "Read data.txt.", "writes 0"] {
        assert!(tar.text.contains(said), "{said}: {}", tar.text);
    }
    assert_eq!(tar.text.len() % 512, 0, "whole blocks");

    // A logical dump where the service has one, which this one has not.
    let formats = desk.get(&format!("/v1/backups/{id}/formats")).await.json();
    assert_eq!(
        (&formats["items"][0]["format"], &formats["items"][0]["why_not"]),
        (&json!("copy"), &Value::Null)
    );
    assert!(
        formats["items"][1]["why_not"].as_str().is_some_and(|why| why.contains("no logical dump")),
        "{formats}"
    );
    for format in ["logical", "nonsense"] {
        let refused = desk.get(&format!("/v1/backups/{id}/download?format={format}")).await;
        assert_eq!(refused.problem(), (400, "invalid".to_owned()), "{format}");
        assert_eq!(refused.json()["fields"][0]["pointer"], "/format");
    }

    let vaults = desk.get("/v1/vaults").await.json();
    for vault in vaults["items"].as_array().expect("a list") {
        has(vault, &["id", "kind", "place", "problem", "free_bytes"]);
    }
    assert_eq!(
        (&vaults["items"][0]["id"], &vaults["items"][1]["kind"]),
        (&json!("local"), &json!("snapshot"))
    );
    let key = desk.get("/v1/backup-key").await.json();
    assert_eq!(
        (&key["public"], &key["secret"], &key["exported_at"]),
        (&json!("age1test"), &Value::Null, &Value::Null)
    );
    let shown = desk.get("/v1/backup-key?reveal=true").await;
    assert_eq!(shown.headers[header::CACHE_CONTROL], "private, no-store");
    assert!(shown.json()["exported_at"].is_string(), "{}", shown.text);
    let refused = desk.post("/v1/backup-key", json!({"secret": "nonsense"})).await;
    assert_eq!(refused.problem(), (400, "invalid".to_owned()));
    assert!(!refused.text.contains("nonsense"), "what was typed is not said again: {}", refused.text);
    let wrong = desk.post("/v1/vaults", json!({"id": "nas", "kind": "local", "path": "mnt"})).await;
    assert_eq!(
        (wrong.problem(), &wrong.json()["fields"][0]["pointer"]),
        ((400, "invalid".to_owned()), &json!("/path"))
    );
    let none = desk.put("/v1/vaults/local/secret", json!({"secret": "of-nobody"})).await;
    assert_eq!(none.problem(), (404, "not-found".to_owned()), "the home's own has no secret");
    assert!(!none.text.contains("of-nobody"), "what was typed is not said again: {}", none.text);
    let audit = desk.get("/v1/audit").await.text;
    for action in ["back-up", "download-backup", "reveal-backup-key"] {
        assert!(audit.contains(action), "{action} is in the audit trail");
    }
}

#[tokio::test]
async fn who_may_come_in_is_told_and_a_list_that_is_tried_can_be_kept() {
    let desk = Desk::with_cluster().await;
    let open = desk.get("/v1/clusters/demo/access").await;
    assert_eq!(
        open.headers[header::CACHE_CONTROL],
        "private, no-store",
        "it holds an address of whoever asks"
    );
    let open = open.json();
    has(&open, &["open", "entries", "trial", "your_address", "you_come_in", "ways"]);
    assert_eq!((&open["open"], &open["you_come_in"]), (&json!(true), &json!(true)));
    has(&open["ways"][0], &["name", "enforced", "text"]);

    let list = json!([{"cidr": "203.0.113.7/24", "comment": "office"}]);
    let change = json!({"kind": "set-allowlist", "cluster": "demo", "entries": list});
    let preview = desk.post("/v1/previews", change).await.json();
    assert_eq!(preview["confirm"], "demo", "whoever asks is not in it: {preview}");
    let confirmation = json!({"preview_id": preview["id"], "typed": "demo"});
    let begun = desk.post("/v1/operations", confirmation).await.json();
    let id = begun["id"].as_str().expect("an id");
    let waiting = async {
        loop {
            let operation = desk.get(&format!("/v1/operations/{id}")).await.json();
            if operation["state"] == "waiting" {
                return operation;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let operation = tokio::time::timeout(crate::desk::WORN, waiting).await.expect("it must come to wait");
    has(&operation["trial"], &["until", "kept"]);
    let tried = desk.get("/v1/clusters/demo/access").await.json();
    assert_eq!(tried["trial"]["operation_id"], id);
    assert_eq!((&tried["open"], &tried["you_come_in"]), (&json!(true), &json!(false)));
    let kept = ask(&desk.front, Method::POST, &format!("/v1/operations/{id}/keep"), &[], None).await;
    assert_eq!(kept.status, 202, "{}", kept.text);
    assert_eq!(kept.json()["trial"]["kept"], true);
    let parsed = clusterdeck_domain::OperationId::parse(id).expect("an id");
    desk.lab.engine.wait(&parsed).await.expect("known");
    let cluster = desk.get("/v1/clusters/demo").await.json();
    assert_eq!(cluster["allowlist"], json!([{"cidr": "203.0.113.0/24", "comment": "office"}]));
    assert_eq!(cluster["allow_trial"], Value::Null);
    assert_eq!(desk.get("/v1/clusters/nobody/access").await.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_list_that_cannot_be_understood_is_refused_with_the_entry_and_the_reason() {
    let desk = Desk::with_cluster().await;
    let list = json!([{"cidr": "10.0.0.0/8"}, {"cidr": "10.0.0.0/99"}]);
    let change = json!({"kind": "set-allowlist", "cluster": "demo", "entries": list});
    let preview = desk.post("/v1/previews", change).await.json();
    assert_eq!(preview["blockers"][0]["pointer"], "/entries/1/cidr");
    let refused = desk.post("/v1/operations", json!({"preview_id": preview["id"]})).await;
    assert_eq!(refused.problem(), (409, "blocked".to_owned()));
}
