//! Rules about the source's text.

use clusterdeck_tests::places::workspace;
use std::path::{Path, PathBuf};

/// A file that passes this is two ideas.
const LONGEST: usize = 600;

/// A source file, by its path below the workspace.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn ends(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src-tauri", "ui/src", "tests"] {
        walk(&workspace().join(folder), &mut found);
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| entry.ok().map(|e| e.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["node_modules", "target", "gen", "build", ".svelte-kit"].contains(&name.as_str()) {
                walk(&path, found);
            }
        } else if ["rs", "ts", "svelte", "toml"].iter().any(|e| path.extension().is_some_and(|x| x == *e)) {
            // A file that another process removes just now is nobody's to judge.
            if let Ok(text) = std::fs::read_to_string(&path) {
                found.push(Source { path: below(&path), text });
            }
        }
    }
}

fn below(path: &Path) -> String {
    path.strip_prefix(workspace())
        .map_or_else(|_| path.to_owned(), PathBuf::from)
        .to_string_lossy()
        .replace('\\', "/")
}

/// A rule: what is wrong with a file, each in a line.
type Rule = fn(&Source) -> Vec<String>;

fn broken(rule: Rule) -> Vec<String> {
    sources().iter().flat_map(rule).collect()
}

fn breaks(rule: Rule, path: &str, text: &str) -> bool {
    !rule(&Source { path: path.to_owned(), text: text.to_owned() }).is_empty()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    // Generated files are as long as what they describe.
    let counts = source.ends(&[".rs", ".ts", ".svelte"]) && !source.ends(&[".d.ts"]);
    if counts && lines > LONGEST { vec![format!("{} has {lines} lines", source.path)] } else { Vec::new() }
}

/// Lines that contain one of the words outside comments.
fn lines_with(source: &Source, words: &[&str], why: &str) -> Vec<String> {
    // This file holds the words themselves.
    if source.path == "tests/architecture/sources.rs" {
        return Vec::new();
    }
    let code = |line: &&str| !line.trim_start().starts_with("//");
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| code(line) && words.iter().any(|word| line.contains(word)))
        .map(|(number, line)| format!("{}:{}: {why}: {}", source.path, number + 1, line.trim()))
        .collect()
}

fn skipped_test(source: &Source) -> Vec<String> {
    if source.ends(&[".rs"]) {
        return lines_with(source, &["#[ignore", "#![cfg(any())]"], "a test that does not run");
    }
    let words = [
        "it.skip(",
        "test.skip(",
        "describe.skip(",
        "it.only(",
        "test.only(",
        "describe.only(",
        "test.fixme(",
        "it.todo(",
    ];
    lines_with(source, &words, "a test that does not run, or keeps others from running")
}

fn unfinished(source: &Source) -> Vec<String> {
    if !source.ends(&[".rs"]) {
        return Vec::new();
    }
    lines_with(source, &["todo!(", "unimplemented!("], "not written yet")
}

fn outside_platform_folder(source: &Source) -> Vec<String> {
    if source.path.starts_with("ui/src/lib/api/") || !source.ends(&[".ts", ".svelte"]) {
        return Vec::new();
    }
    lines_with(source, &["@tauri-apps"], "only ui/src/lib/api knows Tauri")
}

fn lints_not_inherited(source: &Source) -> Vec<String> {
    let is_crate = source.ends(&["Cargo.toml"]);
    let inherits = source.text.contains("[lints]\nworkspace = true");
    if is_crate && !inherits {
        vec![format!("{} lacks `[lints] workspace = true`", source.path)]
    } else {
        Vec::new()
    }
}

const BANNED: [&str; 5] = ["Manager", "Helper", "Util", "Utils", "Processor"];

fn banned_name(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let stem = source.path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or("");
    if ["manager", "helper", "helpers", "util", "utils", "processor"].contains(&stem.to_lowercase().as_str())
    {
        wrong.push(format!("{}: a name that says nothing", source.path));
    }
    let declares = ["struct ", "enum ", "trait ", "type ", "class ", "interface "];
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim_start();
        let line = ["export ", "default ", "pub(crate) ", "pub(super) ", "pub ", "abstract "]
            .iter()
            .fold(line, |line, before| line.strip_prefix(before).unwrap_or(line));
        let Some(rest) = declares.iter().find_map(|word| line.strip_prefix(word)) else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if BANNED.iter().any(|banned| name.ends_with(banned)) {
            wrong.push(format!("{}:{}: {name} is a name that says nothing", source.path, number + 1));
        }
    }
    wrong
}

/// Services of the catalogue and what their families are made of. The window reads all of it from the API.
const FAMILIES: [&str; 16] = [
    "redis",
    "valkey",
    "keydb",
    "sentinel",
    "postgres",
    "timescale",
    "patroni",
    "etcd",
    "mysql",
    "mariadb",
    "galera",
    "haproxy",
    "clickhouse",
    "keycloak",
    "rke2",
    "rabbitmq",
];

/// Texts, icons and what is generated name services; the rest of the window takes them as data. A test needs an example.
fn service_in_the_window(source: &Source) -> Vec<String> {
    let named =
        ["ui/src/lib/messages/", "ui/src/lib/components/ServiceMark.svelte", "ui/src/lib/api/schema.d.ts"];
    if !source.path.starts_with("ui/src/")
        || named.iter().any(|path| source.path.starts_with(path))
        || source.ends(&[".test.ts"])
    {
        return Vec::new();
    }
    let comment =
        |line: &str| ["//", "/*", "*", "<!--"].iter().any(|start| line.trim_start().starts_with(start));
    let names = |line: &str| {
        let code = line.split(" // ").next().unwrap_or_default().to_lowercase();
        // Hydra is also the middle of a word of Svelte's.
        FAMILIES.iter().any(|name| code.contains(name)) || code.replace("hydrat", "").contains("hydra")
    };
    let lines = source.text.lines().enumerate().filter(|(_, line)| !comment(line) && names(line));
    lines
        .map(|(number, line)| format!("{}:{}: names a service: {}", source.path, number + 1, line.trim()))
        .collect()
}

#[test]
fn each_rule_finds_what_breaks_it() {
    assert!(breaks(too_long, "a.rs", &"x\n".repeat(LONGEST + 1)), "a long file");
    assert!(!breaks(too_long, "a.rs", &"x\n".repeat(LONGEST)), "the limit itself is fine");
    assert!(!breaks(too_long, "schema.d.ts", &"x\n".repeat(LONGEST + 1)), "a generated file");
    assert!(breaks(skipped_test, "a.rs", "    #[ignore = \"slow\"]"), "an ignored test");
    assert!(
        breaks(skipped_test, "a.test.ts", "it.only('x', () => {})"),
        "a test that keeps others from running"
    );
    assert!(!breaks(skipped_test, "a.rs", "// #[ignore] is banned"), "a comment");
    assert!(breaks(unfinished, "a.rs", "fn f() { todo!() }"), "a hole");
    assert!(
        breaks(outside_platform_folder, "ui/src/routes/+page.svelte", "import '@tauri-apps/api'"),
        "Tauri in a screen"
    );
    assert!(
        !breaks(outside_platform_folder, "ui/src/lib/api/tauri.ts", "import '@tauri-apps/api'"),
        "its own folder"
    );
    assert!(breaks(lints_not_inherited, "x/Cargo.toml", "[package]"), "a crate with lints of its own");
    assert!(breaks(banned_name, "a.rs", "pub(crate) struct ClusterManager {"), "a banned type");
    assert!(breaks(banned_name, "ui/src/lib/utils.ts", ""), "a banned file");
    assert!(!breaks(banned_name, "a.rs", "struct Utilisation;"), "a word that only begins alike");
    let screen = "ui/src/lib/features/wizard/draft.ts";
    assert!(breaks(service_in_the_window, screen, "if (service === 'redis') {"), "a service in a screen");
    assert!(breaks(service_in_the_window, screen, "const HYDRA = 1;"), "another");
    assert!(!breaks(service_in_the_window, screen, "/** `redis-1`, for example. */"), "a comment");
    assert!(!breaks(service_in_the_window, screen, "hydrate(page); // as Redis does"), "a word of Svelte's");
    assert!(!breaks(service_in_the_window, "ui/src/lib/messages/en.ts", "redis: 'Redis'"), "a text");
}

#[test]
fn no_file_is_two_ideas() {
    assert_eq!(broken(too_long), Vec::<String>::new(), "files over {LONGEST} lines");
}

#[test]
fn every_test_runs() {
    assert_eq!(broken(skipped_test), Vec::<String>::new());
}

#[test]
fn nothing_is_left_unwritten() {
    assert_eq!(broken(unfinished), Vec::<String>::new());
}

#[test]
fn only_the_transport_knows_tauri_in_the_window() {
    assert_eq!(broken(outside_platform_folder), Vec::<String>::new());
}

#[test]
fn no_screen_names_a_service() {
    assert_eq!(broken(service_in_the_window), Vec::<String>::new());
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    assert_eq!(broken(lints_not_inherited), Vec::<String>::new());
}

#[test]
fn no_type_or_file_is_named_after_nothing() {
    assert_eq!(broken(banned_name), Vec::<String>::new());
}
