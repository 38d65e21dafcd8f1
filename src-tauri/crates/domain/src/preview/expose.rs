//! Whether other computers reach a cluster's endpoints. A port once chosen stays the cluster's; open to everybody has to be
//! confirmed by name.

use super::rules::{self, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterSpec, Exposable, Exposure, Topology, reads_beside};
use std::net::{IpAddr, SocketAddr};

/// Ports that need no right of their own, with room for the one above.
const PORTS: std::ops::RangeInclusive<u16> = 1_024..=65_534;
/// How many ports beyond the service's own are tried.
const TRIED: u16 = 400;

/// Where the endpoints will be reached from other computers; `None`: nowhere, and they never were.
///
/// # Errors
/// What stands against it.
pub fn chosen_exposure(
    spec: &ClusterSpec,
    on: Option<IpAddr>,
    port: Option<u16>,
    facts: &Facts<'_>,
) -> Result<Option<Exposure>, Vec<Finding>> {
    let Some(on) = on.map(|on| on.to_canonical()) else {
        return Ok(spec.exposure.map(|kept| Exposure { on: None, ..kept }));
    };
    let place = place(spec, facts)?;
    let mut wrong = Vec::new();
    wrong.extend(not_ours(on, place));
    if port.is_some_and(|port| !PORTS.contains(&port)) {
        let text = format!("A port is a number from {} to {}.", PORTS.start(), PORTS.end());
        wrong.push(Finding::new("not-a-port", text).at("/port"));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let wanted = port.or_else(|| spec.exposure.map(|kept| kept.port));
    let own = match spec.exposure {
        Some(kept) if kept.on == Some(on) => kept.ports().to_vec(),
        _ => Vec::new(),
    };
    let in_the_way = |port: u16| {
        let pair = Exposure { on: Some(on), port }.ports();
        pair.into_iter().find_map(|port| Some((port, holder(spec, port, &own, place, facts)?)))
    };
    if let Some(port) = wanted {
        return match in_the_way(port) {
            None => Ok(Some(Exposure { on: Some(on), port })),
            Some((taken, who)) => Err(vec![
                Finding::new(
                    "port-taken",
                    format!("Port {taken} of {on} is taken: {who} listens there. Nothing was changed."),
                )
                .at("/port")
                .hint(format!(
                    "End that program (`ss -ltnp sport = :{taken}` shows it), or choose another port for {}.",
                    spec.name
                )),
            ]),
        };
    }
    let first = place.standard_port.max(*PORTS.start());
    let mut all = first..=first.saturating_add(TRIED).min(*PORTS.end());
    match all.find(|port| in_the_way(*port).is_none()) {
        Some(port) => Ok(Some(Exposure { on: Some(on), port })),
        None => Err(vec![
            Finding::new("port-taken", format!("No port of {on} from {first} on is free.")).at("/port"),
        ]),
    }
}

/// What there is to come in by, or why nobody can.
fn place<'a>(spec: &ClusterSpec, facts: &Facts<'a>) -> Result<&'a Exposable, Vec<Finding>> {
    let name = &spec.name;
    let refused = |code: &str, text: String| Err(vec![Finding::new(code, text).at("/on")]);
    if spec.gateway.is_none() {
        return refused("no-endpoint", format!("{name} has no endpoint."));
    }
    if spec.topology == Topology::Sharded {
        let text = format!(
            "The members of {name} send clients on to each other's own addresses, which lead nowhere from other computers: \
             the endpoint alone would not do."
        );
        return refused("sharded", text);
    }
    match facts.exposable {
        Some(Exposable { refused: Some(why), .. }) => refused("not-exposable", why.clone()),
        Some(place) => Ok(place),
        None => refused(
            "addresses-unknown",
            "Which addresses this computer has, and who listens there, could not be found out.".to_owned(),
        ),
    }
}

fn not_ours(on: IpAddr, place: &Exposable) -> Option<Finding> {
    if place.addresses.contains(&on) {
        return None;
    }
    let text = match on {
        _ if on.is_loopback() => format!("{on} leads to this computer only from this computer itself."),
        _ if on.is_unspecified() => {
            format!("{on} is every address at once, also those that come later: choose one.")
        }
        _ => format!("{on} is not an address of this computer now."),
    };
    let has: Vec<String> = place.addresses.iter().map(ToString::to_string).collect();
    let hint = match has.as_slice() {
        [] => "It has none that others could reach: connect it to a network first.".to_owned(),
        has => format!("It has {}.", words::list(&has.iter().map(String::as_str).collect::<Vec<_>>())),
    };
    Some(Finding::new("not-an-own-address", text).at("/on").hint(hint))
}

/// Who has a port already, in words: somebody who listens, or another cluster for which it is kept.
fn holder(
    spec: &ClusterSpec,
    port: u16,
    own: &[u16],
    place: &Exposable,
    facts: &Facts<'_>,
) -> Option<String> {
    let keeps = |other: &&ClusterSpec| {
        other.id != spec.id && other.exposure.is_some_and(|kept| kept.ports().contains(&port))
    };
    if let Some(other) = facts.clusters.iter().find(keeps) {
        return Some(format!("{}, for which it is kept,", other.name));
    }
    if own.contains(&port) { None } else { place.holder(port) }
}

pub(super) fn preview(
    subject: &Subject<'_>,
    on: Option<IpAddr>,
    port: Option<u16>,
    facts: &Facts<'_>,
) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(match on {
        Some(_) => format!("Let other computers reach {name}"),
        None => format!("Close {name} to other computers"),
    });
    preview.block(rules::free(subject));
    let to = match chosen_exposure(spec, on, port, facts) {
        Ok(to) => to,
        Err(wrong) => {
            preview.blockers.extend(wrong);
            return preview;
        }
    };
    let (before, after) = (spec.exposed_at(), to.and_then(Exposure::open_at));
    match (before, after) {
        (before, after) if before == after => preview.effect(match after {
            Some(at) => format!("Other computers reach {name} at {at} already; nothing changes."),
            None => format!("{name} is reached from this computer only already; nothing changes."),
        }),
        (before, Some(at)) => open(spec, at, before, &mut preview),
        (Some(at), None) => {
            preview.effect(format!(
                "Nobody reaches {name} at {at} any more, and what other computers have open there is closed."
            ));
            preview.effect("On this computer everything stays as it is.");
            preview.effect(format!("The port stays {name}'s, for the next time."));
        }
        (None, None) => {}
    }
    preview
}

fn open(spec: &ClusterSpec, at: SocketAddr, before: Option<SocketAddr>, preview: &mut Preview) {
    let name = &spec.name;
    let reads = reads_beside(at);
    preview.effect(if spec.topology == Topology::PrimaryReplica {
        format!("Other computers reach {name} at {at} for writes and at {reads} for reads.")
    } else {
        format!("Other computers reach {name} at {at}. {reads} is kept for reads, should it get replicas.")
    });
    if let Some(before) = before {
        preview.effect(format!("At {before} no longer: what is open there is closed."));
    }
    preview.effect(
        "That stays so over restarts and failovers until it is closed. On this computer everything stays as it is.",
    );
    preview.effect(
        "A firewall of this computer or of the network may still keep others away; Clusterdeck changes none.",
    );
    let everybody = spec.allowlist.iter().any(|entry| entry.cidr.is_everybody());
    if spec.allowlist.is_empty() || everybody {
        preview.warn(
            Finding::new(
                "open-to-everybody",
                format!(
                    "{}: everybody who reaches {} may try passwords.",
                    if everybody {
                        "The list holds every address"
                    } else {
                        "No list of addresses limits access"
                    },
                    at.ip()
                ),
            )
            .hint(format!("Limit access first: `clusterdeck cluster allow {name} CIDR…`.")),
        );
        preview.confirm = Some(name.to_string());
    } else {
        let entries: Vec<String> = spec.allowlist.iter().map(|entry| entry.cidr.to_string()).collect();
        let some: Vec<&str> = entries.iter().take(5).map(String::as_str).collect();
        let more = match entries.len() - some.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        preview.effect(format!("Only those in its list come in there: {}{more}.", some.join(", ")));
    }
    let maker = rules::entry(spec).name_of(&spec.version);
    preview.warn(if spec.service.speaks_tls() {
        Finding::new(
            "encrypted-on-request",
            format!(
                "Passwords and data travel encrypted only where the client asks for TLS. The certificates are of {name}'s own \
                 authority, and name {} too.",
                at.ip()
            ),
        )
        .hint("Let clients insist on TLS, and give them the authority's certificate if they shall check whom they talk to.")
    } else {
        Finding::new(
            "not-encrypted",
            format!(
                "{maker} speaks no TLS here: passwords and data can be read by whoever sees the network between."
            ),
        )
        .hint("Use it in a network that you trust, or through a tunnel (WireGuard, ssh).")
    });
}
