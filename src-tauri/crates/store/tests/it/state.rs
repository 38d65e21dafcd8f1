//! `state.db` in everyday life.

use crate::made;
use clusterdeck_domain::{ClusterId, OperationId, OperationState};
use clusterdeck_engine::repository::{Page, RepositoryError, StateRepository};
use clusterdeck_store::State;
use std::collections::BTreeSet;

fn page(limit: u32, cursor: Option<String>) -> Page {
    Page { limit, cursor, cluster: None }
}

#[tokio::test]
async fn a_cluster_is_replaced_only_by_its_next_generation() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let mut spec = made::cluster(1, "demo");
    state.put_cluster(&spec).await.expect("the first generation");

    assert!(
        matches!(state.put_cluster(&spec).await, Err(RepositoryError::Stale { .. })),
        "it is there already"
    );
    spec.generation = 3;
    assert!(matches!(state.put_cluster(&spec).await, Err(RepositoryError::Stale { .. })), "one was left out");
    spec.generation = 2;
    spec.protected = false;
    state.put_cluster(&spec).await.expect("the next one");
    assert!(matches!(state.put_cluster(&spec).await, Err(RepositoryError::Stale { .. })), "only once");

    let mut absent = made::cluster(2, "absent");
    absent.generation = 2;
    assert!(
        matches!(state.put_cluster(&absent).await, Err(RepositoryError::Stale { .. })),
        "there is no first one"
    );
    assert_eq!(state.clusters().await.expect("reads"), [spec], "what was written last is what is read");
}

#[tokio::test]
async fn two_clusters_cannot_have_one_name() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let (one, other) = (made::cluster(1, "demo"), made::cluster(2, "demo"));
    state.put_cluster(&one).await.expect("the first");
    let refused = state.put_cluster(&other).await.expect_err("the name is taken");
    assert_eq!(refused.to_string(), "a cluster named `demo` is there already", "and it says which");

    state.remove_cluster(&one.id).await.expect("removes");
    state.remove_cluster(&one.id).await.expect("removing it again does nothing");
    state.put_cluster(&other).await.expect("the name is free again");
    assert_eq!(state.clusters().await.expect("reads").len(), 1, "one cluster");
}

#[tokio::test]
async fn clusters_come_by_name() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    for (number, name) in [(1, "zebra"), (2, "ant"), (3, "mole")] {
        state.put_cluster(&made::cluster(number, name)).await.expect("writes");
    }
    let names: Vec<String> =
        state.clusters().await.expect("reads").iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["ant", "mole", "zebra"], "in order");
}

#[tokio::test]
async fn an_operation_is_created_with_all_that_belongs_to_it_or_not_at_all() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let spec = made::cluster(1, "demo");
    let row = made::operation(1, &spec, Some("key-1"));
    state
        .create_operation(&row, &made::line(&row, "begins"), &made::audit(&row, "asked"), Some(&spec))
        .await
        .expect("all of it");
    assert_eq!(state.operation(&row.operation.id).await.expect("reads"), Some(row.clone()), "the row");
    assert_eq!(state.operation_by_key("key-1").await.expect("reads"), Some(row.clone()), "by its key");
    assert_eq!(state.clusters().await.expect("reads"), std::slice::from_ref(&spec), "the cluster");
    assert_eq!(
        state.journal(&row.operation.id).await.expect("reads"),
        [made::line(&row, "begins")],
        "the journal"
    );

    // The same cluster again: its generation is wrong, so nothing of the second operation may stay.
    let second = made::operation(2, &spec, Some("key-2"));
    let refused = state
        .create_operation(
            &second,
            &made::line(&second, "begins"),
            &made::audit(&second, "asked"),
            Some(&spec),
        )
        .await;
    assert!(matches!(refused, Err(RepositoryError::Stale { .. })), "the cluster's row is stale");
    assert_eq!(state.operation(&second.operation.id).await.expect("reads"), None, "no row");
    assert!(state.journal(&second.operation.id).await.expect("reads").is_empty(), "no journal");
    let (trail, _) = state.audit(&page(10, None)).await.expect("reads");
    assert_eq!(trail.len(), 1, "no line in the audit trail");
    assert_eq!(trail[0].text, "asked", "only the first one's");
}

#[tokio::test]
async fn an_idempotency_key_is_used_once() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let spec = made::cluster(1, "demo");
    let (first, second) = (made::operation(1, &spec, Some("same")), made::operation(2, &spec, Some("same")));
    let create = |row: &clusterdeck_engine::repository::OperationRow| {
        let (row, state) = (row.clone(), &state);
        async move { state.create_operation(&row, &made::line(&row, "b"), &made::audit(&row, "a"), None).await }
    };
    create(&first).await.expect("the first");
    assert!(matches!(create(&second).await, Err(RepositoryError::Conflict { .. })), "the key is taken");
    assert!(
        matches!(create(&first).await, Err(RepositoryError::Conflict { .. })),
        "so is the whole operation"
    );
    let found = state.operation_by_key("same").await.expect("reads").expect("there");
    assert_eq!(found.operation.id, first.operation.id, "the key still names the first");
    for number in 3..5 {
        create(&made::operation(number, &spec, None)).await.expect("any number may have none");
    }
}

#[tokio::test]
async fn what_is_recorded_is_what_is_resumed() {
    let home = tempfile::tempdir().expect("a folder");
    let spec = made::cluster(1, "demo");
    let mut rows = Vec::new();
    {
        let state = State::open(home.path()).expect("opens");
        // Ids fall while time goes on: the order must come from when they were confirmed.
        for number in (1..=4).rev() {
            let row = made::operation(number, &spec, None);
            state
                .create_operation(&row, &made::line(&row, "begins"), &made::audit(&row, "asked"), None)
                .await
                .expect("creates");
            rows.push(row);
        }
        rows[1].operation.state = OperationState::Succeeded;
        rows[2].operation.state = OperationState::Unwinding;
        rows[2].frame = serde_json::json!({ "learned": true });
        for row in &rows[1..3] {
            state.record(row, &made::line(row, "goes on")).await.expect("records");
        }
        let unknown = made::operation(99, &spec, None);
        assert!(
            state.record(&unknown, &made::line(&unknown, "?")).await.is_err(),
            "there is no such operation"
        );
    }
    let state = State::open(home.path()).expect("opens again");
    let expected = [rows[0].clone(), rows[2].clone(), rows[3].clone()];
    assert_eq!(state.unfinished().await.expect("reads"), expected, "all that have not ended, oldest first");
    let journal = state.journal(&rows[2].operation.id).await.expect("reads");
    assert_eq!(
        journal.iter().filter_map(|l| l.text.as_deref()).collect::<Vec<_>>(),
        ["begins", "goes on"],
        "in order"
    );
}

#[tokio::test]
async fn lists_page_from_the_newest_without_a_gap_or_a_double() {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    let (demo, other) = (made::cluster(1, "demo"), made::cluster(2, "other"));
    for number in 0..25 {
        let row = made::operation(number, if number % 5 == 0 { &other } else { &demo }, None);
        let audit = made::audit(&row, &format!("line {number}"));
        state.create_operation(&row, &made::line(&row, "begins"), &audit, None).await.expect("creates");
    }
    let (mut ids, mut lines, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let (items, next) = state.operations(&page(10, cursor)).await.expect("a page");
        ids.extend(items.into_iter().map(|o| o.id));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<OperationId> = (0..25).rev().map(OperationId::new).collect();
    assert_eq!(ids, expected, "every operation once, newest first");
    loop {
        let (items, next) = state.audit(&page(5, cursor)).await.expect("a page");
        lines.extend(items);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(lines.len(), 25, "a last page that is exactly full is not followed by an empty one");
    assert_eq!(lines.iter().map(|l| l.id).collect::<BTreeSet<_>>().len(), 25, "each has a number of its own");
    assert_eq!(lines[0].text, "line 24", "newest first");

    let of_other = Page { limit: 3, cursor: None, cluster: Some(other.id.clone()) };
    let (items, next) = state.operations(&of_other).await.expect("a page");
    assert_eq!(items.len(), 3, "a page of one cluster's");
    let (items, next) = state.operations(&Page { cursor: next, ..of_other.clone() }).await.expect("the next");
    assert_eq!((items.len(), next), (2, None), "the rest");
    assert!(items.iter().all(|o| o.cluster_id == other.id), "and no other's");
    let (trail, _) = state.audit(&Page { limit: 0, ..of_other }).await.expect("a page");
    assert_eq!(trail.len(), 5, "a limit that is not given is not zero");
    let unknown = Page { limit: 10, cursor: None, cluster: Some(ClusterId::new(77)) };
    assert!(state.operations(&unknown).await.expect("a page").0.is_empty(), "an unknown cluster has none");
    assert!(
        state.operations(&page(10, Some("nonsense".to_owned()))).await.is_err(),
        "a made-up cursor is refused"
    );
}

#[tokio::test]
async fn settings_are_kept_by_key() {
    let home = tempfile::tempdir().expect("a folder");
    let value = serde_json::json!({ "theme": "dark", "figures": { "lag": 1_048_576_u64, "part": 0.2 } });
    {
        let state = State::open(home.path()).expect("opens");
        assert_eq!(state.setting("settings").await.expect("reads"), None, "nothing yet");
        state.set_setting("settings", &serde_json::json!(1)).await.expect("writes");
        state.set_setting("settings", &value).await.expect("writes over it");
    }
    let state = State::open(home.path()).expect("opens again");
    assert_eq!(state.setting("settings").await.expect("reads"), Some(value), "the newer one");
}

#[tokio::test]
async fn many_callers_at_once_are_all_served() {
    let home = tempfile::tempdir().expect("a folder");
    let state = std::sync::Arc::new(State::open(home.path()).expect("opens"));
    let spec = made::cluster(1, "demo");
    let row = made::operation(1, &spec, None);
    let callers: Vec<_> = (0..500)
        .map(|number| {
            let (state, entry) = (std::sync::Arc::clone(&state), made::audit(&row, &format!("{number}")));
            tokio::spawn(async move { state.add_audit(&entry).await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic").expect("written, though the queue is shorter");
    }
    let (lines, _) = state.audit(&page(500, None)).await.expect("reads");
    assert_eq!(lines.len(), 500, "every one of them");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("deep").join("home");
    // A file that somebody made readable is taken back.
    std::fs::create_dir_all(&home).expect("a home");
    std::fs::write(home.join("state.db"), []).expect("a file");
    std::fs::set_permissions(home.join("state.db"), std::fs::Permissions::from_mode(0o644))
        .expect("readable");

    let state = State::open(&home).expect("opens");
    let spec = made::cluster(1, "demo");
    let row = made::operation(1, &spec, None);
    state
        .create_operation(&row, &made::line(&row, "b"), &made::audit(&row, "a"), Some(&spec))
        .await
        .expect("writes");
    state.clusters().await.expect("one more call, so that the copy after the first is made");
    let _cache = clusterdeck_store::Cache::open(&home).expect("opens");
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(&home).expect("lists") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} is for its owner only", entry.path().display());
        seen.insert(entry.file_name().to_string_lossy().into_owned());
    }
    for name in ["state.db", "state.db-wal", "state.db-shm", "state.db.copy", "cache.db", "cache.db-wal"] {
        assert!(seen.contains(name), "{name} is among {seen:?}");
    }
}
