//! The endpoints of a cluster: a node may take traffic when the process beside its server says so (`health.pl`).

use super::{config, sql::address};
use clusterdeck_domain::{Sensitive, Topology};
use clusterdeck_driver::{Backend, CheckLine, ClusterContext, Listener, Result, Traffic};

/// The standard port of the address for reads.
const READ_PORT: u16 = 3307;

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
        check: vec![
            CheckLine::Send(Sensitive::new(format!("GET {path} HTTP/1.0\r\n\r\n"))),
            CheckLine::Expect("200 OK".to_owned()),
        ],
    };
    let (writes, reads) = match cx.spec.topology {
        Topology::MultiMaster => ("/member", "/member"),
        _ => ("/primary", "/replica"),
    };
    Ok(vec![
        listener(Traffic::ReadWrite, config::PORT, writes),
        listener(Traffic::ReadOnly, READ_PORT, reads),
    ])
}
