//! The endpoints of a cluster: a node may take traffic when its Patroni says so.

use super::{config, patroni, sql::address};
use clusterdeck_domain::Sensitive;
use clusterdeck_driver::{Backend, CheckLine, ClusterContext, Listener, Result, Traffic};

/// The standard port of the address for reads.
const READ_PORT: u16 = 5433;

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
            check_port: Some(machine.port(patroni::PORT)),
            drained: node.drained,
        });
    }
    let listener = |traffic, port, path: &str| Listener {
        traffic,
        port: gateway.port(port),
        backends: backends.clone(),
        check_tls: true,
        check: vec![
            // The status alone: of a longer answer we read the beginning, and Patroni notes each such end with twenty lines.
            CheckLine::Send(Sensitive::new(format!("OPTIONS {path} HTTP/1.0\r\n\r\n"))),
            CheckLine::Expect("200 OK".to_owned()),
        ],
    };
    Ok(vec![
        listener(Traffic::ReadWrite, config::PORT, "/primary"),
        listener(Traffic::ReadOnly, READ_PORT, "/replica"),
    ])
}
