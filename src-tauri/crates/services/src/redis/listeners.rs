//! The endpoints of a cluster: what goes through them, and how a node proves that it may take it.

use super::session::{As, PORT, Session, address, command};
use crate::own_way;
use clusterdeck_domain::{Sensitive, Topology};
use clusterdeck_driver::{Backend, CheckLine, ClusterContext, DriverError, Listener, Result, Traffic};
use std::{net::SocketAddr, time::Duration};

/// The standard port of the address for reads.
pub(crate) const READ_PORT: u16 = 6380;
const PROBE: Duration = Duration::from_secs(2);
/// A probe's key goes away by itself should we be killed before we take it away.
const PROBE_KEY_LIVES_MS: u32 = 5000;
/// A probe of a sharded cluster is told where its key lives, at most so often.
const REDIRECTS: usize = 3;

/// The endpoints.
pub(crate) fn listeners(cx: &ClusterContext) -> Result<Vec<Listener>> {
    let gateway = cx.gateway()?;
    let mut backends = Vec::new();
    for node in cx.spec.data_nodes() {
        let (address, port) = address(cx.machine(node)?.as_ref());
        backends.push(Backend {
            node: node.id.clone(),
            name: node.name.clone(),
            address,
            port,
            check_port: None,
            drained: node.drained,
        });
    }
    let listener = |traffic, port, check| Listener {
        traffic,
        port: gateway.port(port),
        backends: backends.clone(),
        check_tls: false,
        check,
    };
    Ok(vec![
        listener(Traffic::ReadWrite, PORT, check(cx, Traffic::ReadWrite)?),
        listener(Traffic::ReadOnly, READ_PORT, check(cx, Traffic::ReadOnly)?),
    ])
}

/// The conversation of a role check.
fn check(cx: &ClusterContext, traffic: Traffic) -> Result<Vec<CheckLine>> {
    let send = |text: &str| CheckLine::Send(Sensitive::new(format!("{text}\r\n")));
    let expect = |text: &str| CheckLine::Expect(text.to_owned());
    let password = cx.secrets.newest(As::Watch.secret())?;
    let login = CheckLine::Send(Sensitive::new(format!("AUTH watch {}\r\n", password.reveal())));
    // `QUIT` makes the server end the conversation, so that a wrong answer fails at once; without it HAProxy waits for more
    // until its limit, three times half a second, before it believes that a primary is none any more.
    // A server that still reads its data from disk knows its role, but answers PING with an error.
    let mut lines = vec![login, expect("+OK"), send("PING"), expect("+PONG")];
    match (cx.spec.topology, traffic) {
        // Members tell a client where to go; any one that is in the cluster will do to begin with.
        (Topology::Sharded, _) => lines.extend([send("CLUSTER INFO\r\nQUIT"), expect("cluster_state:ok")]),
        (Topology::MultiMaster, _) => {}
        (_, Traffic::ReadWrite) => lines.extend([send("INFO replication\r\nQUIT"), expect("role:master")]),
        (_, Traffic::ReadOnly) => {
            lines.extend([
                send("INFO replication\r\nQUIT"),
                expect("role:slave"),
                expect("master_link_status:up"),
            ]);
        }
    }
    Ok(lines)
}

/// Writes and reads through the endpoint as people do.
pub(crate) async fn probe(cx: &ClusterContext) -> Result<()> {
    let mut last = own_way::nobody();
    for (whom, at) in own_way::to_write(cx, PORT)? {
        match write_and_read(cx, &whom, at).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn write_and_read(cx: &ClusterContext, whom: &str, mut at: SocketAddr) -> Result<()> {
    let key = format!("clusterdeck:probe:{}", cx.spec.id);
    let write = {
        let mut c = command("SET");
        c.arg(&key).arg("1").arg("PX").arg(PROBE_KEY_LIVES_MS);
        c
    };
    for _ in 0..=REDIRECTS {
        let mut session = Session::connect(cx, whom, at, As::People, PROBE).await?;
        match session.redirected::<()>(&write).await? {
            Ok(()) => {
                let read: Option<String> = session.ask(command("GET").arg(&key)).await?;
                if read.as_deref() != Some("1") {
                    let what = format!("{whom} did not return what was just written there");
                    return Err(DriverError::broken(what));
                }
                return session.ask(command("DEL").arg(&key)).await;
            }
            Err(elsewhere) => at = elsewhere,
        }
    }
    Err(DriverError::transient("the members of the cluster do not agree on who holds a key"))
}
