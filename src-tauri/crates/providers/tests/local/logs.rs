//! Logs rotate under a server that keeps its output open.

use crate::support::{Home, pid_of, script, until};
use std::fs;

/// 1,300,000 numbers are 9.3 MB: more than a log may have, less than what one look may miss.
const CHATTY: &str =
    "seq 1 1300000; touch done; while [ ! -e go ]; do sleep 0.02; done; echo after; sleep 1000";

#[tokio::test]
async fn a_log_is_rotated_while_its_server_writes_and_a_reader_follows() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&script("chatty", CHATTY)).await.unwrap();
    let root = home.root(&*machine);
    until("it has written a lot", || root.join("done").exists()).await;
    let log = root.join("logs/chatty.log");
    // A look rotates, so what is there before is read from the file itself.
    let before = fs::metadata(&log).unwrap().len();
    pid_of(&*machine, "chatty").await;
    assert_eq!(fs::metadata(&log).unwrap().len(), 0, "cut off");
    assert!(fs::metadata(root.join("logs/chatty.log.1")).unwrap().len() > 8 << 20, "and kept");
    machine.write("go", b"", 0o600).await.unwrap();
    until("it writes on", || fs::metadata(&log).unwrap().len() > 0).await;
    assert_eq!(fs::read_to_string(&log).unwrap(), "after\n", "at the new end, without a hole");
    let (lines, position) = machine.log("chatty", 10, Some(before)).await.unwrap();
    assert_eq!((lines, position), (vec!["after".to_owned()], before + 6), "a reader's position stays good");
    let (first, _) = machine.log("chatty", 3, Some(0)).await.unwrap();
    assert_eq!(first, ["1", "2", "3"], "and what came before the rotation can still be read");
    let (last, end) = machine.log("chatty", 3, None).await.unwrap();
    assert_eq!(
        (last, end),
        (vec!["1299999".to_owned(), "1300000".to_owned(), "after".to_owned()], before + 6)
    );
}

#[tokio::test]
async fn lines_are_handed_out_once_and_only_when_they_are_whole() {
    let home = Home::new();
    let machine = home.machine().await;
    let text = "echo one; printf half; touch half; while [ ! -e go ]; do sleep 0.02; done; echo ' and half'; touch done; sleep 1000";
    machine.start(&script("server", text)).await.unwrap();
    let root = home.root(&*machine);
    until("half a line is there", || root.join("half").exists()).await;
    let (lines, position) = machine.log("server", 100, None).await.unwrap();
    assert_eq!(lines, ["one"], "half a line is not shown while it is being written");
    machine.write("go", b"", 0o600).await.unwrap();
    until("the other half is there", || root.join("done").exists()).await;
    let (lines, position) = machine.log("server", 100, Some(position)).await.unwrap();
    assert_eq!(lines, ["half and half"]);
    assert_eq!(
        machine.log("server", 100, Some(position)).await.unwrap(),
        (Vec::new(), position),
        "nothing new"
    );
}

#[tokio::test]
async fn a_reader_behind_gets_the_next_lines_and_not_the_last_ones() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&script("server", "seq 1 50; touch done; sleep 1000")).await.unwrap();
    let root = home.root(&*machine);
    until("it has written", || root.join("done").exists()).await;
    let mut position = 0;
    let mut all = Vec::new();
    for _ in 0..6 {
        let (lines, next) = machine.log("server", 10, Some(position)).await.unwrap();
        assert!(lines.len() <= 10, "no more than was asked for");
        all.extend(lines);
        position = next;
    }
    assert_eq!(all, (1..=50).map(|n| n.to_string()).collect::<Vec<_>>(), "each line once, in order");
}

#[tokio::test]
async fn the_log_of_a_unit_that_never_ran_is_empty() {
    let home = Home::new();
    let machine = home.machine().await;
    assert_eq!(machine.log("server", 10, None).await.unwrap(), (Vec::new(), 0));
    assert!(machine.log("../../etc/passwd", 10, None).await.is_err(), "a name is not a path");
}
