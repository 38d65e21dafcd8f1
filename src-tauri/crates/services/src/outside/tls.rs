//! TLS towards a server outside: whom it must lead back to, and why its certificate is not believed, in words.

use super::Refused;
use clusterdeck_domain::{CaCertificates, SourceTls, SourceUrl};
use clusterdeck_driver::{DriverError, Result};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{error::Error, io, sync::Arc};

/// Names of a certificate that are told.
const TOLD: usize = 5;
/// For who meant another authority, or none.
const GIVE: &str = "Give the certificate of the authority that signs it (`--source-ca`; a managed service offers it for download), \
                    or look who answers there.";

/// Those of the authorities that were given with which anything can be verified now. One whose time is over our own library would
/// believe and the makers' programs would not.
pub(crate) fn authorities(url: &SourceUrl) -> Option<CaCertificates> {
    let now = jiff::Timestamp::now();
    let usable = |der: &[u8]| RootCertStore::empty().add(CertificateDer::from(der)).is_ok();
    url.ca.as_ref()?.only(|one| one.until > now && usable(&one.der))
}

/// The certificates to one of which that of a server must lead: of the authorities that were given, or else of those that this
/// computer trusts.
pub(crate) fn roots(url: &SourceUrl) -> std::result::Result<Vec<CertificateDer<'static>>, Refused> {
    let none = |what: String| Refused::Certificate { what, hint: GIVE.to_owned() };
    if let Some(ca) = &url.ca {
        let over = || {
            let last = ca.all().iter().map(|one| one.until).max().unwrap_or_default();
            none(format!("the authority that was given is good no more since {last}"))
        };
        let usable = authorities(url).ok_or_else(over)?;
        return Ok(usable.all().iter().map(|one| CertificateDer::from(one.der.clone())).collect());
    }
    let mut known = rustls_native_certs::load_native_certs().certs;
    // One that cannot be read is one that is not trusted.
    known.retain(|der| RootCertStore::empty().add(der.clone()).is_ok());
    match known.is_empty() {
        true => Err(none("this computer trusts no authority at all".to_owned())),
        false => Ok(known),
    }
}

/// How such a server is spoken to.
pub(crate) fn config(url: &SourceUrl) -> std::result::Result<ClientConfig, Refused> {
    let provider = Arc::new(ring::default_provider());
    let made = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| Refused::Other("TLS cannot be set up".to_owned()))?;
    if url.tls != SourceTls::Verify {
        let anybody = Arc::new(Anybody(provider));
        return Ok(made.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth());
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots(url)?);
    Ok(made.with_root_certificates(store).with_no_client_auth())
}

/// What is written down of the authorities for programs on a machine; `None` where none were given.
pub(crate) fn file(url: &SourceUrl) -> Result<Option<String>> {
    if url.ca.is_none() {
        return Ok(None);
    }
    roots(url).map_err(DriverError::from)?;
    Ok(authorities(url).map(|ca| ca.pem()))
}

/// Why a server is not let through by its certificate, where that is what an error is about.
pub(crate) fn distrusted(url: &SourceUrl, error: &(dyn Error + 'static)) -> Option<Refused> {
    let (what, hint) = words(url, fault(error)?);
    Some(Refused::Certificate { what: format!("{} shows a certificate {what}", url.place()), hint })
}

/// The certificate's fault, which lies below what libraries make of it.
fn fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(fault);
        }
        // What these two hold they do not name as their source.
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match (shared, held) {
            (Some(shared), _) => Some(shared.as_ref()),
            (_, Some(held)) => Some(held),
            _ => error.source(),
        };
    }
    None
}

fn words(url: &SourceUrl, fault: &CertificateError) -> (String, String) {
    let clocks = || "Renew it there, or look at the clocks of both computers.".to_owned();
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let what = match &url.ca {
                Some(ca) => format!("that was not signed by {ca}"),
                None => "that nobody signed whom this computer trusts".to_owned(),
            };
            (what, GIVE.to_owned())
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().take(TOLD).map(|name| plain(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let hint = "Give the host by a name for which it is, or let one be made for this host.";
            (format!("for {names}, and not for {}", url.host), hint.to_owned())
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("whose time was over at {}", date(*not_after)), clocks())
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("whose time begins at {} only", date(*not_before)), clocks())
        }
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            let hint = "Let it sign one for the server and show that; or only encrypt (`?tls=encrypt`, and no authority).";
            ("that is an authority's own, and not one of a server".to_owned(), hint.to_owned())
        }
        other => (format!("that cannot be believed: {other}"), GIVE.to_owned()),
    }
}

/// `DnsName("db.example.com")` as `db.example.com`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

fn date(at: UnixTime) -> String {
    let at = i64::try_from(at.as_secs()).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    type Signed = (CertificateDer<'static>, KeyPair);

    fn authority(name: &str) -> (Signed, CertificateParams) {
        let mut params = CertificateParams::new(vec!["db.example.com".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        ((params.self_signed(&key).unwrap().der().clone(), key), params)
    }

    /// Of a server, good between two years.
    fn server(signs: &(Signed, CertificateParams), name: &str, years: (i32, i32)) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&signs.1, &signs.0.1);
        (params.signed_by(&key, &issuer).unwrap().der().clone(), key)
    }

    /// What is said of a server that shows this, by who trusts that authority.
    async fn said(shown: &Signed, trusted: &CertificateDer<'_>) -> Option<(String, String)> {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", base64(trusted));
        let ca = Some(CaCertificates::parse(&pem).unwrap());
        let url = SourceUrl::parse("postgres://db.example.com/shop?tls=verify").unwrap();
        let url = SourceUrl { ca, ..url };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.1.serialize_der()));
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![shown.0.clone()], key)
            .unwrap();
        let Ok(client) = config(&url) else { panic!("it can be spoken to") };
        let (here, there) = tokio::io::duplex(64 << 10);
        let name = ServerName::try_from("db.example.com").unwrap();
        let (connected, _) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, here),
            TlsAcceptor::from(Arc::new(server)).accept(there)
        );
        match distrusted(&url, &connected.err()?) {
            Some(Refused::Certificate { what, hint }) => Some((what, hint)),
            _ => panic!("it is about the certificate"),
        }
    }

    fn base64(der: &[u8]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(der)
    }

    #[tokio::test]
    async fn each_fault_of_a_certificate_has_words_of_its_own() {
        let (ours, other) = (authority("Ours"), authority("Other"));
        let good = server(&ours, "db.example.com", (2020, 2090));
        assert_eq!(said(&good, &ours.0.0).await, None);
        let words = |(what, hint): (String, String)| format!("{what}. {hint}");
        let told = async |shown: &Signed, trusted: &CertificateDer<'_>| {
            said(shown, trusted).await.map(words).unwrap()
        };
        let unknown = told(&good, &other.0.0).await;
        assert!(unknown.contains("was not signed by CN=Other"), "{unknown}");
        let named = told(&server(&ours, "other.example.com", (2020, 2090)), &ours.0.0).await;
        assert!(named.contains("for other.example.com, and not for db.example.com"), "{named}");
        let over = told(&server(&ours, "db.example.com", (2020, 2021)), &ours.0.0).await;
        assert!(over.contains("whose time was over at 2021-01-01"), "{over}");
        let early = told(&server(&ours, "db.example.com", (2080, 2090)), &ours.0.0).await;
        assert!(early.contains("whose time begins at 2080-01-01"), "{early}");
        let own = told(&ours.0, &ours.0.0).await;
        assert!(own.contains("an authority's own"), "{own}");
    }

    #[test]
    fn authorities_whose_time_is_over_are_nobody_and_others_are_not_trusted_instead() {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2001, 1, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let url = SourceUrl::parse("redis://db.example.com?tls=verify").unwrap();
        let url = SourceUrl { ca: Some(CaCertificates::parse(&pem).unwrap()), ..url };
        let Err(Refused::Certificate { what, .. }) = roots(&url) else { panic!("nobody is trusted") };
        assert!(what.contains("good no more since 2001-01-01"), "{what}");
        assert!(file(&url).is_err());
        assert!(config(&url).is_err());
    }
}
