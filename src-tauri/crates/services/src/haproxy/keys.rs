//! The door to a HAProxy whose socket is out of our reach: a port of its own on the machine's address, in front of the
//! master's socket. Whoever comes must show a certificate of the machine's own authority, and so must HAProxy.
//!
//! The authority's key signs one certificate and is forgotten. That certificate's key lies on the machine, in a file of mode
//! 0600, and is all there is: HAProxy and we use the same. Whoever can read it could talk to the socket as well.

use super::runtime::Channel;
use crate::tls;
use clusterdeck_domain::MachineId;
use clusterdeck_driver::{DriverError, Machine, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::TlsConnector;

/// Not a port of any service.
pub(super) const PORT: u16 = 9943;
/// The authority's certificate, and below it nothing secret.
const AUTHORITY: &str = "haproxy/door.ca";
/// The certificate and its key.
const CERTIFICATE: &str = "haproxy/door.pem";
/// Machines whose keys are remembered.
const REMEMBERED: usize = 256;

/// The keys of machines that were asked for.
#[derive(Default)]
pub(super) struct Keys {
    known: Mutex<BTreeMap<MachineId, TlsConnector>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    pub(super) const fn new() -> Self {
        Self { known: Mutex::new(BTreeMap::new()) }
    }

    /// The way to a machine's HAProxy, with keys that are made when there are none.
    pub(super) async fn channel(&self, machine: &dyn Machine) -> Result<Channel> {
        let at = machine.reach(PORT);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(machine.id()).cloned();
        if let Some(connector) = known {
            return Ok(Channel::Tls { at, connector });
        }
        let (authority, certificate) = match read(machine).await? {
            Some(there) => there,
            None => make(machine).await?,
        };
        let connector = connector(&authority, &certificate)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(machine.id().clone(), connector.clone());
        Ok(Channel::Tls { at, connector })
    }
}

/// What the configuration says of the door.
pub(super) fn door(machine: &dyn Machine) -> String {
    let at = SocketAddr::new(machine.address(), machine.port(PORT));
    let path = |file: &str| machine.path(file).to_string_lossy().into_owned();
    format!(
        "frontend f_door\n    bind {at} ssl crt {} ca-file {} verify required\n    default_backend door\n\
         backend door\n    server master unix@{}\n",
        path(CERTIFICATE),
        path(AUTHORITY),
        path(super::SOCKET),
    )
}

async fn read(machine: &dyn Machine) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    // The certificate is written last: when it is there, both are.
    match machine.read(CERTIFICATE).await {
        Ok(certificate) => Ok(Some((machine.read(AUTHORITY).await?, certificate))),
        Err(DriverError::Gone { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

async fn make(machine: &dyn Machine) -> Result<(Vec<u8>, Vec<u8>)> {
    let broken = |e: rcgen::Error| DriverError::broken(format!("a certificate could not be made: {e}"));
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken);
    let named = |name: String| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named(format!("Clusterdeck {}", machine.id()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let signing = key()?;
    let authority = params.self_signed(&signing).map_err(broken)?;
    let issuer = Issuer::new(params, signing);
    let mut params = named("the door to HAProxy".to_owned());
    params.subject_alt_names = tls::names(machine);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let own = key()?;
    let certificate = params.signed_by(&own, &issuer).map_err(broken)?;
    let both = format!("{}{}", certificate.pem(), own.serialize_pem());
    let authority = authority.pem();
    machine.write(AUTHORITY, authority.as_bytes(), 0o600).await?;
    machine.write(CERTIFICATE, both.as_bytes(), 0o600).await?;
    Ok((authority.into_bytes(), both.into_bytes()))
}

fn connector(authority: &[u8], certificate: &[u8]) -> Result<TlsConnector> {
    // Never the error's words: they could quote the key.
    let damaged = || {
        DriverError::rejected(
            "the key to HAProxy's door on its machine is damaged",
            "remove the endpoint's folder `haproxy` and let the cluster be looked at again",
        )
    };
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority).map_err(|_| damaged())?;
    roots.add(authority).map_err(|_| damaged())?;
    let chain = CertificateDer::from_pem_slice(certificate).map_err(|_| damaged())?;
    let key = PrivateKeyDer::from_pem_slice(certificate).map_err(|_| damaged())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| damaged())?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![chain], key)
        .map_err(|_| damaged())?;
    Ok(TlsConnector::from(Arc::new(config)))
}
