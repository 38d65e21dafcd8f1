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
    let issuer = Issuer::new(authority(&cx.spec.id), key_of(cx.secrets.newest(CA)?)?);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
    let mut params = CertificateParams::default();
    // Python 3.13, which runs newer Patronis, takes no certificate without it.
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = named(name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let made = params.signed_by(&key, &issuer).map_err(broken)?;
    Ok((made.pem(), Sensitive::new(key.serialize_pem())))
}

/// Writes a machine's certificate where it has none yet.
pub(crate) async fn ensure(cx: &ClusterContext, name: &str, machine: &dyn Machine) -> Result<()> {
    if machine.exists(KEY_FILE).await? {
        return Ok(());
    }
    renew(cx, name, machine).await
}

/// Writes a machine's certificate anew, signed by the newest authority. The key comes last: without it there is none.
pub(crate) async fn renew(cx: &ClusterContext, name: &str, machine: &dyn Machine) -> Result<()> {
    let mut names = names(machine);
    // Clients on other computers come through the endpoint to whichever node it is.
    names.extend(cx.spec.exposed_at().map(|at| SanType::IpAddress(at.ip())));
    let (certificate, key) = certificate(cx, name, names)?;
    machine.write(CA_FILE, trusted(cx)?.as_bytes(), 0o600).await?;
    machine.write(CERT_FILE, certificate.as_bytes(), 0o600).await?;
    machine.write(KEY_FILE, key.reveal().as_bytes(), 0o600).await
}
