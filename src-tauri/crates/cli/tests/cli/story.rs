//! The way of a cluster as the README tells it.

use crate::program::{Home, files};
use std::process::Command;

#[test]
fn a_cluster_is_made_used_changed_protected_and_taken_down() {
    let home = Home::new();
    let made = home.create("demo", &[]);
    assert_eq!(made["state"], "succeeded");
    let cluster = home.run(&["--json", "cluster", "show", "demo"]).status(0).json();
    assert_eq!((&cluster["state"], &cluster["health"]), (&"running".into(), &"healthy".into()), "{cluster}");
    assert_eq!(cluster["nodes"].as_array().map(Vec::len), Some(3));

    let credentials = home.run(&["--json", "cluster", "credentials", "demo", "--reveal"]).status(0).json();
    let url = credentials["url"].as_str().expect("ready to paste").to_owned();
    let redis = |words: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "-u", &url])
            .args(words)
            .output()
            .expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(redis(&["set", "greeting", "hello"]), "OK");

    let promoted = home.run(&["--json", "node", "promote", "demo-2", "--confirm", "demo-2"]).status(0).json();
    assert!(promoted["outcome"]["write_gap_ms"].is_number(), "the gap is measured: {promoted}");
    let nodes = home.run(&["--json", "node", "list", "demo"]).status(0).json();
    let primary = nodes["items"].as_array().expect("items").iter().find(|n| n["role"] == "primary").cloned();
    assert_eq!(primary.expect("a primary")["name"], "demo-2");
    assert_eq!(redis(&["get", "greeting"]), "hello", "the address follows the primary and nothing was lost");

    home.run(&["cluster", "protect", "demo", "on", "--yes"]).status(0);
    let refused = home.run(&["--json", "cluster", "delete", "demo", "--confirm", "demo"]).status(3);
    assert_eq!(refused.json()["code"], "blocked");
    home.run(&["cluster", "protect", "demo", "off", "--yes"]).status(0);
    let unconfirmed = home.run(&["--json", "cluster", "delete", "demo", "--yes"]).status(6);
    assert_eq!(unconfirmed.json()["code"], "confirmation-missing", "warnings accepted, but nothing typed");
    home.run(&["cluster", "delete", "demo", "--confirm", "Demo"]).status(6);
    home.run(&["cluster", "delete", "demo", "--confirm", "demo"]).status(0);
    assert_eq!(home.run(&["--json", "cluster", "list"]).status(0).json()["items"], serde_json::json!([]));
    assert_eq!(
        std::fs::read_dir(home.path().join("machines")).map_or(0, Iterator::count),
        0,
        "no machine is left"
    );

    let audit = home.run(&["--json", "audit", "list"]).status(0).json();
    let actions: Vec<&str> =
        audit["items"].as_array().expect("items").iter().filter_map(|a| a["action"].as_str()).collect();
    for action in ["create-cluster", "reveal-credentials", "promote-node", "set-protection", "delete-cluster"]
    {
        assert!(actions.contains(&action), "{action} is not in the audit trail: {actions:?}");
    }
    assert_eq!(audit["items"][0]["actor"], "cli:anna");
    let password = credentials["password"].as_str().expect("a password");
    for file in files(&home.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(password.len()).any(|w| w == password.as_bytes());
        assert!(!found, "the password lies in {}", file.display());
    }
}

#[test]
fn every_reading_verb_prints_a_table_and_with_json_the_apis_body() {
    let home = Home::new();
    home.create("one", &["--topology", "single"]);
    home.run(&["cluster", "protect", "one", "on", "--yes"]).status(0);
    for words in [
        &["service", "list"][..],
        &["service", "show", "redis"],
        &["provider", "list"],
        &["provider", "check", "local"],
        &["plan", "list", "--provider", "local"],
        &["cluster", "list"],
        &["cluster", "show", "one"],
        &["cluster", "endpoints", "one"],
        &["cluster", "credentials", "one"],
        &["node", "list", "one"],
        &["node", "metrics", "one-1"],
        &["node", "logs", "one-1"],
        &["operation", "list"],
        &["audit", "list"],
        &["connection", "list"],
        &["doctor"],
    ] {
        let table = home.run(words).status(0);
        assert!(!table.out.trim().is_empty(), "{words:?} prints something");
        let body = home.run(&[&["--json"], words].concat()).status(0).json();
        if words[1..].first() == Some(&"list") {
            assert!(body["items"].is_array() && body.get("next_cursor").is_some(), "{words:?}: {body}");
        }
    }
    let metrics = home.run(&["--json", "node", "metrics", "one-1"]).status(0).json();
    assert!(metrics["metrics"]["cpu_percent"].is_number(), "the second look was waited for: {metrics}");
    let found = home.run(&["node", "logs", "one-1", "--grep", "READY TO ACCEPT"]).status(0).out;
    assert!(
        found.lines().count() >= 1 && found.lines().all(|l| l.to_lowercase().contains("ready to accept")),
        "{found}"
    );
    let first = home.run(&["--json", "operation", "list", "--limit", "1"]).status(0).json();
    let cursor = first["next_cursor"].as_str().expect("there are two operations");
    let second =
        home.run(&["--json", "operation", "list", "--limit", "1", "--cursor", cursor]).status(0).json();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert!(second["next_cursor"].is_null(), "{second}");
    let id = second["items"][0]["id"].as_str().expect("an id");
    assert_eq!(home.run(&["--json", "operation", "show", id]).status(0).json()["kind"], "create-cluster");
}
