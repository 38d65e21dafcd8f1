//! What can be done to a cluster of one node.

use crate::{
    home::{Home, missing},
    life::resized_up_and_back,
};
use clusterdeck_domain::{Change, ServiceKind, Topology};
use clusterdeck_tests::client::{Writer, connect};
use std::time::Duration;

fn demo() -> String {
    "demo".to_owned()
}

/// What can be done to one node alone, while a client writes that must wait each time.
async fn lives_alone(home: &Home, service: ServiceKind) {
    home.create(service, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    home.done(Change::RebootNode { node: "demo-1".to_owned() }).await;
    home.until_healthy().await;
    let written = writer.stop();
    println!("{service}: a reboot of the only node: the client waited {:?}", written.longest_gap);
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "a reboot loses nothing");
    resized_up_and_back(home, service).await;
    let (old_url, writer) = (home.url().await, Writer::start(home.url().await, false));
    home.done(Change::RotateCredentials { cluster: demo() }).await;
    let written = writer.stop();
    let url = home.url().await;
    assert!(tokio::task::block_in_place(|| connect(&old_url, false)).is_err(), "the old password is refused");
    assert_eq!(missing(&url, &written), Vec::<u64>::new(), "a rotation loses nothing");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_redis_is_rebooted_resized_and_given_new_passwords() {
    lives_alone(&Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_postgresql_is_rebooted_resized_and_given_new_passwords() {
    lives_alone(&Home::open().await, ServiceKind::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_mariadb_is_rebooted_resized_and_given_new_passwords() {
    lives_alone(&Home::open().await, ServiceKind::Mysql).await;
}
