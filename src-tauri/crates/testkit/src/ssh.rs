//! A real ssh server of a test, on loopback, with keys of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in what it stands on too")]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// See the module. It ends with this.
pub struct SshServer {
    process: Child,
    dir: PathBuf,
    port: u16,
}

impl SshServer {
    /// Starts one whose keys lie in `dir`, and waits until it listens.
    ///
    /// # Panics
    /// When a program is missing or the server does not listen.
    pub fn start(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &file(name)])
                .status();
            assert!(made.expect("ssh-keygen; `cargo xtask setup` installs it").success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::copy(file("user.pub"), file("authorized")).unwrap();
        fs::set_permissions(file("authorized"), fs::Permissions::from_mode(0o600)).unwrap();
        let conf = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\n",
            file("host"),
            file("authorized")
        );
        fs::write(file("sshd_config"), conf).unwrap();
        drop(fs::create_dir_all("/run/sshd"));
        let process = Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f", &file("sshd_config")]).spawn();
        let process = process.expect("sshd; `cargo xtask setup` installs it");
        let server = Self { process, dir: dir.to_owned(), port };
        server.is_known_by("host.pub");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed().as_secs() < 10, "sshd must listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
    /// The command that reaches it, as a user's own `~/.ssh` would have it: which key, and that this host is known.
    pub fn rsh(&self) -> String {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let (user, known) = (file("user"), file("known"));
        format!("ssh -F none -o BatchMode=yes -o IdentityFile={user} -o UserKnownHostsFile={known}")
    }
    /// Where a path of this computer is, through it.
    pub fn url(&self, path: &Path) -> String {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, path.display())
    }
    /// From now on who asks expects another host there.
    pub fn is_not_who_it_was(&self) {
        self.is_known_by("user.pub");
    }
    fn is_known_by(&self, key: &str) {
        let key = fs::read_to_string(self.dir.join(key)).unwrap();
        fs::write(self.dir.join("known"), format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
