//! Observations and copies of answers.

use crate::made;
use clusterdeck_engine::repository::CacheRepository;
use clusterdeck_store::{Cache, KeptCopy, Limits};

#[tokio::test]
async fn the_last_observation_of_each_cluster_is_there_after_a_restart() {
    let home = tempfile::tempdir().expect("a folder");
    let (one, two) = (made::cluster(1, "one"), made::cluster(2, "two"));
    {
        let cache = Cache::open(home.path()).expect("opens");
        let mut older = made::observed(&one);
        older.endpoint_up = Some(false);
        cache.put_observed(&one.id, &older).await.expect("writes");
        cache.put_observed(&one.id, &made::observed(&one)).await.expect("writes over it");
        cache.put_observed(&two.id, &made::observed(&two)).await.expect("writes");
    }
    let cache = Cache::open(home.path()).expect("opens again");
    let found = cache.observed().await.expect("reads");
    assert_eq!(
        found,
        [(one.id.clone(), made::observed(&one)), (two.id.clone(), made::observed(&two))],
        "the newest"
    );
    cache.forget(&one.id).await.expect("forgets");
    assert_eq!(cache.observed().await.expect("reads").len(), 1, "one is left");
}

#[tokio::test]
async fn a_copy_is_read_back_with_its_time_and_goes_with_its_connection() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    cache.put_copy("team", "/v1/clusters", b"old", made::moment()).await.expect("keeps");
    let later = made::moment() + jiff::SignedDuration::from_secs(60);
    cache.put_copy("team", "/v1/clusters", b"new", later).await.expect("keeps");
    cache.put_copy("other", "/v1/clusters", b"theirs", made::moment()).await.expect("keeps");
    let found = cache.get_copy("team", "/v1/clusters").await.expect("reads");
    assert_eq!(
        found,
        Some(KeptCopy { body: b"new".to_vec(), at: later }),
        "the newest, and when it was given"
    );
    assert_eq!(cache.get_copy("team", "/v1/audit").await.expect("reads"), None, "another path has none");
    cache.forget_connection("team").await.expect("forgets");
    assert_eq!(cache.get_copy("team", "/v1/clusters").await.expect("reads"), None, "gone");
    assert!(
        cache.get_copy("other", "/v1/clusters").await.expect("reads").is_some(),
        "another connection's stays"
    );
}

#[tokio::test]
async fn copies_are_bounded_and_the_least_recently_used_go_first() {
    let home = tempfile::tempdir().expect("a folder");
    let limits = Limits { copies: 10, copy_bytes: 80_000, ..Limits::default() };
    let cache = Cache::open_with(home.path(), limits).expect("opens");
    let put = |n: u32, size: usize| {
        let (path, body) = (format!("/v1/clusters/{n}"), vec![b'x'; size]);
        let cache = &cache;
        async move { cache.put_copy("team", &path, &body, made::moment()).await.expect("keeps") }
    };
    let has = |n: u32| {
        let (path, cache) = (format!("/v1/clusters/{n}"), &cache);
        async move { cache.get_copy("team", &path).await.expect("reads").is_some() }
    };
    for n in 0..10 {
        put(n, 100).await;
    }
    assert!(has(0).await, "used again");
    put(10, 100).await;
    assert!(has(0).await && !has(1).await && has(10).await, "one went, and it was the one used longest ago");
    // By size: nine of 9,000 bytes are too many beside the others.
    for n in 20..29 {
        put(n, 9_000).await;
    }
    assert!(!has(20).await && has(28).await, "the oldest went for the newest");
    put(30, 10_001).await;
    assert!(!has(30).await, "one alone may have an eighth of the room");
}

#[tokio::test]
async fn credentials_are_never_copied() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let path = "/v1/clusters/demo/credentials?reveal=true";
    cache
        .put_copy("team", path, b"{\"password\":\"hunter2-secret\"}", made::moment())
        .await
        .expect("leaves it out");
    assert_eq!(cache.get_copy("team", path).await.expect("reads"), None, "not kept");
    drop(cache);
    for entry in std::fs::read_dir(home.path()).expect("lists").flatten() {
        let bytes = std::fs::read(entry.path()).expect("reads");
        assert!(
            !bytes.windows(14).any(|w| w == b"hunter2-secret"),
            "nor anywhere in {}",
            entry.path().display()
        );
    }
}
