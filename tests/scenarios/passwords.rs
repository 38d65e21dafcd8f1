//! Where passwords live, what happens when that is not there, and that they are nowhere else.

use crate::home::{Home, PAIR, create, finish};
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A terminal in which neither a vault is named nor a session bus runs.
fn without_a_place(home: &Home, words: &[&str]) -> crate::home::Ended {
    let mut command = home.command(words);
    command.env_remove("CLUSTERDECK_VAULT_KEY_FILE").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", home.beside("no-bus").display()));
    finish(command.spawn().unwrap())
}

#[test]
fn without_a_keyring_a_creation_says_what_is_missing_and_leaves_nothing() {
    let home = Home::new();
    let ended = without_a_place(&home, &[&["--json"][..], &create(&PAIR)].concat()).status(1);
    let operation = ended.json();
    let error = &operation["error"];
    assert_eq!(error["code"], "keyring-missing", "{operation:#}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("keyring") && hint.contains("CLUSTERDECK_VAULT_KEY_FILE"), "both ways out: {hint}");
    assert_eq!(home.left_behind(), Vec::<String>::new());
    let doctor = without_a_place(&home, &["doctor"]).status(1);
    assert!(doctor.out.contains("secrets") && doctor.out.contains("CLUSTERDECK_VAULT_KEY_FILE"), "{doctor}");
    // With a vault named it works at once.
    home.create(&PAIR);
    home.end();
}

#[test]
fn a_vault_whose_key_is_not_named_or_not_its_own_is_told_and_left_alone() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let vault = home.path().join("vault/secrets.vault");
    let before = std::fs::read(&vault).unwrap();

    let unnamed = without_a_place(&home, &["--json", "cluster", "list"]).status(1).json();
    assert_eq!(unnamed["code"], "vault-broken", "{unnamed:#}");
    assert!(unnamed.to_string().contains("CLUSTERDECK_VAULT_KEY_FILE"), "{unnamed:#}");

    let other = home.beside("other-key");
    std::fs::write(&other, "quite another key that is long enough, fedcba9876543210\n").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let with_other = |words: &[&str]| {
        let mut command = home.command(words);
        command.env("CLUSTERDECK_VAULT_KEY_FILE", &other);
        finish(command.spawn().unwrap())
    };
    let wrong = with_other(&["--json", "cluster", "list"]).status(1).json();
    assert_eq!(wrong["code"], "vault-broken", "{wrong:#}");
    assert!(wrong.to_string().contains("another key"), "{wrong:#}");

    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = with_other(&["--json", "cluster", "list"]).status(1).json();
    assert_eq!(open["code"], "vault-broken", "a key that others can read is refused: {open:#}");

    assert_eq!(std::fs::read(&vault).unwrap(), before, "the vault was left alone");
    home.until_healthy();
    home.end();
}

/// Every password there is right now: people's from the program, the servers' own from their private files.
fn passwords(home: &Home, all: &mut BTreeSet<String>) -> String {
    let people =
        home.ask(&["cluster", "credentials", "demo", "--reveal"])["password"].as_str().unwrap().to_owned();
    for file in files(home.path()).iter().filter(|f| is_private_config(f)) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let secret = match words.as_slice() {
                ["masterauth" | "requirepass", secret] => Some(*secret),
                ["sentinel", "auth-pass" | "sentinel-pass", .., secret] => Some(*secret),
                _ => None,
            };
            all.extend(secret.map(|s| s.trim_matches('"').to_owned()));
        }
    }
    all.insert(people.clone());
    people
}

fn is_private_config(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "conf" || e == "cfg" || e == "acl")
}

/// Every regular file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries
        .flat_map(|p| if p.is_dir() && !p.is_symlink() { files(&p) } else { vec![p] })
        .filter(|p| p.is_file())
        .collect()
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Where a password can be seen that may not be: files, arguments, environments.
fn leaks(home: &Home, people: &BTreeSet<String>, all: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(home.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let mode = file.metadata().map_or(0, |m| m.permissions().mode() & 0o777);
        for secret in all.iter().filter(|s| contains(&bytes, s)) {
            // A server reads its own from a file that only its user can read; nobody needs people's in clear.
            if people.contains(secret) || mode & 0o077 != 0 || !is_private_config(&file) {
                found.push(format!("{} (mode {mode:o})", file.display()));
            }
        }
    }
    for (pid, line) in home.servers() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        for secret in all {
            if contains(line.as_bytes(), secret) {
                found.push(format!("arguments of {pid}"));
            }
            if contains(&environment, secret) {
                found.push(format!("environment of {pid}"));
            }
        }
        for name in ["CLUSTERDECK_VAULT_KEY", "DBUS_SESSION_BUS_ADDRESS"] {
            if contains(&environment, name) {
                found.push(format!("{name} in the environment of {pid}"));
            }
        }
    }
    found
}

#[test]
fn after_a_whole_life_no_password_is_in_a_row_a_log_an_event_an_argument_an_environment_or_an_error() {
    let home = Home::new();
    let app = home.serve();
    let text = |name: &str| app.said[name].as_str().unwrap().to_owned();
    let (url, token) = (text("url"), text("token"));
    let heard = home.beside("events");
    let mut listener = Command::new("curl")
        .args(["-sN", "-H", &format!("Authorization: Bearer {token}"), &format!("{url}/v1/events"), "-o"])
        .arg(&heard)
        .stdin(Stdio::null())
        .spawn()
        .expect("this test needs `curl`");

    let mut said = String::new();
    let act = |said: &mut String, words: &[&str]| {
        let ended = home.settled(words, |_| {});
        assert_eq!(ended.status, Some(0), "{words:?}: {ended}");
        said.push_str(&ended.said());
    };
    let (mut all, mut people) = (BTreeSet::new(), BTreeSet::new());
    act(&mut said, &create(&PAIR));
    people.insert(passwords(&home, &mut all));
    act(&mut said, &["node", "promote", "demo-2", "--yes", "--confirm", "demo-2"]);
    act(&mut said, &["node", "add", "demo", "--yes"]);
    for _ in 0..2 {
        act(&mut said, &["cluster", "rotate", "demo", "--yes"]);
        people.insert(passwords(&home, &mut all));
        assert_eq!(leaks(&home, &people, &all), Vec::<String>::new());
    }
    act(&mut said, &["node", "reboot", "demo-1", "--yes"]);
    act(&mut said, &["cluster", "resync", "demo", "--yes", "--confirm", "demo"]);
    for words in [
        &["cluster", "show", "demo"][..],
        &["cluster", "credentials", "demo"],
        &["cluster", "endpoints", "demo"],
        &["node", "list", "demo"],
        &["node", "logs", "demo-1"],
        &["node", "logs", "demo-1", "--unit", "sentinel"],
        &["operation", "list"],
        &["audit", "list"],
        &["doctor"],
    ] {
        let ended = home.run(words);
        assert_eq!(ended.status, Some(0), "{words:?}: {ended}");
        said.push_str(&ended.said());
        said.push_str(&home.run(&[&["--json"], words].concat()).said());
    }
    // Errors: of the API, of a server, of a start without the vault's key.
    said.push_str(&home.run(&["--json", "node", "promote", "demo-9", "--yes"]).status(4).said());
    said.push_str(&home.run(&["--json", "cluster", "delete", "demo", "--confirm", "x"]).status(6).said());
    assert_eq!(leaks(&home, &people, &all), Vec::<String>::new());
    act(&mut said, &["cluster", "delete", "demo", "--yes", "--confirm", "demo"]);
    drop(app);
    drop(listener.wait());
    said.push_str(&without_a_place(&home, &["--json", "cluster", "list"]).said());

    assert!(
        people.len() == 3 && all.len() >= 6,
        "three of people's and as many of the servers' own: {}",
        all.len()
    );
    assert!(all.iter().all(|secret| secret.len() >= 24), "each long enough to be looked for");
    let events = std::fs::read(&heard).unwrap();
    assert!(contains(&events, "Rotate"), "the events were heard: {}", String::from_utf8_lossy(&events));
    assert_eq!(leaks(&home, &people, &all), Vec::<String>::new());
    for secret in &all {
        assert!(!contains(said.as_bytes(), secret), "an output has a password in it");
        assert!(!contains(&events, secret), "an event has a password in it");
    }
    assert!(!contains(home.log().as_bytes(), &token), "the token is in no log");
}

#[test]
fn what_holds_secrets_is_readable_by_its_owner_only() {
    let home = Home::new();
    home.create(&PAIR);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.path()), 0o700, "the home");
    for name in ["state.db", "cache.db", "state.db.copy", "vault/secrets.vault", "logs/clusterdeck.log"] {
        assert_eq!(mode(&home.path().join(name)), 0o600, "{name}");
    }
    let private: Vec<_> = files(home.path()).into_iter().filter(|f| is_private_config(f)).collect();
    assert!(private.len() >= 6, "the servers' own files: {private:?}");
    for file in private {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    home.end();
}
