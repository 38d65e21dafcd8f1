//! TLS towards etcd, Patroni and PostgreSQL: the cluster's authority is trusted and nobody else, and a certificate of it is
//! shown.

use super::tls;
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

fn damaged<E>(_: E) -> DriverError {
    DriverError::broken("the certificates of the cluster cannot be used")
}

/// How we speak TLS, with a certificate made for this conversation.
pub(crate) fn config(cx: &ClusterContext) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(tls::trusted(cx)?.as_bytes()) {
        roots.add(root.map_err(damaged)?).map_err(damaged)?;
    }
    let (certificate, key) = tls::certificate(cx, "clusterdeck", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
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
