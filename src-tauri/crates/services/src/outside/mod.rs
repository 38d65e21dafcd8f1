//! Servers outside of our clusters, from which data comes, alike for each family: TLS towards them (`tls`), why they let nobody in, and
//! how what was looked at is told.

pub(crate) mod tls;

use clusterdeck_domain::{
    Check, CheckState,
    CheckState::{Failed, Passed},
    Migrated, SourceReport, SourceTls, SourceUrl,
};
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Machine, Passage, Progress, Result};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Whether an address leads to the cluster itself, to a node or to its endpoint: what is brought in from there would be replaced by
/// itself.
pub(crate) async fn is_ours(cx: &ClusterContext, url: &SourceUrl) -> bool {
    let Ok(found) = tokio::net::lookup_host((url.host.as_str(), url.port())).await else { return false };
    let standard = url.scheme.port();
    let ours: Vec<SocketAddr> = cx
        .machines
        .values()
        .flat_map(|machine| {
            [standard, standard + 1]
                .map(|port| [SocketAddr::new(machine.address(), machine.port(port)), machine.reach(port)])
        })
        .flatten()
        .collect();
    found.into_iter().any(|at| ours.contains(&at))
}

/// Whether it is who it says, where that is verified.
const CERTIFICATE: &str = "certificate";
/// What a machine trusts, as its distribution keeps it.
const ROOTS: &str = r#"
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [ -e "$file" ] && exec printf %s "$file"
done
"#;

/// The file of the roots that a machine trusts.
pub(crate) async fn roots(machine: &dyn Machine) -> Result<String> {
    let mut found = Vec::new();
    machine.output_of(&Filter::script(ROOTS, Vec::<String>::new()), &mut found).await?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if found.is_empty() {
        return Err(DriverError::rejected(
            format!("the machine at {} has no file of roots, so it trusts no certificate", machine.address()),
            "Nothing was changed. Install ca-certificates there, or take anybody's certificate (?tls=encrypt).",
        ));
    }
    Ok(found)
}

/// What is looked at, by its stable name and in words, in this order.
type Titles = [(&'static str, &'static str)];

/// What became of one of them.
pub(crate) fn check(titles: &Titles, id: &str, state: CheckState, text: impl Into<String>) -> Check {
    let title = titles.iter().find(|(known, _)| *known == id).map_or("", |(_, title)| title);
    Check::new(id, title, state, text)
}

/// Those that were not reached, but for what was not to be looked at: a certificate that nobody verifies, one that is not to be
/// followed, a group where none may be meant.
pub(crate) fn skip_the_rest(titles: &Titles, url: &SourceUrl, mut report: SourceReport) -> SourceReport {
    const WHY: &str = "Not looked at: something before it must be put right first.";
    let apart = |id: &str| id.starts_with("follow-") || id.starts_with("group-");
    let asked = |id: &str| !apart(id) && (id != CERTIFICATE || url.tls == SourceTls::Verify);
    for (id, _) in titles.iter().filter(|(id, _)| asked(id)) {
        if !report.checks.iter().any(|c| c.id == *id) {
            report.checks.push(check(titles, id, CheckState::Skipped, WHY));
        }
    }
    report
}

/// What is looked at on the way into a server that answers.
fn answers(titles: &Titles, url: &SourceUrl) -> Vec<Check> {
    let mut checks = vec![check(titles, "reachable", Passed, format!("{} answers.", url.place()))];
    if url.tls == SourceTls::Verify {
        let given = tls::authorities(url).map(|ca| ca.to_string());
        let by = given.unwrap_or_else(|| "one whom this computer trusts".to_owned());
        let text = format!("Its certificate is for {} and signed by {by}.", url.host);
        checks.push(check(titles, CERTIFICATE, Passed, text));
    }
    checks
}

/// The same into one that lets us in.
pub(crate) fn let_in(titles: &Titles, url: &SourceUrl) -> Vec<Check> {
    let mut checks = answers(titles, url);
    checks.push(check(titles, "credentials", Passed, "The user and the password are accepted."));
    checks
}

/// The same into one that does not; `users` is what to do where it does not accept the user.
pub(crate) fn kept_out(titles: &Titles, url: &SourceUrl, refused: Refused, users: &str) -> Vec<Check> {
    const REACH: &str =
        "Look at its address and port, at firewalls, and whether it wants TLS (?tls=encrypt) or has none.";
    let failed = |id: &str, what: &str| check(titles, id, Failed, format!("{what}."));
    match refused {
        Refused::Unreachable(what) => vec![failed("reachable", &what).hint(REACH)],
        Refused::Certificate { what, hint } => vec![
            check(titles, "reachable", Passed, format!("{} answers.", url.place())),
            failed(CERTIFICATE, &what).hint(hint),
        ],
        Refused::Credentials(what) => {
            let mut checks = answers(titles, url);
            checks.push(failed("credentials", &what).hint(users));
            checks
        }
        Refused::Database(what) => {
            let mut checks = let_in(titles, url);
            checks.push(failed("database", &what));
            checks
        }
        Refused::Other(what) => vec![failed("reachable", &what)],
    }
}

/// Lets something take its time, and says each second that it goes on.
pub(crate) async fn alive<T>(progress: &Progress, what: &str, act: impl Future<Output = T>) -> T {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let begun = Instant::now();
    tokio::pin!(act);
    loop {
        tokio::select! {
            done = &mut act => return done,
            _ = tick.tick() => progress.measured(what, begun.elapsed().as_secs(), 0),
        }
    }
}

/// Writes down what came of holding both sides against each other, and what was `written` at the source meanwhile.
pub(crate) fn judged(report: &mut Migrated, written: &[String], took: Duration, passage: &Passage) {
    let verdict = if report.differences.is_empty() { "both sides are the same" } else { "they differ" };
    let line = format!(
        "{} tables were compared by count and checksum in {:.1} s: {verdict}",
        report.compared.len() - written.len(),
        took.as_secs_f64()
    );
    passage.log(line.clone());
    report.notes.push(line);
    if !written.is_empty() {
        let line = format!(
            "The source was still written to when the cluster was cut over, so {} could not be compared; what was written since did not \
             come along",
            written.join(", ")
        );
        passage.log(line.clone());
        report.notes.push(line);
    }
}

/// Why nobody gets in.
pub(crate) enum Refused {
    /// Nobody answers there.
    Unreachable(String),
    /// It is not believed to be who it says, and what to do about that.
    Certificate { what: String, hint: String },
    /// The user or the password is not accepted.
    Credentials(String),
    /// There is no such database, or it is not for this user.
    Database(String),
    /// Something else.
    Other(String),
}

impl From<Refused> for DriverError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unreachable(what) => Self::transient(what),
            Refused::Certificate { what, hint } => Self::rejected(what, hint),
            Refused::Credentials(what) | Refused::Database(what) | Refused::Other(what) => {
                Self::rejected(what, "Ask for the migration again, with the address as it is now.")
            }
        }
    }
}
