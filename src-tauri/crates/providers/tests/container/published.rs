//! Machines whose addresses lead nowhere from here: ports of this computer lead to them, and stay the same.

use crate::support::{Home, container, unit, until};
use clusterdeck_driver::{Machine, MachineRequest, Progress, Provider, UnitSpec};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn redis(machine: &dyn Machine) -> UnitSpec {
    let address = machine.address().to_string();
    unit("server", "/usr/bin/redis-server", &["--bind", &address, "--save", "", "--protected-mode", "no"])
}

/// What a server says there.
async fn pong(at: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(&answer == b"+PONG\r\n")
    };
    asked.await.unwrap_or(false)
}

#[tokio::test]
async fn a_machine_without_root_is_reached_through_a_port_that_outlives_restarts_and_its_note() {
    let Some(home) = Home::enter_without_root().await else { return };
    let provider = home.provider();
    let told = provider.check(&[]).await.unwrap().notes.join(" ");
    assert!(told.contains("without root") && told.contains("127.0.0.1"), "{told}");
    let machine = home.machine().await;
    let at = machine.reach(6379);
    assert_eq!(at.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(machine.reach(26379).port(), 0, "what nobody asked for leads nowhere");
    let neighbour = home.machine_of(&provider, 2).await;
    assert_ne!(neighbour.reach(6379), at);
    machine.start(&redis(machine.as_ref())).await.unwrap();
    until("we reach it", async || pong(at).await).await;
    let address = machine.address();
    let ask = unit("ask", "/bin/sh", &["-c", &format!("redis-cli -h {address} ping; exec sleep 100")]);
    neighbour.start(&ask).await.unwrap();
    until("its neighbour reaches its address", async || {
        neighbour.log("ask", 9, None).await.unwrap().0 == ["PONG"]
    })
    .await;

    // As after a restart of this computer: nothing runs, and another program knows where it was.
    home.ground.podman(&["stop", "-t", "0", &container("server")]);
    home.ground.podman(&["stop", "-t", "0", &format!("clusterdeck-{}", machine.id())]);
    let spec = provider.machine_spec(&home.request(1)).unwrap();
    let other = home.provider();
    assert_eq!(other.reach(&spec, 6379), at, "also while it does not run");
    let again = other.machine(&spec).await.unwrap();
    assert_eq!(again.reach(6379), at);
    until("its watcher starts it", async || again.restart("server").await.unwrap() || pong(at).await).await;
    until("we reach it again", async || pong(at).await).await;

    // Its note is lost: the label of its volume has it.
    std::fs::remove_file(home.dir.join(format!("containers/{}/machine.json", machine.id()))).unwrap();
    let found = home.provider().machine(&spec).await.unwrap();
    assert_eq!(found.reach(6379), at);

    other.renew_machine(&spec, home.request(1).image.as_deref(), &Progress::silent()).await.unwrap();
    assert_eq!(other.reach(&spec, 6379), at);
    for number in [1, 2] {
        let spec = provider.machine_spec(&home.request(number)).unwrap();
        other.remove_machine(&spec).await.unwrap();
    }
    assert_eq!(home.ground.everything(), Vec::<String>::new());
}

#[tokio::test]
async fn a_port_that_somebody_else_took_is_told_and_the_machine_comes_back_when_it_is_free() {
    let Some(home) = Home::enter_without_root().await else { return };
    let provider = home.provider();
    let request = MachineRequest { publish: vec![6379, 26379], ..home.request(1) };
    let machine: Arc<dyn Machine> = provider.ensure_machine(&request, &Progress::silent()).await.unwrap();
    let spec = provider.machine_spec(&request).unwrap();
    let at = machine.reach(26379);
    home.ground.podman(&["stop", "-t", "0", &format!("clusterdeck-{}", machine.id())]);
    let thief = TcpListener::bind(at).unwrap();
    let other = home.provider();
    let told = other.machine(&spec).await.err().unwrap().to_string();
    assert!(told.contains("demo-1") && told.contains(&at.to_string()), "{told}");
    drop(thief);
    assert_eq!(other.machine(&spec).await.unwrap().reach(26379), at);
    TcpStream::connect(at).await.unwrap();
}
