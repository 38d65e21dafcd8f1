//! The text of `haproxy.cfg` and of the state a new process begins with. Pure.
//!
//! Two backends, `rw` and `ro`; each node is a server in both under its own name. Only role checks decide who is up, so
//! that a failover that nobody told us about is followed too.

use clusterdeck_domain::reads_beside;
use clusterdeck_driver::{CheckLine, Listener, Traffic};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// How a role check is paced. A node is up after two good answers, so that an answer that was under way while the
/// endpoint was turned does not bring the node before back; down after three bad ones, so that one that was under way
/// does not take the new one away (measured: `fall 1` does, for 204 ms). Around a change they come every 50 ms.
const PACE: &str =
    "inter 200ms fastinter 50ms downinter 100ms rise 2 fall 3 on-marked-down shutdown-sessions";
/// A stopped server accepts the connection and stays silent; three silences are 1.6 s.
const CHECK_ANSWERS_WITHIN: &str = "500ms";
/// Connections through one gateway. Each takes two of the machine's files.
const MAX_CONNECTIONS: u32 = 8000;

/// The name of a backend.
pub(crate) const fn backend(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::ReadWrite => "rw",
        Traffic::ReadOnly => "ro",
    }
}

/// Where clients of other computers come in, in the words of the file: one frontend for each kind of traffic. Its name says
/// where, so that connections through it can be told from others, also in a worker from before it moved.
pub(crate) fn exposed_frontend(traffic: Traffic, at: SocketAddr) -> String {
    let at = exposed_at(traffic, at);
    format!("{EXPOSED}{}_{}_{}", backend(traffic), at.ip(), at.port())
}

/// Where that traffic comes in, when writes do at `writes`.
const fn exposed_at(traffic: Traffic, writes: SocketAddr) -> SocketAddr {
    match traffic {
        Traffic::ReadWrite => writes,
        Traffic::ReadOnly => reads_beside(writes),
    }
}

/// With which the names of those frontends begin.
pub(crate) const EXPOSED: &str = "x_";

/// The traffic of a backend.
pub(crate) fn traffic(backend: &str) -> Option<Traffic> {
    match backend {
        "rw" => Some(Traffic::ReadWrite),
        "ro" => Some(Traffic::ReadOnly),
        _ => None,
    }
}

/// A text inside double quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A configuration and the mark by which a running process shows that it runs with it.
pub(crate) struct Config {
    pub(crate) text: String,
    pub(crate) mark: String,
}

/// Writes the configuration. `state_file` is where a starting process finds who is up.
///
/// `one_writer`: only one node takes writes at a time. Then all of them go to the node they went to last while that is
/// up. A primary that hung, was replaced and wakes up says for some ten seconds that it is one, until the Sentinels turn
/// it into a replica; what it took meanwhile would be lost.
///
/// `access`: the rules that every connection of a client meets first (see `access`).
///
/// `exposed`: where other computers come in for writes. HAProxy starts although the address is not there (`transparent`, which
/// needs no right for that), as on a computer that is in another network today: what is on this one must work all the same.
///
/// `door`: what leads to the master's socket from outside, in the words of the file. It stands last, since the state names
/// proxies by their place.
pub(crate) fn config(
    address: IpAddr,
    state_file: &str,
    listeners: &[Listener],
    one_writer: bool,
    access: &str,
    exposed: Option<SocketAddr>,
    door: Option<&str>,
) -> Config {
    let mut body = body(address, listeners, one_writer, access);
    // Behind all backends, whose places stay as they are.
    for listener in exposed.into_iter().flat_map(|at| listeners.iter().map(move |listener| (at, listener))) {
        let (at, listener) = listener;
        body.push_str(&exposed_text(at, listener.traffic, access, listeners));
    }
    body.push_str(door.unwrap_or_default());
    let mark = hex::encode(&Sha256::digest(format!("{state_file}\n{body}").as_bytes())[..8]);
    let text = format!(
        "# Written by Clusterdeck. It holds the password of a user that may only ask for a server's role.\n\
         global\n    description {mark}\n    maxconn {MAX_CONNECTIONS}\n    nbthread 2\n\
         {space}# A reload leaves open connections with the process before; these bound how long and how many.\n\
         {space}hard-stop-after 1h\n    mworker-max-reloads 3\n    server-state-file {state}\n\
         {space}log stdout format raw local0 notice\n{body}",
        space = "    ",
        state = quoted(state_file),
    );
    Config { text, mark }
}

fn body(address: IpAddr, listeners: &[Listener], one_writer: bool, access: &str) -> String {
    let mut text = format!(
        "defaults\n    mode tcp\n    log global\n    option dontlognull\n    option clitcpka\n    option srvtcpka\n    \
         option redispatch 1\n    retries 2\n    timeout connect 1s\n    timeout client 24h\n    timeout server 24h\n    \
         timeout check {CHECK_ANSWERS_WITHIN}\n    load-server-state-from-file global\n    default-server {PACE}\n"
    );
    for listener in listeners {
        let name = backend(listener.traffic);
        text.push_str(&format!("frontend f_{name}\n    bind {}\n{access}", bind(address, listener.port)));
        text.push_str(way_to(listener.traffic, listeners));
        // Servers that let people in by address know this one as the endpoint's.
        text.push_str(&format!(
            "backend {name}\n    source {address}\n    balance leastconn\n    option tcp-check\n    tcp-check connect{}\n",
            if listener.check_tls { " ssl" } else { "" },
        ));
        if one_writer && listener.traffic == Traffic::ReadWrite {
            // Who is refused by the one that takes writes is told at once and may ask again: a retry of its own begins after
            // a second, which made a hand-over of 0.5 s one of 1.05 s for whoever connected in it (measured).
            text.push_str("    retries 0\n");
            // One entry for all, by whichever address they came in.
            text.push_str("    stick-table type integer size 16 nopurge\n    stick on int(1)\n");
        }
        for line in &listener.check {
            text.push_str(&match line {
                CheckLine::Send(what) => format!("    tcp-check send {}\n", quoted(what.reveal())),
                CheckLine::Expect(what) => format!("    tcp-check expect string {}\n", quoted(what)),
            });
        }
        for server in &listener.backends {
            let at = bind(server.address, server.port);
            // Weight 0: nothing new goes there, what is open stays.
            let weight = u8::from(!server.drained);
            let port = server.check_port.map(|port| format!(" port {port}")).unwrap_or_default();
            // Who answers there is proven by what goes through; the check only asks for a role.
            let tls = if listener.check_tls { " check-ssl verify none" } else { "" };
            text.push_str(&format!("    server {} {at} check{port}{tls} weight {weight}\n", server.name));
        }
    }
    text
}

fn way_to(traffic: Traffic, listeners: &[Listener]) -> &'static str {
    let has_writes = listeners.iter().any(|l| l.traffic == Traffic::ReadWrite);
    match traffic {
        // With no replica up, reads go where the writes go.
        Traffic::ReadOnly if has_writes => {
            "    use_backend ro if { nbsrv(ro) gt 0 }\n    default_backend rw\n"
        }
        Traffic::ReadOnly => "    default_backend ro\n",
        Traffic::ReadWrite => "    default_backend rw\n",
    }
}

fn exposed_text(at: SocketAddr, traffic: Traffic, access: &str, listeners: &[Listener]) -> String {
    let listens = exposed_at(traffic, at);
    let (name, bind) = (exposed_frontend(traffic, at), bind(listens.ip(), listens.port()));
    format!("frontend {name}\n    bind {bind} transparent\n{access}{}", way_to(traffic, listeners))
}

fn bind(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("[{v6}]:{port}"),
    }
}

/// Who is up: (backend, server) → the health counter of its check; 0 is down.
pub(crate) type Healths = HashMap<(String, String), u32>;

/// Reads who is up from `show servers state`.
pub(crate) fn read_state(text: &str) -> Healths {
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines
        .filter(|words| words.len() > 12)
        .filter_map(|words| {
            let health = if words[5] == "0" { 0 } else { words[12].parse().ok()? };
            Some(((words[1].to_owned(), words[3].to_owned()), health))
        })
        .collect()
}

/// The state file for a process that is about to start. Without it a server counts as up until its checks have failed,
/// and writes would go to replicas. Who is not in `healths` begins as down.
pub(crate) fn state(listeners: &[Listener], healths: &Healths) -> String {
    let mut text = String::from(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n",
    );
    let mut proxy = 0;
    for listener in listeners {
        // HAProxy numbers its proxies in the order of the file: a frontend, its backend, the next frontend.
        proxy += 2;
        let name = backend(listener.traffic);
        for (index, server) in listener.backends.iter().enumerate() {
            let health = healths.get(&(name.to_owned(), server.name.clone())).copied().unwrap_or(0);
            // Running with a passed check, or stopped with a failed one.
            let (op, result) = if health > 0 { (2, 3) } else { (0, 2) };
            let weight = u8::from(!server.drained);
            text.push_str(&format!(
                "{proxy} {name} {id} {server} {address} {op} 0 {weight} {weight} 0 15 {result} {health} 6 0 0 0 - {port} \
                 - 0 0 - - 0\n",
                id = index + 1,
                server = server.name,
                address = server.address,
                port = server.port,
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::{NodeId, Sensitive};
    use clusterdeck_driver::Backend;

    fn listener(traffic: Traffic) -> Listener {
        let node = |n: u8| Backend {
            node: NodeId::new(n.into()),
            name: format!("demo-{n}"),
            address: IpAddr::from([127, 0, 0, n]),
            port: 6379,
            check_port: None,
            drained: n == 3,
        };
        let check = vec![
            CheckLine::Send(Sensitive::new("AUTH watch $x\r\n".to_owned())),
            CheckLine::Expect("+OK".to_owned()),
        ];
        Listener { traffic, port: 6379, backends: vec![node(1), node(2), node(3)], check_tls: false, check }
    }

    #[test]
    fn a_check_line_is_quoted_so_that_nothing_in_it_is_expanded() {
        let made = config(
            IpAddr::from([127, 0, 0, 9]),
            "/x/state",
            &[listener(Traffic::ReadWrite)],
            true,
            "",
            None,
            None,
        );
        assert!(made.text.contains(r#"tcp-check send "AUTH watch \$x\r\n""#), "{}", made.text);
        assert!(
            made.text.contains("server demo-3 127.0.0.3:6379 check weight 0"),
            "a drained node takes nothing new"
        );
        assert!(made.text.contains(&made.mark));
    }

    #[test]
    fn a_clients_address_is_asked_for_before_anything_else() {
        let access = "    tcp-request connection reject\n";
        let both = [listener(Traffic::ReadWrite), listener(Traffic::ReadOnly)];
        let text = config(IpAddr::from([127, 0, 0, 9]), "/x/state", &both, true, access, None, None).text;
        assert_eq!(
            text.matches("    bind 127.0.0.9:6379\n    tcp-request connection reject\n").count(),
            2,
            "{text}"
        );
    }

    #[test]
    fn what_is_unknown_starts_as_down_and_what_was_up_stays_up() {
        let both = [listener(Traffic::ReadWrite), listener(Traffic::ReadOnly)];
        let up = HashMap::from([(("ro".to_owned(), "demo-2".to_owned()), 4)]);
        let text = state(&both, &up);
        assert!(text.contains("4 ro 2 demo-2 127.0.0.2 2 "), "{text}");
        assert!(text.contains("2 rw 1 demo-1 127.0.0.1 0 "), "{text}");
        let read = read_state(&text);
        assert_eq!(read.len(), 6, "every server of both backends");
        assert_eq!(read[&("ro".to_owned(), "demo-2".to_owned())], 4);
    }

    #[test]
    fn other_computers_come_in_behind_everything_else_by_the_same_rules_and_to_the_same_writer() {
        let access = "    tcp-request connection reject\n";
        let both = [listener(Traffic::ReadWrite), listener(Traffic::ReadOnly)];
        let at = |exposed| {
            config(IpAddr::from([127, 0, 0, 9]), "/x/state", &both, true, access, exposed, None).text
        };
        let text = at(Some("192.0.2.7:7000".parse().unwrap()));
        let (before, after) =
            text.split_once("frontend x_rw_192.0.2.7_7000\n").expect("a frontend of its own");
        assert!(!before.contains("192.0.2.7") && before.contains("backend ro\n"), "{text}");
        assert!(
            after.starts_with("    bind 192.0.2.7:7000 transparent\n    tcp-request connection reject\n"),
            "{text}"
        );
        assert!(
            after.contains("frontend x_ro_192.0.2.7_7001\n    bind 192.0.2.7:7001 transparent\n"),
            "{text}"
        );
        assert_eq!(text.matches("stick on int(1)").count(), 1, "one entry for all who write");
        assert!(!at(None).contains("transparent"));
        let v6 = at(Some("[2001:db8::7]:7000".parse().unwrap()));
        assert!(
            v6.contains("frontend x_rw_2001:db8::7_7000\n    bind [2001:db8::7]:7000 transparent\n"),
            "{v6}"
        );
    }
}
