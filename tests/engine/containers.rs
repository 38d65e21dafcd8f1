//! The same lives with machines in containers, on an engine of the test's own: nothing else may differ.

use crate::{
    home::{Home, missing},
    life::{dead_primary, grows, members_come_and_go, whole_life},
};
use clusterdeck_domain::{Change, OperationState, ServiceKind, Topology};
use clusterdeck_tests::client::Writer;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_redis_in_a_container_is_created_used_closed_opened_and_deleted() {
    let Some(mut home) = Home::in_containers().await else { return };
    let begun = Instant::now();
    let created = home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    println!("a single Redis is created in {:?}", begun.elapsed());
    for step in &created.steps {
        let took = step.ended_at.zip(step.started_at).map(|(end, start)| end.duration_since(start));
        println!("  {}: {took:?}", step.name);
    }
    home.until_healthy().await;
    let cluster = home.cluster().await;
    assert_eq!(cluster.spec.provider.0, "container");
    assert!(cluster.spec.version.starts_with("8.0"), "{}", cluster.spec.version);
    let before = home.pid("demo-1", "redis").await;
    home.reopen().await;
    home.until_healthy().await;
    assert_eq!(home.pid("demo-1", "redis").await, before, "it outlives the app and is not started twice");
    let begun = Instant::now();
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    println!("and deleted in {:?}", begun.elapsed());
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_redis_without_root_is_reached_through_a_port_that_stays_until_it_is_deleted() {
    let Some(mut home) = Home::without_root().await else { return };
    let sharded = home.engine.preview(home.wish(ServiceKind::Redis, Topology::Sharded, 6, 3)).await.unwrap();
    let why: Vec<&str> = sharded.preview.blockers.iter().map(|b| b.code.as_str()).collect();
    assert_eq!(why, ["addresses-out-of-reach"], "its clients would be sent to addresses that lead nowhere");
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let (url, before) = (home.url().await, home.pid("demo-1", "redis").await);
    assert!(url.contains("@127.0.0.1:"), "{url}");
    let writer = Writer::start(url.clone(), false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let written = writer.stop();
    assert!(written.acknowledged.len() > 50, "{written:?}");
    home.reopen().await;
    assert_eq!(home.url().await, url, "also before anybody has looked");
    home.until_healthy().await;
    assert_eq!(home.pid("demo-1", "redis").await, before, "it outlives the app and is not started twice");
    home.done(Change::RebootNode { node: "demo-1".to_owned() }).await;
    assert_eq!(home.url().await, url);
    assert_eq!(missing(&url, &written), Vec::<u64>::new());
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_8_cluster_in_containers_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers().await else { return };
    whole_life(&home, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valkey_8_cluster_in_containers_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers().await else { return };
    whole_life(&home, ServiceKind::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_17_cluster_in_containers_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    whole_life(&home, ServiceKind::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_in_a_container_is_replaced_noticed_and_comes_back_as_a_replica() {
    let Some(home) = Home::in_containers().await else { return };
    dead_primary(&home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_of_making_and_deleting_containers_it_ends_well_and_leaves_nothing() {
    let Some(mut home) = Home::in_containers().await else { return };
    for moment in [100, 400, 700, 1_000, 1_500, 2_000, 3_000] {
        let moment = Duration::from_millis(moment);
        let wish = home.wish(ServiceKind::Redis, Topology::PrimaryReplica, 2, 0);
        let creating = home.begin(wish).await;
        tokio::time::sleep(moment).await;
        home.crash().await;
        let created = home.engine.wait(&creating.id).await.unwrap();
        assert_eq!(created.state, OperationState::Succeeded, "killed after {moment:?}: {created:#?}");
        home.until_healthy().await;
        // Two servers, three voters, one endpoint, and the four machines they are on.
        let made = home.ground.as_ref().unwrap().everything();
        let containers = made.iter().filter(|what| what.starts_with("container")).count();
        assert_eq!(containers, 2 + 3 + 1 + 4, "killed after {moment:?}: {made:?}");
        let delete = Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true };
        let deleting = home.begin(delete).await;
        tokio::time::sleep(moment / 4).await;
        home.crash().await;
        let deleted = home.engine.wait(&deleting.id).await.unwrap();
        assert_eq!(deleted.state, OperationState::Succeeded, "killed after {:?}: {deleted:#?}", moment / 4);
        assert_eq!(home.left_behind().await, Vec::<String>::new(), "killed after {:?}", moment / 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_from_its_own_image_when_the_name_stands_for_another_by_now() {
    let Some(home) = Home::in_containers().await else { return };
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let ground = home.ground.as_ref().unwrap();
    // As after a pull, by an image that holds nothing at all.
    let empty = ground.dir().join("empty.tar");
    std::fs::write(&empty, [0_u8; 1024]).unwrap();
    ground.podman(&["import", "--quiet", &empty.to_string_lossy(), "clusterdeck.test/empty:1"]);
    for name in ["docker.io/library/redis:8.0", "docker.io/library/haproxy:3.0"] {
        ground.podman(&["tag", "clusterdeck.test/empty:1", name]);
    }
    home.done(Change::AddNode { cluster: "demo".to_owned(), count: Some(2), plan: None }).await;
    home.until_healthy().await;
    let versions: Vec<_> =
        home.cluster().await.observed.unwrap().nodes.into_iter().map(|n| n.version).collect();
    assert!(versions.len() == 3 && versions.iter().all(|v| *v == versions[0]), "{versions:?}");
    let plan = clusterdeck_domain::PlanId::parse("MICRO-1C-512M").unwrap();
    home.done(Change::ResizeCluster { cluster: "demo".to_owned(), plan }).await;
    home.until_healthy().await;

    // The client of a terminal runs on the machine: of this computer's programs only the engine's own is in its path.
    let client = home.engine.client("demo-1").await.unwrap();
    let password = home.engine.credentials("demo", true, "test").await.unwrap().password.unwrap();
    let path = ground.dir().join("path");
    std::fs::create_dir_all(&path).unwrap();
    std::os::unix::fs::symlink("/usr/bin/podman", path.join("podman")).unwrap();
    let mut command = std::process::Command::new(&client.program);
    command.args(&client.args).arg("ping").env("PATH", &path);
    command.env(&client.password_variable, password.reveal()).stdin(std::process::Stdio::null());
    let said = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "PONG", "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_9_cluster_in_containers_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    whole_life(&home, ServiceKind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_mysql_9_group_in_containers_come_go_and_die_while_a_client_writes() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    members_come_and_go(&home, Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_mysql_9_in_a_container_grows_into_a_group_while_a_client_writes() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    grows(&home, ServiceKind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_mariadb_11_in_a_container_is_created_used_and_deleted() {
    let Some(home) = Home::in_containers_with_mariadb().await else { return };
    home.create(ServiceKind::Mysql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let cluster = home.cluster().await;
    assert!(cluster.spec.version.starts_with("11.8"), "{}", cluster.spec.version);
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let written = writer.stop();
    assert!(written.acknowledged.len() > 20, "the client must have written: {written:?}");
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "nothing is lost");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_11_cluster_in_containers_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers_with_mariadb().await else { return };
    whole_life(&home, ServiceKind::Mysql).await;
}
