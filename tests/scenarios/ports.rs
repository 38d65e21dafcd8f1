//! Addresses and ports that others have.

use crate::home::{Home, PAIR, create};
use std::net::TcpListener;

/// The network that `doctor` says the next cluster gets (`127.84.7.0/24`), without its last number.
fn next_network(home: &Home) -> String {
    let report = home.ask(&["doctor"]);
    let told =
        report["findings"].as_array().unwrap().iter().find(|f| f["subject"] == "provider local").unwrap();
    let text = told["text"].as_str().unwrap();
    let (_, rest) = text.split_once("the next cluster gets ").unwrap_or_else(|| panic!("{text}"));
    rest.split(".0/24").next().unwrap().to_owned()
}

fn endpoint(home: &Home) -> String {
    let cluster = home.until_healthy();
    let all = cluster["endpoints"].as_array().unwrap();
    all.iter().find(|e| e["kind"] == "read-write").unwrap()["host"].as_str().unwrap().to_owned()
}

#[test]
fn a_network_in_which_somebody_listens_is_left_to_them() {
    let home = Home::new();
    let next = next_network(&home);
    let taken = TcpListener::bind((format!("{next}.1"), 6379)).unwrap();
    assert_ne!(next_network(&home), next, "it is seen before anything is made");
    home.create(&PAIR);
    let got = endpoint(&home);
    assert!(!got.starts_with(&format!("{next}.")), "{got} is beside {:?}", taken.local_addr());
    home.end();
}

#[test]
fn two_homes_never_share_a_network_even_when_nothing_of_the_first_runs() {
    let (one, other) = (Home::new(), Home::new());
    one.create(&PAIR);
    let first = endpoint(&one);
    for (pid, _) in one.servers() {
        crate::home::signal(pid, "-KILL");
    }
    other.create(&PAIR);
    let second = endpoint(&other);
    assert_ne!(first.rsplit_once('.').unwrap().0, second.rsplit_once('.').unwrap().0);
    // The first comes back where it was, beside the second. Commands alone do not stay long enough to see to that.
    let app = one.serve();
    assert_eq!(endpoint(&one), first);
    drop(app);
    one.end();
    other.end();
}

/// In a network namespace of its own, so that a server on every address is in nobody else's way.
#[test]
fn a_port_that_somebody_has_on_every_address_blocks_with_its_name() {
    let home = Home::new();
    let script = "ip link set lo up || exit 90
        redis-server --port 6379 --bind 0.0.0.0 --save '' --protected-mode no >/dev/null & server=$!
        until redis-cli ping >/dev/null 2>&1; do kill -0 $server || exit 91; done
        \"$@\"; status=$?; kill $server; wait $server; exit $status";
    let plain = home.command(&[&["--json"][..], &create(&PAIR)].concat());
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh"]).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let spawned = command.spawn().expect("this test needs `unshare` (util-linux)");
    let ended = crate::home::finish(spawned);
    assert!(
        ended.status == Some(3),
        "this test needs a network namespace of its own (root or CAP_SYS_ADMIN) and `ip` (iproute2): {ended}"
    );
    let problem = ended.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("6379") && detail.contains("0.0.0.0:6379"), "who has it: {problem:#}");
    assert!(!problem["hint"].as_str().unwrap().is_empty(), "what to do: {problem:#}");
    assert_eq!(home.left_behind(), Vec::<String>::new());
}
