//! Files of a machine.

use crate::support::{Home, script, until};
use clusterdeck_driver::DriverError;

#[tokio::test]
async fn a_file_is_written_read_renamed_and_removed_as_on_any_machine() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.write("a/b/conf", b"one\n", 0o600).await.unwrap();
    assert_eq!(machine.read("a/b/conf").await.unwrap(), b"one\n");
    machine.write("a/b/conf", b"", 0o640).await.unwrap();
    assert_eq!(machine.read("a/b/conf").await.unwrap(), b"", "empty is not gone");
    // Every byte there is, and no end of line: nothing on the way may take any for its own.
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    machine.write("a/b/conf", &all, 0o640).await.unwrap();
    assert!(machine.read("a/b/conf").await.unwrap() == all, "the same bytes");
    assert!(machine.exists("a/b/conf").await.unwrap() && machine.exists("a").await.unwrap());
    let name = format!("clusterdeck-{}", machine.id());
    let listed = home.ground.podman(&["exec", &name, "ls", "-lnA", "/clusterdeck/a/b", "/clusterdeck"]);
    assert!(listed.contains("-rw-r----- 1 65534 65534 100000"), "the mode, and the servers' user: {listed}");
    assert!(listed.contains("drwx------"), "folders are for their user only: {listed}");
    assert!(!listed.contains(".new"), "no temporary file stays: {listed}");

    machine.rename("a/b/conf", "c/moved").await.unwrap();
    machine.rename("a/b/conf", "c/moved").await.unwrap();
    assert!(matches!(machine.rename("nowhere", "neither").await, Err(DriverError::Gone { .. })));
    assert!(matches!(machine.read("a/b/conf").await, Err(DriverError::Gone { .. })));
    machine.create_dir("full/of").await.unwrap();
    machine.create_dir("full/of").await.unwrap();
    assert!(machine.rename("c", "full").await.is_err(), "not into a folder that is there");
    assert!(machine.disk_bytes("c").await.unwrap() >= 100_000);
    assert_eq!(machine.disk_bytes("nowhere").await.unwrap(), 0);
    machine.remove("c").await.unwrap();
    machine.remove("c").await.unwrap();
    assert!(!machine.exists("c/moved").await.unwrap());
    for bad in ["/etc/passwd", "../x", "a/../../x", ""] {
        assert!(machine.write(bad, b"x", 0o600).await.is_err(), "`{bad}` is no place of the machine");
    }
    assert_eq!(machine.path("a/b").to_string_lossy(), "/clusterdeck/a/b");
    assert_eq!(machine.here("a/b"), None, "its files are not ours");
}

#[tokio::test]
async fn names_that_a_shell_would_misread_are_just_names() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    for name in ["with space", "$(touch x)", "'; echo", "-rf", "star*", "ünï"] {
        machine.write(name, name.as_bytes(), 0o600).await.unwrap();
        assert_eq!(machine.read(name).await.unwrap(), name.as_bytes());
        machine.rename(name, &format!("other {name}")).await.unwrap();
        machine.remove(&format!("other {name}")).await.unwrap();
    }
    assert!(!machine.exists("x").await.unwrap(), "nothing was carried out");
}

#[tokio::test]
async fn a_secret_file_is_readable_to_a_unit_and_to_nobody_else_and_is_in_no_argument() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.write("secret", b"hunter2", 0o600).await.unwrap();
    machine
        .start(&script("reader", "cat /clusterdeck/secret > /clusterdeck/copy; exec sleep 100"))
        .await
        .unwrap();
    until("the unit reads it", async || machine.read("copy").await.is_ok_and(|c| c == b"hunter2")).await;
    let name = format!("clusterdeck-{}", machine.id());
    for container in [name.as_str(), &format!("{name}-reader")] {
        assert!(!home.ground.podman(&["inspect", container]).contains("hunter2"));
    }
    assert!(!home.ground.engine_log().contains("hunter2"));
}

#[tokio::test]
async fn a_large_file_is_not_read_as_a_whole() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&script("maker", "head -c 9000000 /dev/zero > big; exec sleep 100")).await.unwrap();
    until("it is there", async || machine.exists("big").await.unwrap()).await;
    until("it is whole", async || {
        matches!(machine.read("big").await, Err(DriverError::Rejected { what, .. }) if what.contains("8 MiB"))
    })
    .await;
}
