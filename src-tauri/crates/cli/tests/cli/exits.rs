//! Exit statuses, and that nothing is assumed.

use crate::program::{Home, finish};
use std::process::Stdio;

#[test]
fn every_end_has_its_status_and_with_json_its_problem_on_standard_output() {
    let home = Home::new();
    for (words, status, code) in [
        (&["cluster", "create", "x", "--service", "oracle", "--yes"][..], 2, "invalid"),
        (&["cluster", "create", "Bad_Name", "--service", "redis", "--yes"], 3, "blocked"),
        (&["cluster", "create", "x", "--service", "redis", "--nodes", "99", "--yes"], 3, "blocked"),
        (&["cluster", "show", "nope"], 4, "not-found"),
        (&["cluster", "delete", "nope", "--yes"], 4, "not-found"),
        (&["node", "promote", "nope-1", "--confirm", "nope-1"], 4, "not-found"),
        (&["operation", "show", "nonsense"], 4, "not-found"),
        (&["provider", "check", "mars"], 4, "not-found"),
        (&["--connection", "mars", "cluster", "list"], 4, "not-found"),
        (
            &["cluster", "create", "x", "--service", "redis", "--plan", "NANO-1C-256M"],
            6,
            "confirmation-missing",
        ),
    ] {
        let ended = home.run(&[&["--json"], words].concat()).status(status);
        assert_eq!(ended.json()["code"], code, "{words:?}");
        let said = home.run(words).status(status);
        assert!(said.err.contains("error: ") && said.out.is_empty(), "{words:?}: {} {}", said.out, said.err);
    }
    for words in [
        &["frob"][..],
        &["cluster"],
        &["cluster", "create"],
        &["cluster", "protect", "x", "maybe"],
        &["serve", "--listen", "here"],
    ] {
        home.run(words).status(2);
    }
    home.run(&["--help"]).status(0);
    home.run(&["--version"]).status(0);
    assert_eq!(
        home.run(&["--json", "cluster", "list"]).status(0).json()["items"],
        serde_json::json!([]),
        "nothing was made"
    );
}

#[test]
fn what_names_no_authority_is_refused_and_a_private_key_is_not_repeated() {
    let home = Home::new();
    let file = home.path().with_file_name("ca.pem");
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n-----END PRIVATE KEY-----\n";
    let large = "x".repeat(300 << 10);
    for (text, why) in [
        (key.as_bytes(), "private key"),
        (b"no certificate", "no certificate"),
        (&[0x30, 0x82, 0xff, 0xfe], "as PEM"),
        (large.as_bytes(), "192 KiB"),
    ] {
        std::fs::write(&file, text).expect("written");
        let name = file.to_string_lossy();
        let words = ["migrate", "x", "--from", "postgres://h/d", "--source-ca", &name, "--check"];
        let ended = home.run(&words).status(2);
        assert!(ended.err.contains(why) && ended.err.contains("ca.pem"), "{}", ended.err);
        assert!(!ended.err.contains("MC4CAQ") && ended.out.is_empty(), "{} {}", ended.out, ended.err);
    }
    home.run(&["migrate", "x", "--from", "postgres://h/d", "--source-ca", "/none", "--check"]).status(2);
}

#[test]
fn what_says_how_data_comes_in_is_not_silently_left_out_where_none_comes() {
    let home = Home::new();
    for other in ["--cut-over", "--logs"] {
        for wish in [&["--source-ca", "ca.pem"][..], &["--password-file", "-"], &["--follow"], &["--check"]] {
            let ended = home.run(&[&["migrate", "x", other], wish].concat()).status(2);
            assert!(ended.err.contains("cannot be used with") && ended.err.contains(other), "{}", ended.err);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let home = Home::new();
    let token = "0123456789abcdef";
    let added = home.tell(&["--json", "connection", "add", "team", "http://127.0.0.1:1"], token).status(5);
    assert_eq!(added.json()["code"], "offline");
    let none = home.tell(&["--json", "connection", "add", "team", "http://127.0.0.1:1"], "").status(2);
    assert_eq!(none.json()["fields"][0]["pointer"], "/token");
}

#[test]
fn a_home_that_cannot_be_used_is_told_and_doctor_goes_on_to_the_end() {
    let home = Home::new();
    std::fs::create_dir_all(home.path()).expect("made");
    std::fs::write(home.path().join("state.db"), b"this is no database at all, but long enough to look at")
        .expect("written");
    let ended = home.run(&["--json", "cluster", "list"]).status(1);
    assert_eq!(ended.json()["code"], "store-broken");
    let doctor = home.run(&["doctor"]).status(1);
    assert!(doctor.out.contains("state.db"), "{}", doctor.out);
    assert_eq!(
        std::fs::read(home.path().join("state.db")).expect("there")[..4],
        *b"this",
        "nothing was repaired behind anybody's back"
    );
    std::fs::remove_file(home.path().join("state.db")).expect("gone");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let home = Home::new();
    let mut child = home.begin(&["openapi"]);
    drop(child.stdout.take());
    let ended = finish(child).status(0);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    let full = home
        .command(&["openapi"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").expect("there"))
        .spawn();
    let ended = finish(full.expect("started"));
    assert!(ended.status == 1 && ended.err.contains("error: "), "a full disk is told: {}", ended.err);
}

#[test]
fn completion_and_the_document_need_no_home() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(home.run(&["completion", shell]).status(0).out.contains("clusterdeck"), "{shell}");
    }
    let document = home.run(&["openapi"]).status(0).json();
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
    assert!(!home.path().exists(), "no home was made");
    let child = home
        .command(&["connection", "add", "t", "https://x", "token-as-argument"])
        .stdin(Stdio::null())
        .spawn();
    finish(child.expect("started")).status(2);
}
