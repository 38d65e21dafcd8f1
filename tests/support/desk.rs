//! A desk of one's own: a virtual screen, a session bus, a real and unlocked keyring, and WebKit's driver. Tests that run
//! side by side do not see each other.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for one of the desk's programs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that ends with its desk.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // WebKitWebDriver ends its window on SIGTERM and orphans it on SIGKILL.
        drop(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status());
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A screen, a bus, a keyring, and a driver when one is asked for. Ends in the order of the fields.
pub struct Desk {
    driver: Option<Running>,
    _keyring: Running,
    _bus: Running,
    _screen: Running,
    display: String,
    address: String,
    folder: tempfile::TempDir,
}

impl Desk {
    /// Sets one up.
    ///
    /// # Errors
    /// When a program is missing (`cargo xtask setup` installs it) or does not start.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cd-desk-").tempdir()?;
        let (screen, number) = announcing(Command::new("Xvfb").args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1600x1000x24",
            "-nolisten",
            "tcp",
        ]))?;
        let (bus, address) =
            announcing(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address=1"]))?;
        let display = format!(":{number}");
        let keyring = keyring(folder.path(), &address)?;
        Ok(Self { driver: None, _keyring: keyring, _bus: bus, _screen: screen, display, address, folder })
    }

    /// Gives a command this desk's screen, bus and home folder, and nothing of the one the tests were started from.
    pub fn seat<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DISPLAY", &self.display)
            .env_remove("WAYLAND_DISPLAY")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("NO_AT_BRIDGE", "1")
            // What a bare server has; the window must be readable there too.
            .env("LC_ALL", "C.UTF-8")
            .env("CLUSTERDECK_NO_SINGLE_INSTANCE", "1")
    }

    /// Where the window saves what is downloaded.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the driver; windows it opens have this home. Gives its address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn driver(&mut self, home: &Path) -> Result<String> {
        let port = free_port()?;
        let mut command = Command::new("WebKitWebDriver");
        command.args([format!("--port={port}"), "--host=127.0.0.1".to_owned()]);
        // Without this the web view takes no commands, and the session is never made.
        command.env("TAURI_WEBVIEW_AUTOMATION", "true").env("CLUSTERDECK_HOME", home);
        if home.join("key").exists() {
            // A home that brings the key of its vault uses that, not the desk's keyring.
            command.env("CLUSTERDECK_VAULT_KEY_FILE", home.join("key"));
        }
        command.stdout(Stdio::null()).stdin(Stdio::null());
        let child =
            self.seat(&mut command).spawn().context("WebKitWebDriver is missing; `cargo xtask setup`")?;
        self.driver = Some(Running(child));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > until {
                bail!("WebKitWebDriver does not listen on port {port}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(format!("http://127.0.0.1:{port}"))
    }
}

/// Starts a program whose first line of output says that it is ready, and how to reach it.
fn announcing(command: &mut Command) -> Result<(Running, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{name} is missing; `cargo xtask setup`"))?;
    let output = child.stdout.take().with_context(|| format!("{name} has no output"))?;
    let running = Running(child);
    let (told, hear) = std::sync::mpsc::channel();
    // Ends with the program, whose output it reads to the end so that the pipe never fills.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                break;
            }
        }
    });
    let line = hear.recv_timeout(PATIENCE).with_context(|| format!("{name} did not start"))?;
    Ok((running, line.trim().to_owned()))
}

/// A real keyring with a password of its own, unlocked, so that nothing prompts.
fn keyring(folder: &Path, bus: &str) -> Result<Running> {
    let mut child = Command::new("gnome-keyring-daemon")
        .args(["--unlock", "--foreground", "--components=secrets"])
        .env_remove("DISPLAY")
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("gnome-keyring-daemon is missing; `cargo xtask setup`")?;
    let mut stdin = child.stdin.take().context("the keyring takes no password")?;
    let running = Running(child);
    stdin.write_all(b"a password for tests").context("the keyring takes no password")?;
    drop(stdin);
    let until = Instant::now() + PATIENCE;
    while !owns(bus, "org.freedesktop.secrets") {
        if Instant::now() > until {
            bail!("the keyring did not come up on the bus");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

fn owns(bus: &str, name: &str) -> bool {
    let asked = Command::new("dbus-send")
        .args(["--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/"])
        .arg("org.freedesktop.DBus.NameHasOwner")
        .arg(format!("string:{name}"))
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .output();
    asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("true"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
