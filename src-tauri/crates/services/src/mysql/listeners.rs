//! The endpoints of a cluster: a node may take traffic when the process beside its server says so (`health.pl`).

use super::{config, sql::address};
use clusterdeck_domain::{NodeSpec, Sensitive, Topology};
use clusterdeck_driver::{Backend, CheckLine, ClusterContext, Listener, Result, Traffic};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The standard port of the address for reads.
const READ_PORT: u16 = 3307;

/// How long a node's own word is waited for.
const ANSWER: Duration = Duration::from_millis(500);

/// The question for a role.
fn question(path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\n\r\n")
}

/// What is asked for writes and for reads.
const fn paths(topology: Topology) -> (&'static str, &'static str) {
    match topology {
        Topology::MultiMaster => ("/member", "/member"),
        _ => ("/primary", "/replica"),
    }
}

/// Asks a node as the endpoint does: whether it may take writes, or reads.
pub(crate) async fn may_take(cx: &ClusterContext, node: &NodeSpec, traffic: Traffic) -> Result<bool> {
    let machine = cx.machine(node)?;
    let (writes, reads) = paths(cx.spec.topology);
    let path = if traffic == Traffic::ReadWrite { writes } else { reads };
    let asked = async {
        let mut stream = TcpStream::connect(machine.reach(config::HEALTH_PORT)).await?;
        stream.write_all(question(path).as_bytes()).await?;
        let mut answer = String::new();
        stream.take(1024).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.contains("200 OK"))
    };
    Ok(timeout(ANSWER, asked).await.is_ok_and(|answer| answer.unwrap_or(false)))
}

/// The endpoints.
pub(crate) fn listeners(cx: &ClusterContext) -> Result<Vec<Listener>> {
    let gateway = cx.gateway()?;
    let mut backends = Vec::new();
    for node in cx.spec.data_nodes() {
        let machine = cx.machine(node)?;
        let (address, port) = address(machine.as_ref());
        backends.push(Backend {
            node: node.id.clone(),
            name: node.name.clone(),
            address,
            port,
            check_port: Some(machine.port(config::HEALTH_PORT)),
            drained: node.drained,
        });
    }
    let listener = |traffic, port, path: &str| Listener {
        traffic,
        port: gateway.port(port),
        backends: backends.clone(),
        check_tls: false,
        check: vec![CheckLine::Send(Sensitive::new(question(path))), CheckLine::Expect("200 OK".to_owned())],
    };
    let (writes, reads) = paths(cx.spec.topology);
    Ok(vec![
        listener(Traffic::ReadWrite, config::PORT, writes),
        listener(Traffic::ReadOnly, READ_PORT, reads),
    ])
}
