//! Settings of the servers. What each takes comes from the servers themselves; how they must agree, from their driver.

use super::reboot::RESTART_MS;
use super::rules::{self, follows_a_leader, fresh, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{Parameter, Parameters, Topology};
use std::collections::BTreeMap;

/// What will be chosen when `wish` is done: a name without a value goes back to its default.
pub fn chosen_parameters(now: &Parameters, wish: &BTreeMap<String, Option<String>>) -> Parameters {
    let mut chosen = now.clone();
    for (name, value) in wish {
        match value {
            Some(value) => drop(chosen.insert(name.clone(), value.trim().to_owned())),
            None => drop(chosen.remove(name)),
        }
    }
    chosen
}

pub(super) fn preview(
    subject: &Subject<'_>,
    wish: &BTreeMap<String, Option<String>>,
    facts: &Facts<'_>,
) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Change the parameters of {}", spec.name));
    preview.block(rules::free(subject));
    let Some(known) = facts.parameters else {
        preview.block(
            Finding::new("parameters-unknown", format!("What can be set in {} is not known.", spec.name))
                .hint("Its servers could not be asked, or have nothing to set here."),
        );
        return preview;
    };
    let will_be = chosen_parameters(&spec.parameters, wish);
    if will_be == spec.parameters {
        preview.effect(format!("The parameters of {} are so already; nothing changes.", spec.name));
        return preview;
    }
    let mut changed = Vec::new();
    for name in wish.keys().filter(|name| spec.parameters.get(*name) != will_be.get(*name)) {
        let pointer = format!("/parameters/{name}");
        match known.iter().find(|p| p.name == *name) {
            Some(parameter) => {
                let checked = will_be.get(name).map_or(Ok(()), |value| parameter.check(value));
                match checked {
                    Ok(()) => changed.push((parameter, will_be.get(name))),
                    Err(text) => preview.block(Finding::new("parameter-invalid", text).at(&pointer)),
                }
            }
            None => preview.block(
                Finding::new("parameter-unknown", format!("There is no parameter `{name}`.")).at(&pointer),
            ),
        }
    }
    preview.blockers.extend(facts.parameter_findings.iter().cloned());
    if !preview.blockers.is_empty() {
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if spec.topology != Topology::MultiMaster && follows_a_leader(spec, seen, None, &mut preview).is_none() {
        return preview;
    }
    effects(spec.data_nodes().count(), &changed, &mut preview);
    preview
}

fn effects(nodes: usize, changed: &[(&Parameter, Option<&String>)], preview: &mut Preview) {
    for (parameter, value) in changed {
        let words =
            |text: &str, shown: String| if text.is_empty() { "an empty text".to_owned() } else { shown };
        let to = value.map_or_else(|| "its default".to_owned(), |v| words(v, format!("`{v}`")));
        let from = words(&parameter.value, parameter.value.clone());
        preview.effect(format!("{} goes from {from} to {to} on every node.", parameter.name));
    }
    let restart: Vec<&str> =
        changed.iter().filter(|(p, _)| p.restart).map(|(p, _)| p.name.as_str()).collect();
    if restart.is_empty() {
        preview.effect("No server is restarted, no connection is closed.");
        return;
    }
    let takes = if restart.len() == 1 { "takes" } else { "take" };
    preview.warn(Finding::new(
        "restart-needed",
        format!(
            "{} {takes} effect with a restart: {} restarted one after the other, and writes stop for about {} while the \
             one that takes them is.",
            words::list(&restart),
            if nodes == 1 { "the node is".to_owned() } else { format!("{} are", words::count(nodes, "node")) },
            words::wait(RESTART_MS)
        ),
    ));
    preview.expected_downtime_ms = RESTART_MS;
    preview.effect("Replicas are restarted first, the primary last; each is waited for.");
}
