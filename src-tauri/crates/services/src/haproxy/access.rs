//! Which addresses may come in: rules that a connection meets before anything else, and what is open from elsewhere. HAProxy
//! looks at the time by itself, so a list that is tried and an entry with an end need nobody who is there at that moment.

use super::{
    config::{EXPOSED, exposed_frontend},
    runtime::{self, Channel},
};
use clusterdeck_domain::{AllowEntry, ClusterSpec};
use clusterdeck_driver::{Result, Traffic};
use jiff::Timestamp;
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// A worker is told to stop listening the moment the next one is there.
const STOPS_LISTENING_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What is closed in one conversation: a request fits in 16 KB.
const AT_ONCE: usize = 100;
/// Rounds of looking and closing. The second finds nothing unless a connection was being accepted in the first.
const ROUNDS: usize = 5;

/// The rules of a frontend; nothing where everybody may come in. The first that fits decides.
pub(super) fn rules(spec: &ClusterSpec) -> String {
    let mut text = String::new();
    if let Some(trial) = &spec.allow_trial {
        let while_tried = format!(" {{ date lt {} }}", trial.until.as_second());
        if trial.entries.is_empty() {
            text.push_str(&format!("    tcp-request connection accept if{while_tried}\n"));
        } else {
            accept(&mut text, &trial.entries, &while_tried);
            text.push_str(&format!("    tcp-request connection reject if{while_tried}\n"));
        }
    }
    if !spec.allowlist.is_empty() {
        accept(&mut text, &spec.allowlist, "");
        text.push_str("    tcp-request connection reject\n");
    }
    text
}

/// One line an entry: a line may have 64 words and 2 KB.
fn accept(text: &mut String, entries: &[AllowEntry], also: &str) {
    for entry in entries {
        let until = entry.expires_at.map(|end| format!(" {{ date lt {} }}", end.as_second()));
        let (range, until) = (entry.cidr, until.unwrap_or_default());
        text.push_str(&format!("    tcp-request connection accept if {{ src {range} }}{until}{also}\n"));
    }
}

/// A session that `show sess` names, of a client.
#[derive(Debug, PartialEq, Eq)]
struct Session<'a> {
    key: &'a str,
    from: IpAddr,
    frontend: &'a str,
}

impl<'a> Session<'a> {
    /// Nothing for what is not a client's.
    fn read(line: &'a str) -> Option<Self> {
        let (key, rest) = line.split_once(": proto=tcp")?;
        let word = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name));
        let of_clients = |name: &&str| matches!(*name, "f_rw" | "f_ro") || name.starts_with(EXPOSED);
        let frontend = word("fe=").filter(of_clients)?;
        // An IPv6 address has colons too; its port follows the last one.
        let (address, _port) = word("src=")?.rsplit_once(':')?;
        Some(Self { key, from: address.trim_matches(['[', ']']).parse().ok()?, frontend })
    }

    /// Whether it may stay: its address may come in, and by the way it came.
    fn stays(&self, spec: &ClusterSpec, now: Timestamp) -> bool {
        let open = |name: &str| {
            let both = [Traffic::ReadWrite, Traffic::ReadOnly];
            spec.exposed_at()
                .is_some_and(|at| both.iter().any(|traffic| exposed_frontend(*traffic, at) == name))
        };
        spec.lets_in(self.from, now) && (!self.frontend.starts_with(EXPOSED) || open(self.frontend))
    }
}

/// Closes the connections of clients that may come in no longer, in every worker, and says how many.
pub(super) async fn cut(socket: &Channel, spec: &ClusterSpec) -> Result<u64> {
    let mut closed = 0;
    for _ in 0..ROUNDS {
        let workers = runtime::workers(socket).await?;
        for worker in &workers.before {
            stops_listening(socket, *worker).await;
        }
        let mut found = 0;
        for worker in workers.before.iter().chain([&workers.current]) {
            match cut_in(socket, *worker, spec).await {
                Ok(n) => found += n,
                Err(e) if *worker == workers.current => return Err(e),
                Err(e) => tracing::debug!(worker, error = %e, "a former HAProxy worker has ended meanwhile"),
            }
        }
        closed += found;
        if found == 0 {
            break;
        }
    }
    Ok(closed)
}

/// Waits until a worker from before takes no new connections: what it has then is all there will be.
async fn stops_listening(socket: &Channel, worker: u32) {
    let begun = Instant::now();
    while begun.elapsed() < STOPS_LISTENING_WITHIN {
        match runtime::tell(socket, &runtime::to(worker, &["show info".to_owned()])).await {
            Ok(info) if info.lines().any(|line| line.trim() == "Stopping: 0") => {}
            // It stops, or is gone.
            _ => return,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn cut_in(socket: &Channel, worker: u32, spec: &ClusterSpec) -> Result<u64> {
    let all = runtime::tell(socket, &runtime::to(worker, &["show sess".to_owned()])).await?;
    let now = Timestamp::now();
    let outside = all.lines().filter_map(Session::read).filter(|session| !session.stays(spec, now));
    let commands: Vec<String> = outside.map(|session| format!("shutdown session {}", session.key)).collect();
    for some in commands.chunks(AT_ONCE) {
        // One that has ended by itself meanwhile is answered with words, which are no reason to stop.
        runtime::tell(socket, &runtime::to(worker, some)).await?;
    }
    Ok(commands.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_a_session_is_read_and_what_is_ours_is_not() {
        let read = |line| Session::read(line).map(|s| (s.key, s.from.to_string(), s.frontend));
        let line = "0x562f6901fed0: proto=tcpv4 src=127.9.9.9:46369 fe=f_rw be=rw srv=a ts=00 epoch=0 age=0s";
        assert_eq!(read(line), Some(("0x562f6901fed0", "127.9.9.9".to_owned(), "f_rw")));
        let v6 = "0x7f: proto=tcpv6 src=2001:db8::1:46369 fe=x_ro_2001:db8::7_6380 be=ro srv=a ts=00";
        assert_eq!(read(v6), Some(("0x7f", "2001:db8::1".to_owned(), "x_ro_2001:db8::7_6380")));
        let own = "0x562f69131c40: proto=sockpair src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0";
        assert_eq!(read(own), None);
        let door = "0x5: proto=tcpv4 src=127.0.0.1:1 fe=f_door be=door srv=master ts=00";
        assert_eq!(read(door), None, "our own way to it");
    }
}
