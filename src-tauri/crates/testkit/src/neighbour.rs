//! Another computer: a network namespace with a cable to this one. Both ends of the cable go with the process that holds the
//! namespace, also when the test is killed.
#![allow(clippy::expect_used, reason = "a test fails where its ground cannot be made")]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long the other computer is there at most, in seconds.
const LIVES: &str = "900";
/// For a namespace to be there, and for an answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Passes on in both directions until the connection is closed from the other side.
const PASS_ON: &str = r#"exec 4<&0 3<>"/dev/tcp/$0/$1" || exit 1; cat <&4 >&3 & cat <&3; kill $!"#;

/// See the module.
pub struct Neighbour {
    holds: Child,
    /// The end of the cable at this computer.
    pub here: IpAddr,
    /// The other one, from where the neighbour comes.
    pub there: IpAddr,
}

impl Neighbour {
    /// Connects another computer to this one. Needs root.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn connected() -> Self {
        let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
        let at = |last: u8| Ipv4Addr::new(10, 99, a, b / 4 * 4 + last);
        let (here, there) = (at(1), at(2));
        let holds = Command::new("unshare").args(["--net", "sleep", LIVES]).spawn().expect("unshare starts");
        let made = Self { holds, here: here.into(), there: there.into() };
        let own = std::fs::read_link("/proc/self/ns/net").expect("a network");
        let its = format!("/proc/{}/ns/net", made.holds.id());
        let begun = Instant::now();
        while std::fs::read_link(&its).is_ok_and(|network| network == own) {
            assert!(begun.elapsed() < WITHIN, "the other computer has a network of its own");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (cable, holder) = (format!("cd{c:02x}{d:02x}"), made.holds.id().to_string());
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &holder]);
        ip(&["addr", "add", &format!("{here}/30"), "dev", &cable]);
        ip(&["link", "set", &cable, "up"]);
        made.inside("ip", &["addr", "add", &format!("{there}/30"), "dev", "eth0"]);
        made.inside("ip", &["link", "set", "eth0", "up"]);
        made
    }

    /// Runs a program on the other computer and gives what it wrote.
    ///
    /// # Panics
    /// When it fails.
    pub fn inside(&self, program: &str, args: &[&str]) -> String {
        let said = self.command(program).args(args).output().expect("nsenter starts");
        assert!(said.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// A program that would run there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holds.id().to_string(), "-n", program]);
        command
    }

    /// Connects from there, says something and gives the connection with the first byte of the answer; `None` where nobody
    /// answers, because nobody listens or because it was closed.
    ///
    /// # Panics
    /// When somebody neither answers nor refuses.
    pub fn knock(&self, at: SocketAddr, says: &[u8]) -> Option<(u8, Call)> {
        let mut call = Call::to(self, at);
        call.says(says);
        Some((call.hears()?, call))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.holds.kill());
        drop(self.holds.wait());
    }
}

/// An open connection of the other computer.
pub struct Call {
    process: Child,
    out: Option<ChildStdin>,
    answers: std::sync::mpsc::Receiver<u8>,
}

impl Call {
    fn to(neighbour: &Neighbour, at: SocketAddr) -> Self {
        let mut process = neighbour
            .command("bash")
            .args(["-c", PASS_ON, &at.ip().to_string(), &at.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ended as a whole: each of its programs has the connection.
            .process_group(0)
            .spawn()
            .expect("nsenter starts");
        let out = process.stdin.take();
        let answers = heard(process.stdout.take().expect("its output"));
        Self { process, out, answers }
    }
    /// Says something; a connection that is closed takes nothing.
    pub fn says(&mut self, what: &[u8]) {
        if let Some(out) = &mut self.out {
            drop(out.write_all(what).and_then(|()| out.flush()));
        }
    }
    /// The next byte of the answer; `None` when it was closed.
    ///
    /// # Panics
    /// When neither comes in time.
    pub fn hears(&mut self) -> Option<u8> {
        match self.answers.recv_timeout(WITHIN) {
            Ok(byte) => Some(byte),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("neither answered nor closed"),
        }
    }
    /// Whether it is closed from the other side in time.
    pub fn is_closed(&mut self) -> bool {
        while self.hears().is_some() {}
        true
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        drop(self.out.take());
        let group = format!("-{}", self.process.id());
        drop(Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status());
        drop(self.process.wait());
    }
}

/// Bytes as they come, until the end.
fn heard(mut output: ChildStdout) -> std::sync::mpsc::Receiver<u8> {
    let (tell, answers) = std::sync::mpsc::sync_channel(1 << 16);
    std::thread::spawn(move || {
        let mut some = [0; 512];
        while let Ok(n) = output.read(&mut some) {
            if n == 0 || some[..n].iter().any(|byte| tell.send(*byte).is_err()) {
                return;
            }
        }
    });
    answers
}

fn ip(args: &[&str]) {
    let said = Command::new("ip").args(args).output().expect("`ip` (iproute2) is installed");
    assert!(said.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&said.stderr));
}
