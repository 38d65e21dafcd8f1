//! A real S3-compatible store of a test: Ceph's gateway with its monitor and a disk in memory, on loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic, in what it stands on too")]

use clusterdeck_domain::VaultPlace;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

const SCRIPT: &str = include_str!("ceph.sh");
/// The secret half of the store's key.
pub const SECRET: &str = "SECRETSECRET";
/// The bucket that is there from the start.
pub const BUCKET: &str = "backups";

/// See the module. Its processes end with it.
pub struct ObjectStore {
    dir: tempfile::TempDir,
    ports: [u16; 2],
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn said(command: &mut Command) -> String {
    let ended =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; `cargo xtask setup` installs it"));
    let text = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {text}");
    text
}

impl ObjectStore {
    /// Starts one, with a bucket. Takes some seconds.
    ///
    /// # Panics
    /// When a program is missing or does not start, with what it said.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("ceph-").tempdir().unwrap();
        let store = Self { dir, ports: [free_port(), free_port()] };
        let begun = Instant::now();
        store.script(&[]);
        store.request("PUT", BUCKET);
        println!("the store is ready after {:.1} s", begun.elapsed().as_secs_f64());
        store
    }
    fn script(&self, more: &[&str]) {
        let script = self.dir.path().join("ceph.sh");
        fs::write(&script, SCRIPT).unwrap();
        let mut command = Command::new("bash");
        command.arg(&script).arg(self.dir.path()).args(self.ports.map(|p| p.to_string())).args(more);
        // Its processes keep what they were given: it must not be a pipe of ours.
        let log = fs::File::create(self.dir.path().join("script.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let done = command.status().expect("bash");
        let log = fs::read_to_string(self.dir.path().join("script.log")).unwrap();
        assert!(done.success(), "{log}");
    }
    fn request(&self, method: &str, path: &str) {
        let url = format!("{}/{path}", self.endpoint());
        let sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "ACCESS:SECRETSECRET"];
        // The checksum of nothing, which older versions of curl sign and do not send.
        let empty = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        said(Command::new("curl").args(["--fail", "-sS", "-X", method, "-H", empty]).args(sign).arg(url));
    }
    /// Tells the store's own tool something: `quota set …`.
    ///
    /// # Panics
    /// When the store refuses it.
    pub fn admin(&self, args: &str) {
        let conf = self.dir.path().join("ceph.conf");
        said(Command::new("radosgw-admin").arg("-c").arg(conf).args(args.split(' ')));
    }
    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }
    /// A place in one of its buckets.
    pub fn place(&self, bucket: &str) -> VaultPlace {
        VaultPlace::S3 {
            endpoint: self.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            prefix: "clusters/of mine".to_owned(),
            access_key: "ACCESS".to_owned(),
        }
    }
    /// Ends its gateway as a crash would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_gateway(&self) {
        let gateway = self.pids("gateway").remove(0);
        assert!(Command::new("kill").args(["-9", &gateway]).status().unwrap().success());
    }
    /// Starts the gateway again at its old address.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_gateway(&self) {
        self.script(&["gateway"]);
    }
    fn pids(&self, file: &str) -> Vec<String> {
        let noted = fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["radosgw.out", "script.log"] {
                println!("{name}: {}", fs::read_to_string(self.dir.path().join(name)).unwrap_or_default());
            }
        }
        for pid in self.pids("pids") {
            // Another process may have the number by now.
            let ours = fs::read(Path::new("/proc").join(&pid).join("cmdline")).is_ok_and(|line| {
                String::from_utf8_lossy(&line).contains(&*self.dir.path().to_string_lossy())
            });
            if ours {
                drop(Command::new("kill").args(["-9", &pid]).status());
            }
        }
    }
}
