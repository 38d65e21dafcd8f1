//! A vault in a real S3-compatible store: Ceph's gateway, with what can go wrong there.

use crate::{Failing, data, stream};
use clusterdeck_domain::{BackupId, Sensitive, VaultFault, VaultPlace};
use clusterdeck_driver::{DriverError, Vault as _};
use clusterdeck_vaults::{Bucket, new_key};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const SCRIPT: &str = include_str!("ceph.sh");

/// A store of this test; its processes end with it.
struct Store {
    dir: tempfile::TempDir,
    ports: [u16; 2],
}

fn fault(told: &DriverError) -> Option<VaultFault> {
    match told {
        DriverError::Vault { fault, .. } => Some(*fault),
        _ => None,
    }
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

impl Store {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("ceph-").tempdir().unwrap();
        let store = Self { dir, ports: [free_port(), free_port()] };
        let begun = Instant::now();
        store.script(&[]);
        store.request("PUT", "backups");
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
    fn admin(&self, args: &str) {
        let conf = self.dir.path().join("ceph.conf");
        said(Command::new("radosgw-admin").arg("-c").arg(conf).args(args.split(' ')));
    }
    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }
    fn vault(&self, bucket: &str, secret: &str) -> Bucket {
        let place = VaultPlace::S3 {
            endpoint: self.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            prefix: "clusters/of mine".to_owned(),
            access_key: "ACCESS".to_owned(),
        };
        Bucket::new("store", &place, &Sensitive::new(secret.to_owned())).unwrap()
    }
    fn pids(&self, file: &str) -> Vec<String> {
        let noted = fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }
}

impl Drop for Store {
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

fn noise(bytes: usize) -> Vec<u8> {
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    let mut made = Vec::with_capacity(bytes + 8);
    while made.len() < bytes {
        // xorshift64: nothing can be packed in it, and it is the same each time.
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        made.extend_from_slice(&number.to_le_bytes());
    }
    made.truncate(bytes);
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_takes_large_copies_in_parts_gives_them_back_and_says_what_is_wrong() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = tokio::task::spawn_blocking(Store::start).await.unwrap();
    let (vault, key, backup) = (store.vault("backups", "SECRETSECRET"), new_key(), BackupId::new(7));
    vault.check().await.unwrap();

    // Small and in several parts.
    let large = noise(50 << 20);
    let get = async |backup: &BackupId, piece: &str| {
        let mut back = Vec::new();
        vault.get(backup, piece, &mut back, &key).await.map(|()| back)
    };
    vault.put(&backup, "shard-0", &mut stream(&data()), &key).await.unwrap();
    let begun = Instant::now();
    let stored = vault.put(&backup, "shard-1", &mut stream(&large), &key).await.unwrap();
    println!("50 MiB went up in {:?}", begun.elapsed());
    assert!(stored >= large.len() as u64);
    assert!(get(&backup, "shard-0").await.unwrap() == data());
    assert!(get(&backup, "shard-1").await.unwrap() == large, "every byte of every part");
    vault.put_note(&backup, "manifest.json", b"{}").await.unwrap();
    assert_eq!(vault.backups().await.unwrap(), std::slice::from_ref(&backup));

    // A copy that is cut off leaves nothing under its name, and what was there.
    let cut = BackupId::new(8);
    for bytes in [0, 40 << 20] {
        let told = vault.put(&cut, "data", &mut Failing(bytes), &key).await.unwrap_err();
        assert!(told.to_string().contains("the server went away"), "{told}");
        assert!(matches!(get(&cut, "data").await, Err(DriverError::Gone { .. })));
    }

    // A gateway that is killed in the middle and comes back: the upload goes on where it was.
    let again = BackupId::new(9);
    let gateway = store.pids("gateway").remove(0);
    let mut coming = stream(&large);
    let (upload, ()) = tokio::join!(vault.put(&again, "data", &mut coming, &key), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(Command::new("kill").args(["-9", &gateway]).status().unwrap().success());
        tokio::task::block_in_place(|| store.script(&["gateway"]));
    });
    upload.unwrap();
    assert!(get(&again, "data").await.unwrap() == large, "nothing of it is lost or twice");

    // What is wrong is told apart.
    let told = store.vault("backups", "another secret").check().await.unwrap_err();
    assert!(fault(&told) == Some(VaultFault::Refused) && told.to_string().contains("access key"), "{told:?}");
    let told = store.vault("nowhere", "SECRETSECRET").check().await.unwrap_err();
    assert!(told.to_string().contains("no such bucket"), "{told}");
    tokio::task::block_in_place(|| {
        store.admin("quota set --quota-scope=bucket --uid=clusterdeck --max-size=180M");
        store.admin("quota enable --quota-scope=bucket --uid=clusterdeck");
    });
    let full = loop {
        // What a gateway knows of the use of a bucket is some seconds old.
        match vault.put(&BackupId::new(10), "data", &mut stream(&large), &key).await {
            Err(full) => break full,
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(90), "the quota is enforced"),
        }
    };
    assert!(fault(&full) == Some(VaultFault::Full) && full.to_string().contains("is full"), "{full:?}");
    assert!(get(&backup, "shard-1").await.unwrap() == large, "what was there is as it was");
    vault.remove(&backup).await.unwrap();
    vault.remove(&backup).await.unwrap();
    assert!(matches!(get(&backup, "shard-0").await, Err(DriverError::Gone { .. })));
}
