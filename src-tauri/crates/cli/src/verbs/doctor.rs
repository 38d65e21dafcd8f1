//! `clusterdeck doctor`: what can run here, what is missing and how to install it, and whether the home is sound.

use super::catalog::{installs, offers};
use crate::{
    answer::ask,
    args::Args,
    compose::Real,
    failure::Failure,
    output::Output,
    session::{home, stopped},
};
use axum::http::{HeaderMap, Method};
use clusterdeck_api::{CONNECTION, Compose, EMBEDDED, Front, Kept, Problem, host, wire};
use clusterdeck_domain::{MachineId, MissingSoftware};
use clusterdeck_engine::EngineError;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

/// What was found out about one thing.
#[derive(Serialize)]
struct Finding {
    /// `home`, `state`, `secrets`, `machines`, `provider local`, `service redis`.
    subject: String,
    /// `fine`, `notice`, `broken`.
    standing: &'static str,
    /// In a sentence.
    text: String,
    /// What to do about it, as commands where there are any.
    todo: Vec<String>,
}

#[derive(Serialize, Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, subject: &str, standing: &'static str, text: impl Into<String>, todo: Vec<String>) {
        self.findings.push(Finding { subject: subject.to_owned(), standing, text: text.into(), todo });
    }
    fn problem(&mut self, subject: &str, problem: &Problem) {
        let text = [&problem.title, &problem.detail].map(String::as_str).join(". ");
        self.add(subject, "broken", text.trim_end_matches(". "), vec![problem.hint.clone()]);
    }
}

/// Looks at everything and goes on after each thing that is broken.
pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let home = home(args);
    let mut report = Report::default();
    // Makes the folder with its permissions, and says who holds it.
    let front = match Front::open(&home, host::actor("cli"), Arc::new(Real)).await {
        Ok(front) => {
            let held = if front.is_host() { "nobody else uses it" } else { "another Clusterdeck holds it" };
            report.add("home", "fine", format!("{}: {held}", front.home().display()), vec![]);
            Some(front)
        }
        Err(problem) => {
            report.problem("home", &problem);
            None
        }
    };
    if let Some(front) = &front {
        // While it starts, a window is shown what was seen last; here that would be yesterday's finding. Where it cannot
        // start, the questions below say why.
        let _started = front.hosted_engine().await.is_ok();
        match Real.open(front.home()).await {
            Ok(kept) => kept_things(&mut report, front.home(), &kept).await,
            Err(problem) => report.problem("state", &problem),
        }
        for (subject, looked) in [
            ("provider", providers(&mut report, front).await),
            ("service", services(&mut report, front).await),
        ] {
            if let Err(Failure::Problem(problem)) = looked {
                report.problem(subject, &problem);
            }
        }
    }
    let printed = print(output, &report);
    if let Some(front) = &front {
        // Opening the home took up what was left unfinished: it is not left again.
        if let Ok(Some(engine)) = front.hosted_engine().await {
            let idle = engine.idle();
            tokio::pin!(idle);
            if tokio::time::timeout(Duration::from_millis(200), idle.as_mut()).await.is_err() {
                output.note("Waiting for the end of what was left unfinished.");
                tokio::select! {
                    () = idle => {}
                    _ = stopped() => {}
                }
            }
        }
        front.close(Duration::ZERO).await;
    }
    printed?;
    match report.findings.iter().find(|f| f.standing == "broken") {
        Some(broken) => Err(Failure::other(format!("{} is not as it should be", broken.subject))),
        None => Ok(()),
    }
}

async fn kept_things(report: &mut Report, home: &Path, kept: &Kept) {
    // Opening checks the whole file.
    report.add("state", "fine", "state.db is sound", vec![]);
    match clusterdeck_secrets::check(kept.secrets.as_ref()).await {
        Ok(()) => report.add("secrets", "fine", format!("{} keeps them", kept.secrets.describe()), vec![]),
        Err(error) => report.problem("secrets", &Problem::from(EngineError::from(error))),
    }
    let clusters = match kept.state.clusters().await {
        Ok(clusters) => clusters,
        Err(error) => return report.problem("state", &Problem::from(EngineError::from(error))),
    };
    let known: BTreeSet<MachineId> =
        clusters.iter().flat_map(|c| c.machines().map(|m| m.id.clone())).collect();
    for (place, found) in crate::compose::machines(home).await {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                report.problem("machines", &Problem::from(EngineError::from(error)));
                continue;
            }
        };
        let left: Vec<String> =
            found.iter().filter(|id| !known.contains(id)).map(|id| where_is(home, id)).collect();
        if left.is_empty() {
            let text = format!("{place}: {} machines, all of them of known clusters", found.len());
            report.add("machines", "fine", text, vec![]);
        } else {
            let text = format!(
                "{place}: {} machines belong to no cluster; look at what they hold before you remove them",
                left.len()
            );
            report.add("machines", "notice", text, left);
        }
    }
}

/// Where to look at a machine that nobody knows: its folder, or the name it carries elsewhere.
fn where_is(home: &Path, id: &MachineId) -> String {
    let folder = home.join("machines").join(id.as_str());
    if folder.exists() { folder.display().to_string() } else { id.to_string() }
}

async fn get(front: &Front, path: &str) -> Result<crate::answer::Answer, Failure> {
    let headers = HeaderMap::from_iter([(CONNECTION, axum::http::HeaderValue::from_static(EMBEDDED))]);
    ask(front, Method::GET, path, headers, None).await
}

async fn providers(report: &mut Report, front: &Front) -> Result<(), Failure> {
    let providers: wire::List<wire::Provider> = get(front, "/v1/providers").await?.read()?;
    for provider in providers.items {
        let standing = if provider.usable { "fine" } else { "notice" };
        // The notes are sentences.
        let text = format!("{}. {}", provider.name, provider.notes.join(" "));
        report.add(&format!("provider {}", provider.id), standing, text, vec![]);
    }
    Ok(())
}

async fn services(report: &mut Report, front: &Front) -> Result<(), Failure> {
    let services: Value = get(front, "/v1/services").await?.read()?;
    for service in services["items"].as_array().into_iter().flatten() {
        if service["coming"] == true {
            continue;
        }
        let missing: Vec<MissingSoftware> =
            serde_json::from_value(service["missing"].clone()).unwrap_or_default();
        let name = service["name"].as_str().unwrap_or_default();
        let subject = format!("service {}", service["id"].as_str().unwrap_or_default());
        if service["available"] == true {
            report.add(&subject, "fine", format!("{name} can be created. {}", offered(service)), vec![]);
        } else {
            report.add(
                &subject,
                "notice",
                format!("{name} cannot be created: software is missing"),
                installs(&missing),
            );
        }
    }
    Ok(())
}

/// Which versions are installed and which would only be fetched, each with its place.
fn offered(service: &Value) -> String {
    let named = |what: &str, offers: Vec<String>| {
        (!offers.is_empty()).then(|| format!("{what} {}.", offers.join("; ")))
    };
    [named("Installed:", offers(service, true)), named("Fetched first:", offers(service, false))]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn print(output: &Output, report: &Report) -> Result<(), Failure> {
    if output.json() {
        let body = serde_json::to_vec(report).map_err(|e| Failure::other(e.to_string()))?;
        return output.body(&body);
    }
    for finding in &report.findings {
        let mark = match finding.standing {
            "fine" => "✓",
            "notice" => "!",
            _ => "✗",
        };
        output.line(&format!("{mark} {}: {}", finding.subject, finding.text))?;
        for todo in finding.todo.iter().filter(|todo| !todo.is_empty()) {
            output.line(&format!("    {todo}"))?;
        }
    }
    Ok(())
}
