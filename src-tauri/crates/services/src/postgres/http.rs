//! TLS towards etcd, Patroni and PostgreSQL: the cluster's authority is trusted and nobody else, and a certificate of it is
//! shown.

use super::tls;
use clusterdeck_domain::{ClusterId, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use rcgen::SanType;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

fn damaged<E>(_: E) -> DriverError {
    DriverError::broken("the certificates of the cluster cannot be used")
}

/// What a cluster is spoken to with, and the authorities it was made from.
struct Kept {
    cluster: ClusterId,
    authorities: [Sensitive<String>; 2],
    config: ClientConfig,
}

/// A look asks every server of a cluster every two seconds: our certificate is made once for all of them, and sessions are
/// taken up again. So many clusters are remembered; the oldest goes.
const REMEMBERED: usize = 64;
static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

/// How we speak TLS with a cluster.
pub(crate) fn config(cx: &ClusterContext) -> Result<ClientConfig> {
    let authorities = [cx.secrets.get(tls::CA)?.clone(), cx.secrets.newest(tls::CA)?.clone()];
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |k: &&Kept| k.cluster == cx.spec.id && k.authorities == authorities;
    if let Some(found) = kept().iter().find(fits) {
        return Ok(found.config.clone());
    }
    let config = make(cx)?;
    let mut all = kept();
    all.retain(|k| k.cluster != cx.spec.id);
    all.truncate(REMEMBERED - 1);
    all.push_front(Kept { cluster: cx.spec.id.clone(), authorities, config: config.clone() });
    Ok(config)
}

fn make(cx: &ClusterContext) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(tls::trusted(cx)?.as_bytes()) {
        roots.add(root.map_err(damaged)?).map_err(damaged)?;
    }
    let (certificate, key) =
        tls::certificate(cx, "clusterdeck", vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))])?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(damaged)?;
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(damaged)?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(damaged)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(damaged)
}

/// A client for REST.
pub(crate) fn client(cx: &ClusterContext, answer: Duration) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config(cx)?)
        .timeout(answer)
        .connect_timeout(answer)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(damaged)
}
