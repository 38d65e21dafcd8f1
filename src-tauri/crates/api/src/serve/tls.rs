//! TLS: a certificate the user brought, or one made here once and kept in the home (its key with mode 0600), so that
//! its fingerprint stays the same.

use super::Options;
use crate::problem::{Code, Problem};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{io::Write, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who we are towards a client.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    pub(super) fingerprint: String,
}

/// The identity of these options.
pub(super) fn identity(options: &Options, home: &Path) -> Result<Identity, Problem> {
    let (certificate, key) = match &options.tls {
        Some(files) => files.clone(),
        None => made_here(options, home)?,
    };
    let wrong = |file: &Path, what: &dyn std::fmt::Display| {
        Problem::new(Code::Invalid, format!("{} cannot be used: {what}", file.display()))
            .detail("Nothing is served.")
            .hint(
                "--tls-cert takes a PEM file with the certificate chain, --tls-key the PEM file of its key.",
            )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(&certificate, &e))?;
    let leaf = chain.first().ok_or_else(|| wrong(&certificate, &"there is no certificate in it"))?;
    let fingerprint = fingerprint(leaf);
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|e| wrong(&key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&certificate, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| wrong(&key, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
}

/// As people compare it: `AB:CD:…`.
fn fingerprint(certificate: &[u8]) -> String {
    let digits: Vec<String> = Sha256::digest(certificate).iter().map(|b| format!("{b:02X}")).collect();
    digits.join(":")
}

/// The certificate kept in the home, made when there is none.
fn made_here(options: &Options, home: &Path) -> Result<(std::path::PathBuf, std::path::PathBuf), Problem> {
    let (certificate, key) = (home.join("serve-cert.pem"), home.join("serve-key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let failed = |what: String| {
        Problem::new(Code::Failed, format!("no certificate could be made: {what}"))
            .detail("Nothing is served.")
    };
    let mut names = vec!["localhost".to_owned(), crate::host::name()];
    if !options.listen.ip().is_unspecified() {
        names.push(options.listen.ip().to_string());
    }
    names.extend(options.names.iter().cloned());
    names.retain(|name| name.is_ascii() && !name.contains(char::is_whitespace));
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| failed(e.to_string()))?;
    private(&key, made.signing_key.serialize_pem().as_bytes()).map_err(|e| failed(e.to_string()))?;
    private(&certificate, made.cert.pem().as_bytes()).map_err(|e| failed(e.to_string()))?;
    Ok((certificate, key))
}

/// Writes a file that only its owner may read.
fn private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The handshake, within its time.
pub(super) async fn greet(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
