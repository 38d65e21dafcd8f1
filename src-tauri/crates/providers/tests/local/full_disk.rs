//! On a full disk nothing is damaged, and servers can be stopped and machines taken away.

use crate::support::{Home, alive, pid_of, sleeper, unit};
use clusterdeck_driver::{DriverError, Provider, UnitState};
use std::{io::Write, process::Command};

const INSIDE: &str = "CLUSTERDECK_TEST_SMALL_DISK";

/// Runs itself again with the temporary folder on a disk of 512 KiB, seen by that process alone.
#[tokio::test]
async fn a_full_disk_refuses_writes_and_lets_go_of_servers_and_machines() {
    if std::env::var_os(INSIDE).is_some() {
        return with_a_small_disk().await;
    }
    let disk = tempfile::tempdir().unwrap();
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c"])
        .arg(r#"mount -t tmpfs -o size=512k tmpfs "$TMPDIR" && exec "$0" "$@""#)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::a_full_disk_refuses_writes_and_lets_go_of_servers_and_machines"])
        .env("TMPDIR", disk.path())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

async fn with_a_small_disk() {
    let home = Home::new();
    let local = home.local();
    let machine = home.machine_of(&local, 1).await;
    machine.write("conf", b"old", 0o600).await.unwrap();
    machine.start(&sleeper()).await.unwrap();
    machine.start(&unit("other", "/usr/bin/sleep", &["1000"])).await.unwrap();
    let pids = [pid_of(&*machine, "sleeper").await, pid_of(&*machine, "other").await];
    let mut filler = std::fs::File::create(home.root(&*machine).join("filler")).unwrap();
    while filler.write(&[0; 512]).is_ok() {}

    let refused = machine.write("conf", &[b'x'; 50_000], 0o600).await.unwrap_err();
    let DriverError::Rejected { what, hint } = refused else { panic!("{refused:?}") };
    assert!(what.contains("disk is full") && hint.contains("free some disk space"), "{what}; {hint}");
    assert_eq!(machine.read("conf").await.unwrap(), b"old", "what was there is whole");
    let refused = machine.start(&unit("third", "/usr/bin/sleep", &["1000"])).await.unwrap_err();
    assert!(refused.to_string().contains("disk is full"), "{refused}");

    machine.stop("sleeper").await.unwrap();
    assert_eq!(machine.state("sleeper").await.unwrap(), UnitState::Stopped, "and that is noted");
    assert!(!alive(pids[0]));
    let spec = local.machine_spec(&home.request(&local, 1).await).unwrap();
    local.remove_machine(&spec).await.unwrap();
    assert!(!alive(pids[1]) && !home.root(&*machine).exists(), "the machine is gone with its server");
}
