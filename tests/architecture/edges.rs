//! Who may know whom: the table of ARCHITECTURE.md against `cargo metadata`.

use clusterdeck_tests::places::workspace;
use serde_json::Value;
use std::process::Command;

/// A crate, and the crates of ours that it may depend on.
const ROOMS: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("driver", &["domain"]),
    ("services", &["driver", "domain"]),
    ("providers", &["driver", "domain"]),
    ("vaults", &["driver", "domain"]),
    ("engine", &["driver", "domain"]),
    // The engine defines the traits that these two implement.
    ("store", &["engine", "domain"]),
    ("secrets", &["engine", "domain"]),
    ("charts", &["domain"]),
    ("api", &["engine", "store", "secrets", "charts", "domain"]),
    (
        "cli",
        &[
            "api",
            "engine",
            "store",
            "secrets",
            "charts",
            "services",
            "providers",
            "vaults",
            "driver",
            "domain",
        ],
    ),
    (
        "desktop",
        &[
            "cli",
            "api",
            "engine",
            "store",
            "secrets",
            "charts",
            "services",
            "providers",
            "vaults",
            "driver",
            "domain",
        ],
    ),
    (
        "testkit",
        &[
            "api",
            "engine",
            "store",
            "secrets",
            "charts",
            "services",
            "providers",
            "vaults",
            "driver",
            "domain",
        ],
    ),
    ("xtask", &[]),
    (
        "tests",
        &[
            "testkit",
            "cli",
            "api",
            "engine",
            "store",
            "secrets",
            "charts",
            "services",
            "providers",
            "vaults",
            "driver",
            "domain",
        ],
    ),
];

/// Libraries that one room keeps from all others, by the beginning of their name.
const KEPT: [(&str, &str); 10] = [
    ("tauri", "desktop"),
    ("gtk", "desktop"),
    ("rusqlite", "store"),
    ("keyring-core", "secrets"),
    ("zbus-secret-service", "secrets"),
    ("apple-native-keyring", "secrets"),
    ("windows-native-keyring", "secrets"),
    ("plotters", "charts"),
    ("age", "vaults"),
    ("zstd", "vaults"),
];

/// A line of a crate's manifest: its room, what it depends on, and whether only its tests do.
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

fn edges() -> Vec<Edge> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .expect("cargo metadata starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .flat_map(|package| {
            let from = room(package["name"].as_str().expect("a name"));
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            dependencies.iter().map(move |d| Edge {
                from: from.clone(),
                to: d["name"].as_str().expect("a name").to_owned(),
                dev: d["kind"] == "dev",
            })
        })
        .collect()
}

fn room(package: &str) -> String {
    package.strip_prefix("clusterdeck-").unwrap_or(package).to_owned()
}

/// Why an edge is forbidden, if it is.
fn complaint(edge: &Edge) -> Option<String> {
    let Edge { from, to, dev } = edge;
    if let Some(other) = to.strip_prefix("clusterdeck-") {
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| name == from) else {
            return Some(format!("{from} is not in the table of rooms"));
        };
        // Fakes are for everybody's tests but the domain's, which needs none; a service's tests need machines to stand on.
        let for_tests = match other {
            "testkit" => from != "domain",
            "providers" => from == "services",
            _ => false,
        };
        let fine = allowed.contains(&other) || other == from || (*dev && for_tests);
        return (!fine).then(|| format!("{from} may not know {other}"));
    }
    let (kept, keeper) = KEPT.iter().find(|(kept, _)| to == kept || to.starts_with(&format!("{kept}-")))?;
    (from != keeper).then(|| format!("{from} may not use {to}: {kept} is {keeper}'s"))
}

#[test]
fn a_forbidden_edge_is_found() {
    let edge = |from: &str, to: &str, dev| Edge { from: from.to_owned(), to: to.to_owned(), dev };
    let wrong = [
        edge("domain", "clusterdeck-engine", false),
        edge("services", "clusterdeck-providers", false),
        edge("engine", "clusterdeck-testkit", false),
        edge("domain", "clusterdeck-testkit", true),
        edge("cli", "tauri", false),
        edge("api", "tauri-plugin-notification", false),
        edge("engine", "rusqlite", false),
        edge("newcomer", "clusterdeck-domain", false),
    ];
    for edge in &wrong {
        assert!(complaint(edge).is_some(), "{} → {} must be refused", edge.from, edge.to);
    }
    let right = [
        edge("engine", "clusterdeck-testkit", true),
        edge("store", "rusqlite", false),
        edge("cli", "clap", false),
    ];
    for edge in &right {
        assert_eq!(complaint(edge), None, "{} → {} is fine", edge.from, edge.to);
    }
}

#[test]
fn nobody_knows_whom_they_may_not_know() {
    let edges = edges();
    assert!(edges.len() > 40, "cargo metadata gave only {} edges", edges.len());
    let wrong: Vec<String> = edges.iter().filter_map(complaint).collect();
    assert!(
        wrong.is_empty(),
        "forbidden edges; see \"Who may know whom\" in ARCHITECTURE.md:\n{}",
        wrong.join("\n")
    );
}
