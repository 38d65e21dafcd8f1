//! The certificates of a cluster: an authority of its own, whose key is one of the cluster's secrets, and one certificate
//! for each machine, made when it is needed. Shared by the families that need one. P-256, because PostgreSQL's SCRAM cannot
//! bind to an Ed25519 certificate.

use clusterdeck_domain::{ClusterId, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use std::net::{IpAddr, Ipv4Addr};

/// The name of the secret that holds the authority's key: PKCS#8 in base64, one line.
pub(crate) const CA: &str = "ca";
/// On a machine: the authorities it trusts, its own certificate, its key.
pub(crate) const CA_FILE: &str = "tls/ca.crt";
pub(crate) const CERT_FILE: &str = "tls/node.crt";
pub(crate) const KEY_FILE: &str = "tls/node.key";
/// Which address its certificate names as that of the endpoint for other computers.
const EXPOSED_FILE: &str = "tls/exposed";

fn broken(e: rcgen::Error) -> DriverError {
    DriverError::broken(format!("a certificate could not be made: {e}"))
}

/// A new authority's key, as the secret keeps it.
pub(crate) fn new_authority() -> Option<Sensitive<String>> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
    Some(Sensitive::new(hex::encode(key.serialize_der())))
}

fn key_of(secret: &Sensitive<String>) -> Result<KeyPair> {
    // Never the error's words: they could quote the key.
    let damaged = || DriverError::broken("the key of the cluster's certificate authority is damaged");
    let der = hex::decode(secret.reveal()).map_err(|_| damaged())?;
    KeyPair::try_from(der).map_err(|_| damaged())
}

fn authority(cluster: &ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("Clusterdeck {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// The certificates of the authorities to trust: the one in force, and while passwords are changed the next one too.
pub(crate) fn trusted(cx: &ClusterContext) -> Result<String> {
    let next = cx.secrets.next.as_ref().and_then(|next| next.get(CA));
    let mut text = String::new();
    for secret in [Some(cx.secrets.get(CA)?), next].into_iter().flatten() {
        let made = authority(&cx.spec.id).self_signed(&key_of(secret)?).map_err(broken)?;
        text.push_str(&made.pem());
    }
    Ok(text)
}

/// Under which addresses a machine answers: its own, and the one where we reach it. etcd compares a client's certificate with
/// the address it comes from, which between loopback addresses is 127.0.0.1.
pub(crate) fn names(machine: &dyn Machine) -> Vec<SanType> {
    let own = machine.address();
    let mut all = vec![own, machine.reach(0).ip()];
    if own.is_loopback() {
        all.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(SanType::IpAddress).collect()
}

/// A certificate for whoever answers under these names, and its key. It also opens doors as a client.
pub(crate) fn certificate(
    cx: &ClusterContext,
    name: &str,
    names: Vec<SanType>,
) -> Result<(String, Sensitive<String>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
    Ok((signed(cx, name, names, &key)?, Sensitive::new(key.serialize_pem())))
}

fn signed(cx: &ClusterContext, name: &str, names: Vec<SanType>, key: &KeyPair) -> Result<String> {
    let issuer = Issuer::new(authority(&cx.spec.id), key_of(cx.secrets.newest(CA)?)?);
    let mut params = CertificateParams::default();
    // Python 3.13, which runs newer Patronis, takes no certificate without it.
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = named(name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params.signed_by(key, &issuer).map_err(broken)?.pem())
}

/// Writes a machine's certificate where it has none yet, or where it does not name the address at which other computers reach
/// the endpoint: they come through that to whichever node it is.
pub(crate) async fn ensure(cx: &ClusterContext, name: &str, machine: &dyn Machine) -> Result<()> {
    let exposed = cx.spec.exposed_at().map(|at| at.ip());
    let names = names(machine).into_iter().chain(exposed.map(SanType::IpAddress)).collect();
    if !machine.exists(KEY_FILE).await? {
        let (certificate, key) = certificate(cx, name, names)?;
        machine.write(CA_FILE, trusted(cx)?.as_bytes(), 0o600).await?;
        machine.write(CERT_FILE, certificate.as_bytes(), 0o600).await?;
        note_exposed(machine, exposed).await?;
        // The key comes last: without it there is none.
        return machine.write(KEY_FILE, key.reveal().as_bytes(), 0o600).await;
    }
    let Some(exposed) = exposed else { return Ok(()) };
    let noted = match machine.read(EXPOSED_FILE).await {
        Err(DriverError::Gone { .. }) => Vec::new(),
        noted => noted?,
    };
    if noted == exposed.to_string().as_bytes() {
        return Ok(());
    }
    // The same key: whoever reads both files meanwhile has a pair that fits.
    let damaged = || DriverError::broken(format!("the key of the certificate of {name} is damaged"));
    let key = String::from_utf8(machine.read(KEY_FILE).await?).map_err(|_| damaged())?;
    let key = KeyPair::from_pem(&key).map_err(|_| damaged())?;
    machine.write(CERT_FILE, signed(cx, name, names, &key)?.as_bytes(), 0o600).await?;
    note_exposed(machine, Some(exposed)).await
}

async fn note_exposed(machine: &dyn Machine, exposed: Option<IpAddr>) -> Result<()> {
    match exposed {
        Some(exposed) => machine.write(EXPOSED_FILE, exposed.to_string().as_bytes(), 0o600).await,
        None => Ok(()),
    }
}
