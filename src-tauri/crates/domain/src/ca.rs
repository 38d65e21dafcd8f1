//! The authority that signs a server's certificate, where no computer knows it by itself: managed services have their own.

use crate::Sensitive;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use x509_cert::{Certificate, der::Decode as _};

/// Largest text: Amazon RDS gives the authorities of all its regions as one of some 165 KB.
pub const MAX_CA_BYTES: usize = 192 << 10;
/// Characters of a subject that are told.
const SUBJECT: usize = 200;
/// How many are told by their subjects.
const TOLD: usize = 3;
/// Characters of a line of PEM.
const LINE: usize = 64;

/// One certificate of an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// As it is encoded (DER).
    pub der: Vec<u8>,
    /// Whose it is: `CN=Demo CA,O=Demo`.
    pub subject: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// Certificates of authorities, at least one. They come and go as PEM, are public, and never hold anything else: what stood
/// beside them in a file is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct CaCertificates(Vec<CaCertificate>);

/// Why a text holds no such certificates. Never quotes it: there may be a key in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCa {
    /// There is more than an authority needs.
    #[error("it has more than {} KiB: give only the certificates of the authority that signs this server", MAX_CA_BYTES >> 10)]
    TooLarge,
    /// Somebody gave the wrong file.
    #[error(
        "there is a private key in it, which nobody else may see; nothing of it was kept. Give only the certificates of the authority \
         (BEGIN CERTIFICATE)"
    )]
    PrivateKey,
    /// There is no certificate, or none as PEM.
    #[error("it holds no certificate as PEM, which begins with -----BEGIN CERTIFICATE-----")]
    None,
    /// One cannot be read.
    #[error("a certificate in it cannot be read: it was cut short, or changed on its way. Download it again")]
    Damaged,
}

impl CaCertificate {
    fn read(der: &[u8]) -> Result<Self, BadCa> {
        let read = Certificate::from_der(der).map_err(|_| BadCa::Damaged)?.tbs_certificate;
        let subject = read.subject.to_string().chars().filter(|c| !c.is_control()).take(SUBJECT).collect();
        let seconds = read.validity.not_after.to_unix_duration().as_secs();
        // One without an end says 9999-12-31, which is beyond what a timestamp can be.
        let until = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        Ok(Self { der: der.to_vec(), subject, until: until.unwrap_or(Timestamp::MAX) })
    }
}

impl CaCertificates {
    /// Reads PEM.
    ///
    /// # Errors
    /// What is wrong with it, without its words.
    pub fn parse(text: &str) -> Result<Self, BadCa> {
        if text.contains("PRIVATE KEY-----") {
            return Err(BadCa::PrivateKey);
        }
        if text.len() > MAX_CA_BYTES {
            return Err(BadCa::TooLarge);
        }
        let mut all = Vec::new();
        for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
            all.push(CaCertificate::read(&der.map_err(|_| BadCa::Damaged)?)?);
        }
        if all.is_empty() { Err(BadCa::None) } else { Ok(Self(all)) }
    }
    /// Each of them.
    pub fn all(&self) -> &[CaCertificate] {
        &self.0
    }
    /// Those that fit; `None` where none does.
    #[must_use]
    pub fn only(&self, fits: impl Fn(&CaCertificate) -> bool) -> Option<Self> {
        let some: Vec<_> = self.0.iter().filter(|one| fits(one)).cloned().collect();
        (!some.is_empty()).then_some(Self(some))
    }
    /// As PEM, in the lines that every program reads.
    pub fn pem(&self) -> String {
        let mut text = String::new();
        for one in &self.0 {
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            let encoded = STANDARD.encode(&one.der);
            for (at, c) in encoded.chars().enumerate() {
                if at > 0 && at % LINE == 0 {
                    text.push('\n');
                }
                text.push(c);
            }
            text.push_str("\n-----END CERTIFICATE-----\n");
        }
        text
    }
}

/// `CN=Demo CA (until 2036-01-31)`.
impl fmt::Display for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.to_string();
        write!(f, "{} (until {})", self.subject, until.split('T').next().unwrap_or_default())
    }
}
/// `one of CN=A (until …); CN=B (until …); and 3 more`.
impl fmt::Display for CaCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 {
            f.write_str("one of ")?;
        }
        let some: Vec<String> = self.0.iter().take(TOLD).map(CaCertificate::to_string).collect();
        f.write_str(&some.join("; "))?;
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
impl fmt::Debug for CaCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl Serialize for CaCertificates {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.pem())
    }
}
impl<'de> Deserialize<'de> for CaCertificates {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Sensitive::new(String::deserialize(from)?);
        Self::parse(text.reveal()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    /// A certificate of an authority, and its key.
    fn authority(name: &str, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(until, 1, 31);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn certificates_are_read_with_whose_they_are_and_until_when_and_what_stands_beside_them_is_dropped() {
        let (one, two) = (authority("One", 2036).0, authority("Two", 9999).0);
        let text = format!("subject=CN = One\r\n{}\r\nsome words\n{two}", one.replace('\n', "\r\n"));
        let read = CaCertificates::parse(&text).unwrap();
        assert_eq!(read.all().len(), 2);
        assert!(
            read.to_string().contains("CN=One") && read.to_string().contains("(until 2036-01-31)"),
            "{read}"
        );
        assert!(read.all()[1].until > "9998-01-01T00:00:00Z".parse().unwrap(), "{read}");
        assert_eq!(read.pem(), format!("{one}{two}").replace("\r\n", "\n"));
        let again: CaCertificates = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        let now = "2040-01-01T00:00:00Z".parse().unwrap();
        let still = read.only(|one| one.until > now).unwrap();
        assert_eq!(still.all().len(), 1);
        assert_eq!(still.only(|_| false), None);
        let many = CaCertificates::parse(&one.repeat(5)).unwrap();
        let told = many.to_string();
        assert!(told.starts_with("one of ") && told.ends_with("; and 2 more"), "{told}");
        assert!(!still.to_string().starts_with("one of"), "{still}");
    }

    #[test]
    fn what_is_no_certificate_is_refused_and_a_private_key_is_never_repeated() {
        let (certificate, key) = authority("One", 2036);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----";
        for text in [key.clone(), format!("{certificate}{key}"), encrypted.to_owned()] {
            assert_eq!(CaCertificates::parse(&text).unwrap_err(), BadCa::PrivateKey);
            let body = serde_json::to_string(&text).unwrap();
            let error = serde_json::from_str::<CaCertificates>(&body).unwrap_err().to_string();
            let secret = text.lines().find(|line| !line.starts_with('-')).unwrap();
            assert!(error.contains("private key") && !error.contains(secret), "{error}");
        }
        for text in ["", "no certificate", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(CaCertificates::parse(text).unwrap_err(), BadCa::None, "{text}");
        }
        let short = certificate.lines().take(3).collect::<Vec<_>>().join("\n");
        let other = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
        for text in [short.as_str(), &format!("{short}\n-----END CERTIFICATE-----\n"), other] {
            assert_eq!(CaCertificates::parse(text).unwrap_err(), BadCa::Damaged, "{text}");
        }
        let large = certificate.repeat(MAX_CA_BYTES / certificate.len() + 1);
        assert_eq!(CaCertificates::parse(&large).unwrap_err(), BadCa::TooLarge);
    }
}
