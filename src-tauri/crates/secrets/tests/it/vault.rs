//! The file vault: what it keeps, what it refuses, and what never shows.

use clusterdeck_domain::{ClusterId, SecretRef, Sensitive};
use clusterdeck_engine::repository::{SecretError, SecretRepository};
use clusterdeck_secrets::{OpenOptions, check, open};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

const SECRET: &str = "hunter2-Pässword-läng-9f3a";

/// A home and a good key file in it.
fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a folder");
    let key = home.path().join("key");
    write_key(&key, "mJ8ZkQ2v7Lx0bN5tRw3yUc6oPf1aHs9dGe4iKjXqVzA=\n");
    (home, key)
}

fn write_key(path: &Path, text: &str) {
    fs::write(path, text).expect("writes");
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
}

fn with_key(home: &Path, key: &Path) -> Result<Arc<dyn SecretRepository>, SecretError> {
    open(OpenOptions { vault_key_file: Some(key.to_owned()), ..OpenOptions::new(home) })
}

fn at(name: &str) -> SecretRef {
    SecretRef::of_cluster(&ClusterId::new(1), name)
}

fn secret(text: &str) -> Sensitive<String> {
    Sensitive::new(text.to_owned())
}

fn file(home: &Path) -> PathBuf {
    home.join("vault").join("secrets.vault")
}

/// The text of the error, which must be the vault's.
fn refused<T>(result: Result<T, SecretError>) -> String {
    match result {
        Err(SecretError::Vault(text)) => {
            assert!(!text.contains("hunter2") && !text.contains("mJ8ZkQ2v"), "no secret in an error: {text}");
            text
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("must be refused"),
    }
}

#[tokio::test]
async fn what_is_kept_comes_back_after_a_restart() {
    let (home, key) = home();
    {
        let vault = with_key(home.path(), &key).expect("opens");
        assert_eq!(vault.describe(), "encrypted file vault");
        assert_eq!(vault.get(&at("a")).await.expect("asks"), None, "nothing yet");
        vault.put(&at("a"), &secret("older")).await.expect("keeps");
        vault.put(&at("a"), &secret(SECRET)).await.expect("keeps over it");
        vault.put(&at("b"), &secret("")).await.expect("an empty one too");
        vault.put(&SecretRef::of_connection("team"), &secret("token\nof two lines")).await.expect("keeps");
    }
    let vault = with_key(home.path(), &key).expect("opens again");
    assert_eq!(vault.get(&at("a")).await.expect("asks"), Some(secret(SECRET)), "the newer one");
    assert_eq!(vault.get(&at("b")).await.expect("asks"), Some(secret("")), "empty is not missing");
    let token = vault.get(&SecretRef::of_connection("team")).await.expect("asks");
    assert_eq!(token, Some(secret("token\nof two lines")), "as it was");
    vault.remove(&at("a")).await.expect("forgets");
    vault.remove(&at("a")).await.expect("forgetting it again does nothing");
    assert_eq!(vault.get(&at("a")).await.expect("asks"), None, "gone");
    assert_eq!(vault.get(&at("b")).await.expect("asks"), Some(secret("")), "the others stay");
    check(vault.as_ref()).await.expect("it works");
}

#[tokio::test]
async fn no_secret_is_in_a_file_and_nobody_else_may_read_it() {
    let (home, key) = home();
    let vault = with_key(home.path(), &key).expect("opens");
    vault.put(&at("people"), &secret(SECRET)).await.expect("keeps");
    vault.put(&at("other"), &secret("x")).await.expect("keeps");
    let mut names = Vec::new();
    for entry in fs::read_dir(home.path().join("vault")).expect("lists").flatten() {
        let bytes = fs::read(entry.path()).expect("reads");
        for shown in [SECRET.as_bytes(), b"people", b"hunter2"] {
            assert!(!bytes.windows(shown.len()).any(|w| w == shown), "in {}", entry.path().display());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(
        names,
        ["lock", "secrets.vault", "secrets.vault.previous"],
        "and nothing half written is left"
    );
}

#[tokio::test]
async fn the_same_secrets_are_never_the_same_bytes() {
    let (home, key) = home();
    let vault = with_key(home.path(), &key).expect("opens");
    let mut seen = std::collections::BTreeSet::new();
    for text in ["a", "b", "a", "b", "a"] {
        vault.put(&at("x"), &secret(text)).await.expect("keeps");
        assert!(seen.insert(fs::read(file(home.path())).expect("reads")), "a nonce was used twice");
    }
    let before = fs::read(file(home.path())).expect("reads");
    vault.put(&at("x"), &secret("a")).await.expect("what is there already");
    assert_eq!(fs::read(file(home.path())).expect("reads"), before, "is not written again");
}

#[tokio::test]
async fn another_key_is_told_from_a_damaged_file_and_neither_is_written_over() {
    let (home, key) = home();
    let vault = with_key(home.path(), &key).expect("opens");
    vault.put(&at("a"), &secret("first")).await.expect("keeps");
    vault.put(&at("a"), &secret(SECRET)).await.expect("keeps");
    let whole = fs::read(file(home.path())).expect("reads");

    let other = home.path().join("other");
    write_key(&other, "ThisIsAnotherKeyOfTheSameLength0123456789abc=\n");
    let text = refused(with_key(home.path(), &other));
    assert!(text.contains("another key") && text.contains("secrets.vault"), "{text}");

    let mut damages: Vec<Vec<u8>> = (0..whole.len())
        .step_by(5)
        .map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        })
        .collect();
    damages.extend([0, 1, 40, 88, whole.len() / 2, whole.len() - 1].map(|size| whole[..size].to_vec()));
    damages.push([whole.as_slice(), b"more"].concat());
    for bytes in damages {
        fs::write(file(home.path()), &bytes).expect("damages");
        let text = refused(with_key(home.path(), &key));
        for word in ["is damaged", "not changed", "servers keep running", "secrets.vault.previous"] {
            assert!(text.contains(word), "`{word}` is missing from: {text}");
        }
        // One that runs already refuses as well, and writes nothing over it.
        refused(vault.get(&at("a")).await);
        refused(vault.put(&at("b"), &secret("new")).await);
        refused(vault.remove(&at("a")).await);
        assert_eq!(fs::read(file(home.path())).expect("reads"), bytes, "left as it is");
    }

    // The way back that the error names.
    fs::copy(home.path().join("vault").join("secrets.vault.previous"), file(home.path())).expect("back");
    let vault = with_key(home.path(), &key).expect("opens");
    assert_eq!(vault.get(&at("a")).await.expect("asks"), Some(secret("first")), "before the last change");
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused_with_the_way_to_make_one() {
    let (home, key) = home();
    let make =
        |path: &Path| format!("head -c 32 /dev/urandom | base64 > '{0}'; chmod 600 '{0}'", path.display());
    let missing = home.path().join("mis'sing");
    let text = refused(with_key(home.path(), &missing));
    assert!(
        text.contains("there is no key file") && text.contains(r"mis'\''sing"),
        "quoted for a shell: {text}"
    );
    for (content, why) in [("", "too short"), ("short\n\n\n                              \n", "too short")] {
        write_key(&key, content);
        let text = refused(with_key(home.path(), &key));
        assert!(text.contains(why) && text.contains(&make(&key)), "{text}");
    }
    write_key(&key, &"a".repeat(64));
    assert!(refused(with_key(home.path(), &key)).contains("not random"), "one letter is no key");
    write_key(&key, &"0123456789abcdef".repeat(1_000));
    assert!(refused(with_key(home.path(), &key)).contains("longer than"), "a book is no key");
    assert!(refused(with_key(home.path(), home.path())).contains("not a file"), "nor is a folder");
    assert!(!file(home.path()).exists(), "no vault was made");
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (home, key) = home();
    for mode in [0o644, 0o640, 0o602, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("changes");
        let text = refused(with_key(home.path(), &key));
        assert!(text.contains(&format!("mode {mode:o}")) && text.contains("chmod 600"), "{text}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("changes");
    with_key(home.path(), &key).expect("read-only is private enough");
}

#[tokio::test]
async fn the_way_to_make_a_key_that_the_error_names_works() {
    let (home, _) = home();
    let key = home.path().join("made");
    let text = refused(with_key(home.path(), &key));
    let begin = text.find("`head").expect("a command") + 1;
    let command = &text[begin..begin + text[begin..].find('`').expect("its end")];
    assert!(Command::new("sh").args(["-c", command]).status().expect("runs").success(), "{command}");
    check(with_key(home.path(), &key).expect("opens").as_ref()).await.expect("it works");
}

#[tokio::test]
async fn a_key_in_the_variable_opens_the_same_vault_and_both_are_refused() {
    let (home, key) = home();
    with_key(home.path(), &key).expect("opens").put(&at("a"), &secret(SECRET)).await.expect("keeps");
    let text = secret("mJ8ZkQ2v7Lx0bN5tRw3yUc6oPf1aHs9dGe4iKjXqVzA=");
    let options = OpenOptions { vault_key: Some(text), ..OpenOptions::new(home.path()) };
    assert!(!format!("{options:?}").contains("mJ8ZkQ2v"), "the options do not print it");
    let vault = open(options.clone()).expect("opens");
    assert_eq!(vault.get(&at("a")).await.expect("asks"), Some(secret(SECRET)), "it is the same key");
    let both = OpenOptions { vault_key_file: Some(key), ..options };
    assert!(refused(open(both)).contains("both"), "which one is meant?");
    let short = OpenOptions { vault_key: Some(secret("short")), ..OpenOptions::new(home.path()) };
    assert!(refused(open(short)).contains("CLUSTERDECK_VAULT_KEY"), "too short");
}

#[tokio::test]
async fn a_home_with_a_vault_is_not_silently_served_from_the_keyring() {
    let (home, key) = home();
    with_key(home.path(), &key).expect("opens").put(&at("a"), &secret(SECRET)).await.expect("keeps");
    let text = refused(open(OpenOptions::new(home.path())));
    assert!(text.contains("no key is named") && text.contains("CLUSTERDECK_VAULT_KEY_FILE"), "{text}");
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let (home, key) = home();
    // Each with a handle of its own, as two programs would have.
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let vault = with_key(home.path(), &key).expect("opens");
            tokio::spawn(async move {
                for number in 0..15 {
                    vault.put(&at(&format!("{writer}-{number}")), &secret("x")).await.expect("keeps");
                    vault.put(&at("shared"), &secret(&format!("{writer}-{number}"))).await.expect("keeps");
                    if number % 3 == 0 {
                        vault.remove(&at(&format!("{writer}-{number}"))).await.expect("forgets");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let vault = with_key(home.path(), &key).expect("opens");
    for writer in 0..4 {
        for number in 0..15 {
            let found = vault.get(&at(&format!("{writer}-{number}"))).await.expect("asks");
            assert_eq!(found.is_some(), number % 3 != 0, "{writer}-{number}");
        }
    }
}

#[tokio::test]
async fn a_vault_that_another_program_holds_is_told_after_a_while() {
    let (home, key) = home();
    let wait = Duration::from_millis(300);
    let options = OpenOptions { vault_key_file: Some(key), wait, ..OpenOptions::new(home.path()) };
    let vault = open(options).expect("opens");
    let held =
        fs::File::options().write(true).open(home.path().join("vault").join("lock")).expect("the lock");
    held.lock().expect("held");
    let begun = Instant::now();
    let text = refused(vault.put(&at("late"), &secret(SECRET)).await);
    assert!(text.contains("another program") && begun.elapsed() < Duration::from_secs(10), "{text}");
    // A second one waits behind the first and is given up before it begins.
    refused(vault.put(&at("later"), &secret(SECRET)).await);
    held.unlock().expect("let go");
    assert_eq!(
        vault.get(&at("later")).await.expect("asks"),
        None,
        "what was given up was not done after all"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_the_vault_stays_as_it_was() {
    let (folder, key) = home();
    // As root a namespace is enough; else one in which we are root.
    let namespace: &[&str] = if is_root() { &["--mount"] } else { &["--mount", "--map-root-user"] };
    let script = "mount -t tmpfs -o size=200k,mode=700 none \"$SECRETS_TEST_DISK\" && exec \"$@\"";
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let output = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", script, "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "vault::the_small_disk_is_filled", "--nocapture", "--test-threads=1"])
        .env("SECRETS_TEST_DISK", &disk)
        .env("SECRETS_TEST_KEY", &key)
        .output()
        .expect("unshare is part of every Linux");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("the small disk was filled"), "{said}");
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Runs on the small disk when the test above started this program; alone it checks that it was not.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_small_disk_is_filled() {
    let (Some(disk), Some(key)) =
        (std::env::var_os("SECRETS_TEST_DISK"), std::env::var_os("SECRETS_TEST_KEY"))
    else {
        assert!(std::env::var_os("SECRETS_TEST_DISK").is_none(), "both or none");
        return;
    };
    let (disk, key) = (Path::new(&disk), Path::new(&key));
    let vault = with_key(disk, key).expect("opens");
    let mut kept = 0;
    let text = loop {
        match vault.put(&at(&format!("{kept}")), &secret(&"x".repeat(8_000))).await {
            Ok(()) => kept += 1,
            full => break refused(full),
        }
        assert!(kept < 1_000, "the disk is small");
    };
    assert!(kept > 3 && text.contains("free some space"), "{kept}: {text}");
    drop(vault);
    let vault = with_key(disk, key).expect("the file is whole");
    for number in 0..kept {
        assert!(
            vault.get(&at(&format!("{number}"))).await.expect("asks").is_some(),
            "{number} was acknowledged"
        );
    }
    println!("the small disk was filled");
}

#[tokio::test]
async fn a_vault_answers_quickly() {
    let (home, key) = home();
    let vault = with_key(home.path(), &key).expect("opens");
    let begun = Instant::now();
    for number in 0..20 {
        vault.put(&at(&format!("passwords-{number}")), &secret(&SECRET.repeat(10))).await.expect("keeps");
    }
    let put = begun.elapsed() / 20;
    let begun = Instant::now();
    for number in 0..200 {
        vault.get(&at(&format!("passwords-{}", number % 20))).await.expect("asks");
    }
    let get = begun.elapsed() / 200;
    println!("put {put:?}, get {get:?}");
    assert!(put < Duration::from_millis(500) && get < Duration::from_millis(50), "put {put:?}, get {get:?}");
}
