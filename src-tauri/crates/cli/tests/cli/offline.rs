//! A server that dies while its clients go on reading.

use crate::program::{Home, SMALL};

#[test]
fn a_killed_server_is_read_from_the_copy_and_refuses_changes() {
    let (far, near) = (Home::new(), Home::new());
    let (mut serve, said) = far.serve();
    let (url, token) = (said["url"].as_str().expect("a url"), said["token"].as_str().expect("a token"));
    far.create("remote", &["--topology", "single"]);
    near.tell(&["connection", "add", "team", url], token).status(0);
    near.run(&["connection", "use", "team"]).status(0);
    let fresh = near.run(&["--json", "cluster", "list"]).status(0);
    assert_eq!(fresh.json()["items"][0]["name"], "remote");
    assert!(fresh.err.is_empty(), "nothing to remark: {}", fresh.err);
    // A change goes there and is followed from here.
    let changed = near.run(&["--json", "cluster", "protect", "remote", "on", "--yes"]).status(0).json();
    assert_eq!(changed["actor"], "token");

    serve.kill().expect("killed");
    serve.wait().expect("dead");
    let copied = near.run(&["--json", "cluster", "list"]).status(0);
    assert_eq!(copied.json()["items"][0]["name"], "remote");
    assert!(
        copied.err.contains("cannot be reached") && copied.err.contains("ago")
            || copied.err.contains("just now"),
        "{}",
        copied.err
    );
    let refused = near.run(&["--json", "cluster", "protect", "remote", "off", "--yes"]).status(5).json();
    assert_eq!(refused["code"], "offline");
    near.run(&["cluster", "credentials", "remote", "--reveal"]).status(5);
    let listed = near.run(&["--json", "connection", "list"]).status(0).json();
    assert_eq!(
        (&listed["items"][1]["reachable"], &listed["items"][1]["current"]),
        (&false.into(), &true.into())
    );
    // This computer's own engine is not affected.
    let here = [
        &[
            "--connection",
            "this-computer",
            "cluster",
            "create",
            "own",
            "--service",
            "redis",
            "--topology",
            "single",
            "--yes",
        ],
        &SMALL[..],
    ];
    near.run(&here.concat()).status(0);
    near.run(&["connection", "remove", "team"]).status(0);
    assert_eq!(
        near.run(&["--json", "cluster", "list"]).status(0).json()["items"][0]["name"],
        "own",
        "home again"
    );
}
