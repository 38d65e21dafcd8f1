//! Earlier shapes of `state.db`, as their programs wrote them. What stands here is frozen: it is what lies on disks.

use crate::made;
use clusterdeck_domain::OperationId;
use clusterdeck_engine::repository::{Page, RepositoryError, StateRepository};
use clusterdeck_store::State;
use rusqlite::Connection;
use std::path::Path;

const RECORD: &str = "CREATE TABLE migrations (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, at TEXT NOT NULL, program TEXT NOT NULL) STRICT;";

/// What each shape added to the one before, and a row that was written in it.
const SHAPES: [(&str, &str); 6] = [
    (
        "clusters",
        "CREATE TABLE clusters (
           id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, generation INTEGER NOT NULL, body TEXT NOT NULL,
           sum INTEGER NOT NULL) STRICT;",
    ),
    (
        "operations",
        "CREATE TABLE operations (
           seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, cluster_id TEXT NOT NULL,
           state TEXT NOT NULL, ended INTEGER NOT NULL, idempotency_key TEXT UNIQUE, operation TEXT NOT NULL,
           change TEXT NOT NULL, frame TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
         CREATE INDEX operations_of_cluster ON operations (cluster_id, seq);
         CREATE INDEX operations_unfinished ON operations (seq) WHERE ended = 0;",
    ),
    (
        "journal",
        "CREATE TABLE journal (
           seq INTEGER PRIMARY KEY AUTOINCREMENT,
           operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
           at TEXT NOT NULL, step TEXT, step_state TEXT, state TEXT NOT NULL, text TEXT) STRICT;
         CREATE INDEX journal_of_operation ON journal (operation, seq);",
    ),
    (
        "audit",
        "CREATE TABLE audit (
           id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
           cluster_id TEXT, cluster TEXT, node TEXT, operation TEXT, result TEXT NOT NULL, text TEXT NOT NULL) STRICT;
         CREATE INDEX audit_of_cluster ON audit (cluster_id, id);",
    ),
    (
        "settings",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;",
    ),
    ("backups", "CREATE TABLE backups (id TEXT PRIMARY KEY, body TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;"),
];

/// Writes a file of that shape, with a row in each of its tables.
fn write(path: &Path, shape: usize) {
    let file = Connection::open(path).expect("a file");
    file.pragma_update(None, "journal_mode", "wal").expect("WAL");
    file.pragma_update(None, "application_id", 0x434c_4453).expect("ours");
    file.pragma_update(None, "user_version", shape as i64).expect("its shape");
    file.execute_batch(RECORD).expect("the record");
    for (index, (name, sql)) in SHAPES.iter().take(shape).enumerate() {
        file.execute_batch(sql).expect("a table");
        file.execute(
            "INSERT INTO migrations VALUES (?1, ?2, '2026-01-01T00:00:00Z', '0.0.1')",
            (index as i64 + 1, name),
        )
        .expect("its record");
    }
    let spec = made::cluster(1, "demo");
    let row = made::operation(1, &spec, Some("key"));
    let sum = |parts: &[&str]| {
        let mut hash = crc32fast::Hasher::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        hash.finalize()
    };
    let text = |value: serde_json::Value| value.to_string();
    if shape >= 1 {
        let body = text(serde_json::to_value(&spec).expect("JSON"));
        let sum = sum(&[&body]);
        file.execute("INSERT INTO clusters VALUES (?1, 'demo', 1, ?2, ?3)", (spec.id.as_str(), body, sum))
            .expect("row");
    }
    if shape >= 2 {
        let operation = text(serde_json::to_value(&row.operation).expect("JSON"));
        let change = text(serde_json::to_value(&row.change).expect("JSON"));
        let frame = text(row.frame.clone());
        let sum = sum(&[&operation, &change, &frame, "key"]);
        file.execute(
            "INSERT INTO operations VALUES (1, ?1, ?2, 'running', 0, 'key', ?3, ?4, ?5, ?6)",
            (row.operation.id.as_str(), spec.id.as_str(), operation, change, frame, sum),
        )
        .expect("row");
    }
    if shape >= 3 {
        file.execute(
            "INSERT INTO journal VALUES (1, ?1, '2026-11-22T10:00:00Z', 'drain-writes', 'running', 'running', 'old')",
            [row.operation.id.as_str()],
        )
        .expect("row");
    }
    if shape >= 4 {
        file.execute(
            "INSERT INTO audit VALUES
             (7, '2026-11-22T10:00:00Z', 'cli:anna', 'promote-node', ?1, 'demo', NULL, NULL, 'asked', 'old')",
            [spec.id.as_str()],
        )
        .expect("row");
    }
    if shape >= 5 {
        file.execute("INSERT INTO settings VALUES ('old', '7', ?1)", [sum(&["7"])]).expect("row");
    }
}

#[tokio::test]
async fn a_file_of_every_earlier_shape_is_brought_up_with_its_rows_and_a_copy_is_kept() {
    for shape in 0..=SHAPES.len() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("state.db");
        write(&path, shape);
        let state = State::open(home.path()).unwrap_or_else(|e| panic!("shape {shape}: {e}"));
        let spec = made::cluster(1, "demo");
        let row = made::operation(1, &spec, Some("key"));

        let clusters = state.clusters().await.expect("reads");
        assert_eq!(clusters.len(), usize::from(shape >= 1), "clusters of shape {shape}");
        let found = state.operation(&OperationId::new(1)).await.expect("reads");
        assert_eq!(found, (shape >= 2).then_some(row.clone()), "the operation of shape {shape}");
        let journal = state.journal(&OperationId::new(1)).await.expect("reads");
        assert_eq!(journal.len(), usize::from(shape >= 3), "the journal of shape {shape}");
        let (trail, _) = state.audit(&Page { limit: 10, ..Page::default() }).await.expect("reads");
        assert_eq!(trail.len(), usize::from(shape >= 4), "the audit trail of shape {shape}");
        let setting = state.setting("old").await.expect("reads");
        assert_eq!(setting, (shape >= 5).then(|| serde_json::json!(7)), "the setting of shape {shape}");
        assert!(state.backups().await.expect("reads").is_empty());
        assert!(state.log_pieces().await.expect("reads").is_empty(), "what is new can be used");

        let kept = home.path().join("state.db.before-7");
        assert_eq!(kept.exists(), shape > 0, "a copy of shape {shape}; a file without a shape holds nothing");
        drop(state);
        let file = Connection::open(&path).expect("the file");
        let record: Vec<(u32, String)> = file
            .prepare("SELECT version, name FROM migrations ORDER BY version")
            .expect("the record")
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("rows");
        let names: Vec<&str> = record.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(
            names,
            ["clusters", "operations", "journal", "audit", "settings", "backups", "log"],
            "all are on record, once"
        );
        if shape > 0 {
            let copy = Connection::open(&kept).expect("the copy");
            let version: i64 =
                copy.pragma_query_value(None, "user_version", |row| row.get(0)).expect("its shape");
            assert_eq!(version, shape as i64, "the copy is of the shape before");
            let rows: i64 =
                copy.query_row("SELECT count(*) FROM clusters", [], |row| row.get(0)).expect("its rows");
            assert_eq!(rows, 1, "with its rows");
        }
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("state.db");
    write(&path, 3);
    // In the way of shape 5, after shape 4 has been made.
    Connection::open(&path)
        .expect("opens")
        .execute_batch("CREATE TABLE settings (other TEXT)")
        .expect("in the way");
    assert!(State::open(home.path()).is_err(), "the migration cannot run");
    let file = Connection::open(&path).expect("opens");
    let version: u32 = file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("its shape");
    let recorded: u32 =
        file.query_row("SELECT max(version) FROM migrations", [], |row| row.get(0)).expect("record");
    let audit: bool = file
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'audit')", [], |row| row.get(0))
        .expect("schema");
    assert_eq!((version, recorded, audit), (3, 3, false), "neither the shape, nor the record, nor a table");
}

#[test]
fn a_file_of_a_newer_program_is_refused_and_left_alone() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("state.db");
    drop(State::open(home.path()).expect("opens"));
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", 9).expect("newer");
    std::fs::copy(&path, home.path().join("state.db.before-9")).expect("the newer program kept a copy");
    let before = std::fs::read(&path).expect("reads");
    let Err(RepositoryError::Broken { file, what }) = State::open(home.path()) else {
        panic!("must be refused")
    };
    assert!(file.ends_with("state.db"), "it names the file: {file}");
    for word in ["newer Clusterdeck", "shape 9", "up to 7", "not changed", "state.db.before-9"] {
        assert!(what.contains(word), "`{word}` is missing from: {what}");
    }
    assert_eq!(std::fs::read(&path).expect("reads"), before, "not a byte was changed");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let file = Connection::open(home.path().join("state.db")).expect("a file");
    file.execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("theirs");
    drop(file);
    let error = State::open(home.path()).err().expect("refused").to_string();
    assert!(error.contains("does not say that it is Clusterdeck's"), "{error}");
}

#[test]
fn a_cluster_says_where_other_computers_reach_it_and_one_from_before_says_nothing() {
    let mut body = serde_json::to_value(made::cluster(1, "demo")).expect("JSON");
    assert!(body.get("exposure").is_none(), "as every row was written before");
    for (frozen, on) in [
        (serde_json::json!({"on": "192.0.2.7", "port": 6380}), Some("192.0.2.7")),
        (serde_json::json!({"on": null, "port": 6380}), None),
    ] {
        body["exposure"] = frozen.clone();
        let spec: clusterdeck_domain::ClusterSpec = serde_json::from_value(body.clone()).expect("reads");
        let exposure = spec.exposure.expect("it is there");
        assert_eq!((exposure.on.map(|on| on.to_string()).as_deref(), exposure.port), (on, 6380));
        assert_eq!(serde_json::to_value(&spec).expect("JSON")["exposure"], frozen, "and is written so");
    }
}
