//! Several processes of the program at one home, and the end of the one that hosts the engine.

use crate::home::{Home, PAIR, await_steps, create, finish};

#[test]
fn those_who_wait_at_an_app_that_is_killed_end_its_work_themselves_and_only_once() {
    let home = Home::new();
    home.create(&PAIR);
    let mut host = home.serve();
    let before = home.url();
    let mut asking = home.command(&["cluster", "rotate", "demo", "--yes"]).spawn().unwrap();
    await_steps(&mut asking, 1);
    let unfinished = home.ask(&["operation", "list", "--unfinished"]);
    let id = unfinished["items"][0]["id"].as_str().expect("it is under way, in the first app").to_owned();
    let watching = home.command(&["--json", "operation", "watch", &id]).spawn().unwrap();
    host.kill();
    assert_eq!(finish(watching).status(0).json()["state"], "succeeded");
    finish(asking).status(0);
    assert_ne!(home.url(), before, "the passwords are new");
    let audit = home.ask(&["audit", "list"]);
    let ended = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["operation"] == id.as_str() && a["result"] == "succeeded");
    assert_eq!(ended.count(), 1, "one of the heirs did it, not both: {audit:#}");
    home.until_healthy();
}

#[test]
fn when_both_the_app_and_the_one_who_waits_are_killed_the_next_command_takes_it_up() {
    let home = Home::new();
    let mut host = home.serve();
    let mut asking = home.command(&create(&PAIR)).spawn().unwrap();
    await_steps(&mut asking, 2);
    // The one who waits first, so that it does not become the heir.
    asking.kill().unwrap();
    host.kill();
    finish(asking);
    let next = home.run(&["--json", "cluster", "list"]).status(0);
    assert!(next.err.contains("Taking up what was left unfinished: Create demo"), "{next}");
    home.until_healthy();
    let operations = home.ask(&["operation", "list"]);
    assert_eq!(
        operations["items"].as_array().unwrap().len(),
        1,
        "it was not begun a second time: {operations:#}"
    );
}

#[test]
fn a_change_that_is_asked_for_twice_at_once_is_done_once() {
    let home = Home::new();
    home.create(&PAIR);
    let _host = home.serve();
    let ask = || home.command(&["--json", "node", "add", "demo", "--yes"]).spawn().unwrap();
    let (one, other) = (ask(), ask());
    let (one, other) = (finish(one), finish(other));
    let mut ends = [one.status, other.status];
    ends.sort_unstable();
    // The second is refused while the first is at work, or does its own when it comes late; never both at once.
    assert_eq!(ends[0], Some(0), "{one}\n{other}");
    let nodes = home.until_healthy()["nodes"].as_array().unwrap().len();
    match ends[1] {
        Some(0) => assert_eq!(nodes, 5, "one after the other"),
        Some(3) => {
            assert_eq!(nodes, 4, "once");
            let refused = if one.status == Some(3) { one } else { other };
            assert!(refused.out.contains("Add"), "it says what the cluster is doing: {refused}");
        }
        other => panic!("{other:?}"),
    }
}
