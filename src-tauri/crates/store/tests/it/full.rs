//! A disk that is full: a small one of our own, in a mount namespace that ends with the test's process.

use crate::made;
use clusterdeck_domain::OperationId;
use clusterdeck_engine::repository::{CacheRepository, RepositoryError, SampleRow, StateRepository};
use clusterdeck_store::{Cache, State};
use std::{fs, path::Path, process::Command};

const DISK: &str = "STORE_TEST_DISK";

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_nothing_is_lost_and_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    // As root a namespace is enough; else one in which we are root.
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root { &["--mount"] } else { &["--mount", "--map-root-user"] };
    let script = "mount -t tmpfs -o size=3m,mode=700 none \"$STORE_TEST_DISK\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", script, "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "full::the_small_disk_is_filled", "--nocapture", "--test-threads=1"])
        .env(DISK, folder.path())
        .output()
        .expect("unshare is part of every Linux");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("the small disk was filled"), "{said}");
}

/// Runs on the small disk when the test above started this program; alone it checks that it was not.
#[tokio::test]
async fn the_small_disk_is_filled() {
    let Ok(disk) = std::env::var(DISK) else {
        assert!(std::env::var_os(DISK).is_none(), "a path in UTF-8");
        return;
    };
    let home = Path::new(&disk);
    state_fills(&home.join("one")).await;
    fs::remove_dir_all(home.join("one")).expect("room for the other");
    cache_fills(&home.join("other")).await;
    println!("the small disk was filled");
}

fn is_full<T: std::fmt::Debug>(result: Result<T, RepositoryError>, name: &str) {
    match result {
        Err(RepositoryError::DiskFull { file }) => assert!(file.ends_with(name), "it names the file: {file}"),
        other => panic!("must say that the disk is full, said {other:?}"),
    }
}

async fn state_fills(home: &Path) {
    let state = State::open(home).expect("opens");
    let spec = made::cluster(1, "demo");
    let mut kept = 0;
    let last = loop {
        let mut row = made::operation(kept, &spec, None);
        row.frame = serde_json::json!({ "pad": "x".repeat(2_000) });
        match state.create_operation(&row, &made::line(&row, "b"), &made::audit(&row, "a"), None).await {
            Ok(()) => kept += 1,
            Err(error) => break Err::<(), _>(error),
        }
        assert!(kept < 10_000, "the disk is small");
    };
    is_full(last, "state.db");
    assert!(kept > 20, "it had room for some: {kept}");
    for number in 0..kept {
        assert!(
            state.operation(&OperationId::new(number)).await.expect("reads").is_some(),
            "{number} was acknowledged"
        );
    }
    assert_eq!(
        state.operation(&OperationId::new(kept)).await.expect("reads"),
        None,
        "the refused one is not there"
    );
    drop(state);

    // Not a byte is left: starting is refused for that reason, or works; nothing else.
    let ballast = home.join("ballast");
    let filled = fs::write(&ballast, vec![0; 4 << 20]);
    assert!(filled.is_err(), "the rest is filled");
    match State::open(home) {
        Ok(state) => {
            let row = made::operation(kept, &spec, None);
            let line = made::line(&row, "b");
            is_full(state.create_operation(&row, &line, &made::audit(&row, "a"), None).await, "state.db");
        }
        Err(error) => is_full(Err::<(), _>(error), "state.db"),
    }

    // Once there is room it goes on where it was.
    fs::remove_file(&ballast).expect("room");
    for age in [".copy", ".copy.1", ".copy.2"] {
        let _absent = fs::remove_file(home.join(format!("state.db{age}"))).is_err();
    }
    let state = State::open(home).expect("opens");
    assert_eq!(state.unfinished().await.expect("reads").len() as u128, kept, "all that was acknowledged");
    state.put_cluster(&spec).await.expect("and it can be written");
    assert!(
        !fs::read_dir(home).expect("lists").flatten().any(|f| f.path().to_string_lossy().ends_with("draft"))
    );
}

async fn cache_fills(home: &Path) {
    let spec = made::cluster(1, "demo");
    let cache = Cache::open(home).expect("opens");
    let filled = fs::write(home.join("ballast"), vec![0; 4 << 20]);
    assert!(filled.is_err(), "the rest is filled");
    let mut full = None;
    for round in 0..200 {
        // A minute each, so that each must be written.
        let samples: Vec<SampleRow> = (0..50)
            .map(|node| SampleRow {
                cluster: spec.id.clone(),
                node: clusterdeck_domain::NodeId::new(node),
                at: round * 60_000,
                values: vec![Some(1.0); 9],
            })
            .collect();
        if let Err(error) = cache.add_samples(&samples).await {
            full = Some(error);
            break;
        }
    }
    is_full(full.map_or(Ok(()), Err), "cache.db");
    is_full(cache.put_copy("team", "/v1/clusters", &[b'x'; 100_000], made::moment()).await, "cache.db");
    fs::remove_file(home.join("ballast")).expect("room");
    cache.put_observed(&spec.id, &made::observed(&spec)).await.expect("it goes on");
    assert_eq!(cache.observed().await.expect("reads").len(), 1, "and reads");
}
