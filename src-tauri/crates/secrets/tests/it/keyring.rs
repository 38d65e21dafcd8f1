//! A real gnome-keyring on a session bus of its own, with a home that is thrown away.

use clusterdeck_domain::{ClusterId, SecretRef, Sensitive};
use clusterdeck_engine::repository::{SecretError, SecretRepository};
use clusterdeck_secrets::{OpenOptions, check, open};
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const CASE: &str = "SECRETS_TEST_CASE";
const PASSWORD: &str = "pa55-wörd \"quoted\" 9f3a";

/// Starts this test program again for one case: on a bus of its own or without one, after `before` was run there.
fn run(case: &str, bus: Bus, before: &str) {
    let home = tempfile::tempdir().expect("a home");
    let program = std::env::current_exe().expect("this program");
    let inner = format!(
        "{ASK}\n{before}\nexec \"$0\" --exact keyring::the_case_is_tried --nocapture --test-threads=1"
    );
    let mut command = match bus {
        Bus::None => Command::new("bash"),
        Bus::Own => {
            let mut session = Command::new("dbus-run-session");
            session.args(["--", "bash"]);
            session
        }
        // A bus that knows no service to start.
        Bus::Bare => {
            let config = home.path().join("bus.conf");
            let text = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
                        \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\"><busconfig><type>session</type>\
                        <listen>unix:tmpdir=/tmp</listen><policy context=\"default\"><allow send_destination=\"*\" \
                        eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";
            std::fs::write(&config, text).expect("writes");
            let mut session = Command::new("dbus-run-session");
            session.arg(format!("--config-file={}", config.display())).args(["--", "bash"]);
            session
        }
    };
    let output = command
        .arg("-euc")
        .arg(inner)
        .arg(program)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env(CASE, case)
        .stdin(Stdio::null())
        .output()
        .expect("bash, dbus and gnome-keyring are installed");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("tried {case}")), "{case}:\n{said}");
    assert!(!said.contains(PASSWORD), "{case}: a secret was printed");
    println!("{said}");
}

enum Bus {
    None,
    Bare,
    Own,
}

/// Starts the daemon with an unlocked login keyring, and waits until it has its name on the bus: else the bus would
/// start a second one, locked, when it is first asked.
const UNLOCK: &str = "printf unlock | gnome-keyring-daemon --unlock --components=secrets >/dev/null
for i in $(seq 200); do
  [ $(bus GetNameOwner string:org.freedesktop.secrets 2>/dev/null | wc -c) -gt 1 ] && break; sleep 0.05
done; [ $i -lt 200 ]";

/// Locks it again, as a screen lock may.
const LOCK: &str = "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
     org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null";

/// Ends the daemon: the process that owns its name on this bus.
const END: &str = "pid=$(bus GetConnectionUnixProcessID string:org.freedesktop.secrets | sed 's/.*uint32 //')
kill -9 $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done";

/// Asks the bus itself.
const ASK: &str = "bus() { dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.$@; }";

#[test]
fn a_secret_is_kept_in_the_keyring_and_other_programs_find_it() {
    run("works", Bus::Own, UNLOCK);
}

#[test]
fn a_keyring_that_is_started_again_is_found_again() {
    run("restarted", Bus::Own, UNLOCK);
}

#[test]
fn without_a_bus_there_is_no_keyring() {
    run("missing", Bus::None, "");
}

#[test]
fn a_bus_without_a_keyring_is_no_keyring() {
    run("missing", Bus::Bare, "");
}

#[test]
fn a_service_without_any_keyring_in_it_is_no_keyring() {
    // The bus starts gnome-keyring by itself; nobody has ever signed in, and there is no screen to ask on.
    run("missing", Bus::Own, "");
}

#[test]
fn a_locked_keyring_is_told_from_a_missing_one() {
    run("locked", Bus::Own, &format!("{UNLOCK}\n{LOCK}"));
}

#[test]
fn a_keyring_whose_dialog_nobody_answers_is_locked_and_does_not_hang() {
    // With a screen gnome-keyring would ask; a prompter that never answers stands for a person who is not there.
    run("unanswered", Bus::Own, &format!("{UNLOCK}\n{LOCK}"));
}

/// Tries the case when a test above started this program; alone it checks that it was not.
#[tokio::test]
async fn the_case_is_tried() {
    let Ok(case) = std::env::var(CASE) else {
        assert!(std::env::var_os(CASE).is_none(), "a case in UTF-8");
        return;
    };
    let home = std::env::var("HOME").expect("a home");
    let home = Path::new(&home);
    match case.as_str() {
        "works" => works(home).await,
        "restarted" => restarted(home).await,
        "missing" => missing(home).await,
        "locked" => locked(home).await,
        "unanswered" => unanswered(home).await,
        other => panic!("no such case: {other}"),
    }
    println!("tried {case}");
}

fn keyring(home: &Path) -> Arc<dyn SecretRepository> {
    open(OpenOptions { wait: Duration::from_secs(20), ..OpenOptions::new(home) })
        .expect("opens without asking it")
}

fn at() -> SecretRef {
    SecretRef::of_cluster(&ClusterId::new(7), "passwords-0")
}

fn secret() -> Sensitive<String> {
    Sensitive::new(PASSWORD.to_owned())
}

async fn works(home: &Path) {
    let here = keyring(home);
    assert_eq!(here.describe(), "Secret Service (login keyring)");
    check(here.as_ref()).await.expect("it works");
    assert_eq!(here.get(&at()).await.expect("asks"), None, "nothing yet");
    here.remove(&at()).await.expect("forgetting what is not there does nothing");
    let begun = Instant::now();
    here.put(&at(), &Sensitive::new("older".to_owned())).await.expect("keeps");
    here.put(&at(), &secret()).await.expect("keeps over it");
    println!("two writes took {:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(keyring(home).get(&at()).await.expect("asks"), Some(secret()), "another handle sees it");
    println!("connecting and reading took {:?}", begun.elapsed());
    let begun = Instant::now();
    here.get(&at()).await.expect("asks");
    println!("reading took {:?}", begun.elapsed());

    // Found by another program, under the name that people look for.
    let found = Command::new("secret-tool")
        .args(["search", "--all", "service", "clusterdeck"])
        .output()
        .expect("runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
    assert!(text.contains(&format!("secret = {PASSWORD}")), "secret-tool reads the same");
    assert_eq!(
        text.matches("secret = ").count(),
        1,
        "one entry: the older one was replaced, the check left nothing"
    );
    assert!(
        text.contains(&format!("label = Clusterdeck: cluster/{}/passwords-0", ClusterId::new(7))),
        "its title"
    );
    let account = format!("/cluster/{}/passwords-0", ClusterId::new(7));
    let line = text.lines().find(|line| line.starts_with("attribute.username = ")).expect("its account");
    let scope =
        line.trim_start_matches("attribute.username = ").strip_suffix(&account).expect("ends with the path");
    assert!(
        scope.len() == 16 && scope.bytes().all(|b| b.is_ascii_hexdigit()),
        "begins with the home: {scope}"
    );

    // Two homes do not mix; two names of one home are one.
    let (other, link) = (home.join("other"), home.join("link"));
    std::fs::create_dir(&other).expect("a folder");
    std::os::unix::fs::symlink(home, &link).expect("a link");
    assert_eq!(keyring(&other).get(&at()).await.expect("asks"), None, "another home has its own");
    assert_eq!(
        keyring(&link).get(&at()).await.expect("asks"),
        Some(secret()),
        "a link to the home is that home"
    );

    here.remove(&at()).await.expect("forgets");
    assert_eq!(here.get(&at()).await.expect("asks"), None, "gone");
    let errors: Vec<String> =
        [SecretError::NoKeyring, SecretError::Locked].iter().map(ToString::to_string).collect();
    assert!(errors.iter().all(|e| !e.contains(PASSWORD)), "no error holds it");
}

async fn restarted(home: &Path) {
    let here = keyring(home);
    here.put(&at(), &secret()).await.expect("keeps");
    let again = format!("{ASK}\n{END}\n{UNLOCK}");
    assert!(Command::new("bash").args(["-euc", &again]).status().expect("runs").success(), "started again");
    assert_eq!(here.get(&at()).await.expect("connects anew"), Some(secret()), "with the same handle");
}

async fn missing(home: &Path) {
    let here = keyring(home);
    let refused = here.put(&at(), &secret()).await;
    assert!(matches!(refused, Err(SecretError::NoKeyring)), "{refused:?}");
    // A read may say that nothing is there (a service without a keyring) or that nobody can be asked; never a secret.
    let read = here.get(&at()).await;
    assert!(matches!(read, Err(SecretError::NoKeyring) | Ok(None)), "{read:?}");
}

async fn locked(home: &Path) {
    let here = keyring(home);
    let begun = Instant::now();
    let refused = here.put(&at(), &secret()).await;
    assert!(matches!(refused, Err(SecretError::Locked)), "{refused:?}");
    assert!(matches!(check(here.as_ref()).await, Err(SecretError::Locked)), "the check says so as well");
    assert!(begun.elapsed() < Duration::from_secs(15), "at once: there is no screen to ask on");
}

async fn unanswered(home: &Path) {
    let wait = Duration::from_secs(2);
    // Owns the name that gnome-keyring asks for a dialog, takes the question, and says nothing.
    let prompter = zbus::connection::Builder::session()
        .and_then(|bus| bus.name("org.gnome.keyring.SystemPrompter"))
        .expect("a bus")
        .build()
        .await
        .expect("owns the name");
    let here = open(OpenOptions { wait, ..OpenOptions::new(home) }).expect("opens");
    let begun = Instant::now();
    let refused = here.put(&at(), &secret()).await;
    assert!(matches!(refused, Err(SecretError::Locked)), "{refused:?}");
    println!("told after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "the wait has a limit");
    drop(prompter);
}
