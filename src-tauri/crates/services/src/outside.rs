//! Servers outside of our clusters, from which data comes, alike for each family: TLS towards them (what this computer trusts, or
//! nobody's word at all when a person says so), why they let nobody in, and how what was looked at is told.

use clusterdeck_domain::{Check, CheckState, Migrated, SourceReport, SourceUrl};
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Machine, Passage, Progress, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    net::SocketAddr,
    sync::Arc,
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

/// Those that were not reached.
pub(crate) fn skip_the_rest(titles: &Titles, report: &mut SourceReport) {
    const WHY: &str = "Not looked at: something before it must be put right first.";
    for (id, _) in titles {
        if !report.checks.iter().any(|c| c.id == *id) {
            report.checks.push(check(titles, id, CheckState::Skipped, WHY));
        }
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
            Refused::Credentials(what) | Refused::Database(what) | Refused::Other(what) => {
                Self::rejected(what, "Ask for the migration again, with the address as it is now.")
            }
        }
    }
}

/// How such a server is spoken to; `verify`: its certificate must be one that this computer trusts.
pub(crate) fn tls(verify: bool) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let made = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| DriverError::broken("TLS cannot be set up"))?;
    if !verify {
        let anybody = Arc::new(Anybody(provider));
        return Ok(made.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one that is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(made.with_root_certificates(roots).with_no_client_auth())
}

/// Believes whoever answers, but wants the signatures to be of the certificate that was shown.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
