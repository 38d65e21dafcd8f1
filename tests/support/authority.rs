//! An authority of certificates that no computer trusts, as managed services have one.

#![expect(clippy::unwrap_used, reason = "it is a part of tests, which end where it cannot be made")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// An authority; its key ends with this value.
pub struct Authority {
    dir: tempfile::TempDir,
}

fn openssl() -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2"]);
    command
}

fn run(command: &mut Command) {
    let ended = command.output().expect("openssl");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

impl Authority {
    /// One of this name.
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("ca.pem"), dir.path().join("ca.key"));
        let subject = format!("/CN={name}");
        run(openssl().args(["-subj", &subject, "-keyout"]).arg(key).arg("-out").arg(cert));
        Self { dir }
    }
    /// Where its certificate lies.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
    /// Its certificate.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }
    /// A certificate of a server at 127.0.0.1, and its key, in a folder.
    pub fn certificate(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        run(openssl()
            .args(["-subj", "/CN=server", "-extensions", "v3_req", "-addext", "subjectAltName=IP:127.0.0.1"])
            .arg("-CA")
            .arg(self.file())
            .arg("-CAkey")
            .arg(self.dir.path().join("ca.key"))
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert));
        (cert, key)
    }
}
