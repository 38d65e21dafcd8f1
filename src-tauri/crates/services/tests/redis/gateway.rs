//! The endpoints: who gets what, and that nothing is cut that need not be.

use crate::{
    ground::{Ground, connect, services},
    load::Load,
};
use clusterdeck_domain::{Slot, Topology};
use clusterdeck_driver::{Gateway as _, Progress, ServiceDriver as _, StartAs, Traffic, UnitState};
use rustix::process::Signal;
use std::time::{Duration, Instant};

type Connection = redis::aio::MultiplexedConnection;

async fn role(connection: &mut Connection) -> redis::RedisResult<String> {
    let info: String = redis::cmd("INFO").arg("replication").query_async(connection).await?;
    Ok(info.lines().find_map(|l| l.strip_prefix("role:")).unwrap_or_default().trim().to_owned())
}

async fn until(what: &str, limit: Duration, mut wish: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !wish().await {
        assert!(begun.elapsed() < limit, "{what} within {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_to_the_primary_and_reads_to_the_replicas() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        let up = |status: &clusterdeck_driver::GatewayStatus, traffic| {
            status.up.iter().filter(|(t, _)| *t == traffic).count()
        };
        until("two readers up", Duration::from_secs(5), async || {
            let status = ground.gateway.status(&ground.cx).await.unwrap();
            up(&status, Traffic::ReadOnly) == 2 && up(&status, Traffic::ReadWrite) == 1
        })
        .await;
        let gateway = ground.cx.gateway().unwrap();
        assert_eq!(role(&mut ground.people(gateway.as_ref(), 6379).await).await.unwrap(), "master");
        assert_eq!(role(&mut ground.people(gateway.as_ref(), 6380).await).await.unwrap(), "slave");
        // With no replica left, reads go where the writes go.
        for ordinal in [2, 3] {
            ground.driver.stop_node(&ground.cx, ground.node(ordinal)).await.unwrap();
        }
        until("reads come from the primary", Duration::from_secs(5), async || {
            match connect(gateway.as_ref(), 6380, ground.cx.secrets.get("people").unwrap().reveal()).await {
                Ok(mut connection) => role(&mut connection).await.is_ok_and(|role| role == "master"),
                Err(_) => false,
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_checks_decide_again_after_the_endpoint_was_turned() {
    let ground = Ground::new(services()[0], Topology::PrimaryReplica, 3, 0).await;
    ground.healthy().await;
    // Turned to a replica, as by somebody who was killed before he could hand over. Nothing may stay forced.
    let begun = Instant::now();
    ground.gateway.point_to(&ground.cx, &ground.node(2).id).await.unwrap();
    println!("turned in {:?}", begun.elapsed());
    let status = ground.gateway.status(&ground.cx).await.unwrap();
    assert!(
        status.up.contains(&(Traffic::ReadWrite, ground.node(2).id.clone())),
        "it was turned: {status:?}"
    );
    until("the endpoint is back at the primary", Duration::from_secs(3), async || {
        let status = ground.gateway.status(&ground.cx).await.unwrap();
        let writers: Vec<_> = status.up.iter().filter(|(t, _)| *t == Traffic::ReadWrite).collect();
        writers == [&(Traffic::ReadWrite, ground.node(1).id.clone())]
    })
    .await;
    ground.driver.probe(&ground.cx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_gets_nothing_new_and_keeps_what_is_open_until_it_is_disconnected() {
    let ground = Ground::new(services()[0], Topology::PrimaryReplica, 2, 0).await;
    ground.healthy().await;
    let (gateway, second) = (ground.cx.gateway().unwrap().clone(), ground.node(2).id.clone());
    let open_on_second = async || {
        let status = ground.gateway.status(&ground.cx).await.unwrap();
        status.connections.iter().find(|(node, _)| *node == second).map_or(0, |(_, n)| *n)
    };
    until("the replica takes reads", Duration::from_secs(5), async || {
        let status = ground.gateway.status(&ground.cx).await.unwrap();
        status.up.contains(&(Traffic::ReadOnly, second.clone()))
    })
    .await;
    let mut open = ground.people(gateway.as_ref(), 6380).await;
    assert_eq!(role(&mut open).await.unwrap(), "slave");
    assert_eq!(open_on_second().await, 1);
    ground.gateway.drain(&ground.cx, &second).await.unwrap();
    let mut new = ground.people(gateway.as_ref(), 6380).await;
    assert_eq!(role(&mut new).await.unwrap(), "master", "nothing new goes to the drained replica");
    assert_eq!(role(&mut open).await.unwrap(), "slave", "what is open stays");
    ground.gateway.disconnect(&ground.cx, &second).await.unwrap();
    until("it is disconnected", Duration::from_secs(2), async || open_on_second().await == 0).await;
    assert!(role(&mut open).await.is_err(), "its connection was closed");
    ground.gateway.undrain(&ground.cx, &second).await.unwrap();
    assert_eq!(role(&mut ground.people(gateway.as_ref(), 6380).await).await.unwrap(), "slave");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_cuts_no_connection_and_misses_no_write() {
    let mut ground = Ground::new(services()[0], Topology::PrimaryReplica, 3, 0).await;
    ground.healthy().await;
    let gateway = ground.cx.gateway().unwrap().clone();
    let mut open = ground.people(gateway.as_ref(), 6379).await;
    let load = Load::start(&ground, 2).await;
    let added = ground.add_machine(&Slot { ordinal: 4, witness: false, primary: false, shard: None }).await;
    let primary = ground.node(1).id.clone();
    ground.driver.start_node(&ground.cx, &added, &StartAs::ReplicaOf(primary)).await.unwrap();
    ground.driver.join(&ground.cx, &added, &Progress::silent()).await.unwrap();
    let begun = Instant::now();
    ground.apply().await.unwrap();
    println!("reloaded in {:?}", begun.elapsed());
    load.goes_on(200, Duration::from_secs(5)).await;
    assert_eq!(role(&mut open).await.unwrap(), "master", "the open connection goes on");
    // New connections are accepted all the time.
    for _ in 0..50 {
        ground.people(gateway.as_ref(), 6379).await;
    }
    let written = load.stop().await;
    assert_eq!(written.errors, 0, "{:?}", written.samples);
    // Connections of the worker before the reload are turned too.
    crate::promoting::promote(&ground, 2).await.unwrap();
    assert!(
        role(&mut open).await.is_err(),
        "a connection from before the reload does not stay at the former primary"
    );
    until("the new node takes reads", Duration::from_secs(5), async || {
        let status = ground.gateway.status(&ground.cx).await.unwrap();
        status.up.contains(&(Traffic::ReadOnly, added.id.clone()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_starts_again_on_the_same_address() {
    let ground = Ground::new(services()[0], Topology::PrimaryReplica, 2, 0).await;
    ground.healthy().await;
    let gateway = ground.cx.gateway().unwrap();
    let UnitState::Running { pid, .. } = gateway.state("haproxy").await.unwrap() else { panic!("it runs") };
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    until("it is started again", Duration::from_secs(10), async || gateway.restart("haproxy").await.unwrap())
        .await;
    until("the endpoint works", Duration::from_secs(10), async || {
        ground.driver.probe(&ground.cx).await.is_ok()
    })
    .await;
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_with_a_long_name_and_blanks_has_endpoints_too() {
    let folder = format!("a folder with a \"name\"/{}", "long".repeat(20));
    let service = services()[0];
    let ground = Ground::prepared_below(&folder, service, Topology::PrimaryReplica, 2, 0).await;
    ground.create().await;
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
    ground.gateway.status(&ground.cx).await.unwrap();
}
