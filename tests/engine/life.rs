//! The whole life of a primary/replica cluster while a client writes.

use crate::home::{Home, missing, signal};
use clusterdeck_domain::{Change, ClusterOption, NodeState, OptionWish, PlanId, Role, ServiceKind, Topology};
use clusterdeck_tests::client::{Writer, connect};
use std::time::Duration;

fn demo() -> String {
    "demo".to_owned()
}

/// Longest wait of a client while the writes move: what the preview announces, and as much again for a busy computer.
const fn patience(service: ServiceKind, in_containers: bool) -> Duration {
    match (service, in_containers) {
        // 2.1 to 2.4 s were measured there with PostgreSQL 17 and Patroni 4 on two cores that others kept busy.
        (ServiceKind::Postgresql | ServiceKind::Timescaledb, true) => Duration::from_secs(4),
        (ServiceKind::Postgresql | ServiceKind::Timescaledb, false) => Duration::from_millis(1_500),
        // A note of who leads is a call of the engine, and a group of MySQL elects.
        (_, true) => Duration::from_secs(3),
        (_, false) => Duration::from_millis(500),
    }
}

/// Creates, changes in every way and deletes a cluster with one primary.
pub(crate) async fn whole_life(home: &Home, service: ServiceKind) {
    let created = home.create(service, Topology::PrimaryReplica, 3, 0).await;
    assert_eq!(created.outcome.nodes.len(), 3);
    home.until_healthy().await;

    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let promoted = home.done(Change::PromoteNode { node: "demo-2".to_owned() }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = writer.stop();
    assert!(written.acknowledged.len() > 100, "the client must have written: {written:?}");
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "a promotion loses nothing");
    assert_eq!(home.primary().await, "demo-2");
    let gap = promoted.outcome.write_gap_ms.expect("a promotion reports its gap");
    println!("{service}: promotion: measured gap {gap:.1} ms, client saw {:?}", written.longest_gap);
    let patience = patience(service, home.ground.is_some());
    assert!(written.longest_gap < patience, "the client waited {:?}", written.longest_gap);

    home.done(Change::AddNode { cluster: demo(), count: Some(1), plan: None }).await;
    home.until_healthy().await;
    home.done(Change::DrainNode { node: "demo-3".to_owned() }).await;
    let drained = home.cluster().await;
    let node = drained.spec.find_node("demo-3").unwrap();
    assert!(node.drained);
    assert_eq!(drained.observed.unwrap().node(&node.id).unwrap().state, NodeState::Drained);
    home.done(Change::UndrainNode { node: "demo-3".to_owned() }).await;
    home.done(Change::RebootNode { node: "demo-4".to_owned() }).await;
    home.done(Change::RebootNode { node: "demo-2".to_owned() }).await;
    assert_eq!(home.primary().await, "demo-2", "a reboot is no failover");
    home.done(Change::RemoveNode { node: "demo-3".to_owned() }).await;
    home.done(Change::ResyncCluster { cluster: demo() }).await;
    resized_up_and_back(home, service).await;
    let spec = home.cluster().await.spec;
    if spec.auto_failover {
        home.done(Change::SetAutoFailover { cluster: demo(), enabled: false }).await;
        assert!(!home.cluster().await.observed.unwrap().failover.ready, "off is not ready");
        home.done(Change::SetAutoFailover { cluster: demo(), enabled: true }).await;
    }
    if spec.offered_options().iter().any(|o| o.id == ClusterOption::StopWritesWithoutReplica) {
        let options = OptionWish::only(ClusterOption::StopWritesWithoutReplica, false);
        home.done(Change::SetOptions { cluster: demo(), options }).await;
    }

    let (old_url, writer) = (home.url().await, Writer::start(home.url().await, false));
    home.done(Change::RotateCredentials { cluster: demo() }).await;
    let url = home.url().await;
    assert_ne!(old_url, url, "a rotation changes the password");
    assert!(tokio::task::block_in_place(|| connect(&old_url, false)).is_err(), "the old password is refused");
    writer.stop();
    assert_eq!(missing(&url, &written), Vec::<u64>::new(), "nothing was lost on the way");
    // PostgreSQL on this computer is several processes of a unit: `postgres.rs` kills each of them and all together.
    if spec.auto_failover && (home.ground.is_some() || service != ServiceKind::Postgresql) {
        its_primary_dies(home, service).await;
    }

    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// Kills what serves on the node that leads: another one leads, and the old one comes back as a replica.
async fn its_primary_dies(home: &Home, service: ServiceKind) {
    home.until_healthy().await;
    let old = home.primary().await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    home.kill_server(&old, service).await;
    home.until_another_leads(&old).await;
    home.until_healthy().await;
    println!("{service}: a killed primary: the client saw {:?}", writer.stop().longest_gap);
    let cluster = home.cluster().await;
    let back = cluster.spec.find_node(&old).unwrap();
    assert_eq!(cluster.observed.unwrap().node(&back.id).unwrap().role, Some(Role::Replica), "{old} follows");
    home.failed_over().await;
}

/// Gives the cluster a larger plan and its own back, while a client writes.
pub(crate) async fn resized_up_and_back(home: &Home, service: ServiceKind) {
    let own = home.cluster().await.spec.plan;
    let larger = if own.as_str() == "LEAN-1C-1G" { "LEAN-1C-2G" } else { "LEAN-1C-1G" };
    for plan in [larger, own.as_str()] {
        home.until_healthy().await;
        let writer = Writer::start(home.url().await, false);
        let size = PlanId::parse(plan).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = std::time::Instant::now();
        let done = home.done(Change::ResizeCluster { cluster: demo(), plan: size.clone() }).await;
        let written = writer.stop();
        println!(
            "{service}: to {plan} in {:.1} s: measured gap {:?} ms, the client saw {:?} and {} errors in {} writes",
            began.elapsed().as_secs_f64(),
            done.outcome.write_gap_ms,
            written.longest_gap,
            written.errors,
            written.acknowledged.len()
        );
        assert!(written.acknowledged.len() > 100, "the client must have written: {written:?}");
        assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "{plan}: nothing is lost");
        let spec = home.cluster().await.spec;
        assert_eq!(spec.plan, size);
        for node in spec.data_nodes() {
            assert_eq!(node.plan, size, "{}", node.name);
        }
        if service == ServiceKind::Postgresql {
            nothing_waits_for_a_restart(home).await;
        }
    }
}

/// A parameter that needs no restart restarts nobody.
async fn nothing_waits_for_a_restart(home: &Home) {
    let before = home.postmasters().await;
    let parameters = [("work_mem".to_owned(), Some("3MB".to_owned()))].into();
    home.done(Change::SetParameters { cluster: demo(), parameters }).await;
    assert_eq!(home.postmasters().await, before, "no server was restarted");
    let parameters = [("work_mem".to_owned(), None)].into();
    home.done(Change::SetParameters { cluster: demo(), parameters }).await;
    assert_eq!(home.postmasters().await, before, "no server was restarted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valkey_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_noticed_and_comes_back_as_a_replica() {
    dead_primary(&Home::open().await).await;
}

pub(crate) async fn dead_primary(home: &Home) {
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    signal(home.pid("demo-1", "redis").await, "-9");
    let seen = home
        .until("the dead node must be shown", |c| {
            let node = c.spec.find_node("demo-1").unwrap();
            c.observed.as_ref().unwrap().node(&node.id).unwrap().state == NodeState::Crashed
        })
        .await;
    assert!(seen < Duration::from_secs(5), "a dead node is shown within 5 s, not {seen:?}");
    home.until_another_leads("demo-1").await;
    home.until_healthy().await;
    let written = writer.stop();
    println!("failover: client saw {:?}, {} errors", written.longest_gap, written.errors);
    assert!(written.longest_gap < Duration::from_secs(5), "{:?}", written.longest_gap);
    let cluster = home.cluster().await;
    let old = cluster.spec.find_node("demo-1").unwrap();
    let role = cluster.observed.unwrap().node(&old.id).unwrap().role;
    assert_eq!(role, Some(Role::Replica), "the old primary follows the new one");
    let (audit, _) = home
        .engine
        .audit(&clusterdeck_engine::repository::Page { limit: 50, ..Default::default() })
        .await
        .unwrap();
    assert!(audit.iter().any(|e| e.action == "failover-noticed"), "the failover is in the audit trail");
    home.failed_over().await;
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_get_a_witness_and_fail_over() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    assert_eq!(home.cluster().await.spec.nodes.len(), 3, "two data nodes and a witness");
    signal(home.pid("demo-1", "redis").await, "-9");
    home.until("demo-2 must lead", |c| {
        let two = c.spec.find_node("demo-2").unwrap();
        c.observed.as_ref().unwrap().primary().is_some_and(|p| p.node == two.id)
    })
    .await;
    home.until_healthy().await;
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// A single node is given company.
pub(crate) async fn grows(home: &Home, service: ServiceKind) {
    home.create(service, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let url = home.url().await;
    let writer = Writer::start(url.clone(), false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    home.done(Change::AddNode { cluster: demo(), count: None, plan: None }).await;
    home.until_healthy().await;
    let written = writer.stop();
    let cluster = home.cluster().await;
    assert_eq!(cluster.spec.topology, Topology::PrimaryReplica);
    // Three can vote; where nobody votes, a second one is what makes it a cluster.
    let nodes = if cluster.spec.auto_failover { 3 } else { 2 };
    assert_eq!(cluster.spec.data_nodes().count(), nodes);
    println!("{service}: one node became {nodes}, the client waited {:?}", written.longest_gap);
    assert_eq!(home.url().await, url, "clients find it where it was");
    assert_eq!(missing(&url, &written), Vec::<u64>::new(), "nothing is lost");
    if cluster.spec.auto_failover {
        home.until("it can fail over now", |c| c.observed.as_ref().is_some_and(|o| o.failover.ready)).await;
    }
    home.done(Change::PromoteNode { node: format!("demo-{nodes}") }).await;
    assert_eq!(missing(&url, &written), Vec::<u64>::new(), "the new primary has everything");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_redis_grows_into_a_cluster_while_a_client_writes() {
    grows(&Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_postgresql_grows_into_a_cluster_while_a_client_writes() {
    grows(&Home::open().await, ServiceKind::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_mariadb_grows_into_a_cluster_while_a_client_writes() {
    grows(&Home::open().await, ServiceKind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_galera_come_go_and_die_while_a_client_writes() {
    members_come_and_go(&Home::open().await, Duration::from_secs(8)).await;
}

/// Members that all take writes; a client waits for no longer than `patience` when one dies.
pub(crate) async fn members_come_and_go(home: &Home, patience: Duration) {
    home.create(ServiceKind::Mysql, Topology::MultiMaster, 3, 0).await;
    home.until_healthy().await;
    let url = home.url().await;
    let writer = Writer::start(url.clone(), false);
    home.done(Change::AddNode { cluster: demo(), count: Some(1), plan: None }).await;
    home.until_healthy().await;
    home.done(Change::DrainNode { node: "demo-3".to_owned() }).await;
    home.done(Change::UndrainNode { node: "demo-3".to_owned() }).await;
    home.done(Change::RebootNode { node: "demo-2".to_owned() }).await;
    home.done(Change::RemoveNode { node: "demo-4".to_owned() }).await;
    home.until_healthy().await;
    let written = writer.stop();
    println!("members come and go: the client waited {:?}, {} errors", written.longest_gap, written.errors);
    assert_eq!(missing(&url, &written), Vec::<u64>::new(), "nothing is lost");

    // The one that the client writes to is among them.
    for victim in ["demo-1", "demo-2", "demo-3"] {
        let writer = Writer::start(url.clone(), false);
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal(home.pid(victim, "mysql").await, "-9");
        tokio::time::sleep(Duration::from_secs(4)).await;
        home.until_healthy().await;
        let written = writer.stop();
        println!("{victim} killed: the client waited {:?}", written.longest_gap);
        // Some 2 s, which the driver's own test holds it to; here the watcher and the client take their share.
        assert!(written.longest_gap < patience, "{victim}: {:?}", written.longest_gap);
        assert_eq!(missing(&url, &written), Vec::<u64>::new(), "{victim}: nothing is lost");
    }
    home.failed_over().await;
    home.done(Change::RotateCredentials { cluster: demo() }).await;
    assert!(tokio::task::block_in_place(|| connect(&url, false)).is_err(), "the old password is refused");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
