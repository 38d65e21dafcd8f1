//! The plan's limits, as the kernel has them.

use crate::support::{Home, container, crashed, pid_of, script, sleeper};
use clusterdeck_domain::{PlanId, plan};
use clusterdeck_driver::{Provider, UnitSpec};
use std::fs;

#[tokio::test]
async fn a_unit_gets_the_memory_the_cores_and_the_processes_of_its_plan_and_no_rights() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    let name = container("sleeper");
    assert_eq!(home.inspect(&name, ".HostConfig.Memory"), (256 << 20).to_string());
    assert_eq!(home.inspect(&name, ".HostConfig.NanoCpus"), "1000000000");
    assert_eq!(home.inspect(&name, ".HostConfig.PidsLimit"), "512");
    let pid = pid_of(&*machine, "sleeper").await;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    if let Some(group) = groups.lines().find_map(|l| l.split_once(":memory:").map(|(_, group)| group)) {
        let limit =
            fs::read_to_string(format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")).unwrap();
        assert_eq!(limit.trim(), (256 << 20).to_string(), "the kernel knows it");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(
        line("CapEff").ends_with("0000000000000000") && line("CapBnd").ends_with("0000000000000000"),
        "{status}"
    );
    assert!(line("NoNewPrivs").ends_with('1'), "{status}");
    assert!(line("Uid").contains("65534"), "{status}");
    assert!(["cgroup-v1", "cgroup-v2"].contains(&machine.limited_by()), "{}", machine.limited_by());
}

#[tokio::test]
async fn a_unit_that_is_started_again_has_the_limits_of_its_machines_new_plan() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    machine.write("x", b"kept", 0o600).await.unwrap();
    machine.stop("sleeper").await.unwrap();
    let (provider, request) = (home.provider(), home.request(1));
    let spec = provider.machine_spec(&request).unwrap();
    let larger = plan(&PlanId::parse("MEDIUM-2C-4G").unwrap()).unwrap();
    for _ in 0..2 {
        provider.resize_machine(&spec, &larger).await.unwrap();
    }
    // Another process finds it so.
    let machine = home.provider().machine(&spec).await.unwrap();
    assert_eq!(machine.plan(), &larger);
    machine.start(&sleeper()).await.unwrap();
    let name = container("sleeper");
    assert_eq!(home.inspect(&name, ".HostConfig.Memory"), (4_u64 << 30).to_string());
    assert_eq!(home.inspect(&name, ".HostConfig.NanoCpus"), "2000000000");
    assert_eq!(home.inspect(&name, ".HostConfig.PidsLimit"), "1536");
    assert_eq!(home.inspect(&name, ".HostConfig.ShmSize"), (1_u64 << 30).to_string());
    assert_eq!(machine.read("x").await.unwrap(), b"kept");
    // With its limits as they are its container is started again, not made anew: its log goes on.
    let first = home.inspect(&name, ".Id");
    machine.stop("sleeper").await.unwrap();
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(home.inspect(&name, ".Id"), first);
}

#[tokio::test]
async fn a_unit_beside_the_server_has_a_limit_of_its_own_and_a_running_one_gets_it_at_its_next_start() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let name = container("sleeper");
    // As an older Clusterdeck started it.
    machine.start(&sleeper()).await.unwrap();
    let small = UnitSpec { memory_bytes: Some(64 << 20), ..sleeper() };
    machine.start(&small).await.unwrap();
    assert_eq!(home.inspect(&name, ".HostConfig.Memory"), (256 << 20).to_string(), "it runs on");
    machine.stop("sleeper").await.unwrap();
    machine.start(&small).await.unwrap();
    assert_eq!(home.inspect(&name, ".HostConfig.Memory"), (64 << 20).to_string());
    // A limit never exceeds the plan of its machine.
    machine.stop("sleeper").await.unwrap();
    machine.start(&UnitSpec { memory_bytes: Some(1 << 40), ..sleeper() }).await.unwrap();
    assert_eq!(home.inspect(&name, ".HostConfig.Memory"), (256 << 20).to_string());
}

#[tokio::test]
async fn a_server_that_takes_more_memory_than_its_plan_is_ended_and_its_neighbour_is_not() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    // Keeps everything it reads.
    let glutton = r"x=$(head -c 400000000 /dev/zero | tr '\0' x); exec sleep 1000";
    machine.start(&script("glutton", glutton)).await.unwrap();
    let (detail, _) = crashed(&*machine, "glutton").await;
    assert!(detail.contains("memory") || detail.contains("signal 9"), "{detail}");
    assert!(machine.state("sleeper").await.unwrap().is_running());
}

#[tokio::test]
async fn a_server_may_write_to_its_machine_and_to_nothing_else() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let text = "touch /usr/x 2>/dev/null && echo wrote; touch /tmp/x && touch /clusterdeck/x && echo fine; exec sleep 100";
    machine.start(&script("writer", text)).await.unwrap();
    crate::support::until("it has tried", async || {
        !machine.log("writer", 9, None).await.unwrap().0.is_empty()
    })
    .await;
    assert_eq!(machine.log("writer", 9, None).await.unwrap().0, ["fine"]);
}
