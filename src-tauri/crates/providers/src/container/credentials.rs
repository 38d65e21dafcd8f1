//! How people signed in at a registry, as `docker login` and `podman login` note it in files. Programs that keep passwords for
//! them are not asked; that they are not is told where it matters.

use base64::Engine as _;
use bollard::auth::DockerCredentials;
use clusterdeck_domain::Sensitive;
use serde::Deserialize;
use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
};

/// The public registry, which has several names.
const PUBLIC: &str = "docker.io";
const ALSO_PUBLIC: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// What is known of signing in for an image.
#[derive(Debug, PartialEq)]
pub(super) enum Login {
    /// Nobody signed in.
    Nobody,
    /// With this name and password.
    As(Account),
    /// This program keeps the password, and is not asked.
    Kept(String),
}

/// A name with its password, or with a token that stands for both.
#[derive(Debug, PartialEq)]
pub(super) struct Account {
    registry: String,
    name: String,
    password: Sensitive<String>,
    token: Option<Sensitive<String>>,
}

impl Login {
    /// As the engine takes it. Goes into a header, and nowhere else.
    pub(super) fn credentials(&self) -> Option<DockerCredentials> {
        let Self::As(account) = self else { return None };
        let token = account.token.as_ref().map(|token| token.reveal().clone());
        Some(DockerCredentials {
            username: Some(account.name.clone()).filter(|_| token.is_none()),
            password: Some(account.password.reveal().clone()).filter(|_| token.is_none()),
            identitytoken: token,
            serveraddress: Some(account.registry.clone()),
            ..DockerCredentials::default()
        })
    }

    /// What to do where a registry refuses for want of a password.
    pub(super) fn advice(&self, reference: &str, engine: &str) -> String {
        let full = full_name(reference);
        let host = full.split('/').next().unwrap_or(PUBLIC);
        match self {
            Self::Nobody => {
                format!("sign in as the user who runs Clusterdeck (`{engine} login {host}`), then try again")
            }
            Self::As(account) => {
                format!(
                    "{} may not read it: sign in as somebody who may (`{engine} login {host}`)",
                    account.name
                )
            }
            Self::Kept(program) => format!(
                "the password for {host} is kept by {program}, which Clusterdeck does not ask: fetch the image yourself \
                 (`{engine} pull {reference}`)"
            ),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Noted {
    auths: HashMap<String, Entry>,
    #[serde(rename = "credsStore")]
    store: String,
    #[serde(rename = "credHelpers")]
    helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

/// How somebody signed in for this image.
pub(super) async fn of(reference: &str) -> Login {
    let reference = reference.to_owned();
    let read = tokio::task::spawn_blocking(move || find(&files(), &reference));
    read.await.unwrap_or(Login::Nobody)
}

fn files() -> Vec<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = folder("HOME");
    let docker = folder("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    [
        docker.map(|dir| dir.join("config.json")),
        folder("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first file that knows the registry counts; one that only names a program counts when no other knows more.
fn find(files: &[PathBuf], reference: &str) -> Login {
    let name = full_name(reference);
    let mut kept = Login::Nobody;
    for noted in files.iter().filter_map(|file| read(file)) {
        let entries = noted.auths.iter().map(|(key, entry)| (registry(key), entry));
        let known = entries.filter(|(key, _)| within(&name, key)).max_by_key(|(key, _)| key.len());
        if let Some(account) = known.as_ref().and_then(|(key, entry)| account(key, entry)) {
            return Login::As(account);
        }
        let helper =
            noted.helpers.iter().find(|(key, _)| within(&name, &registry(key))).map(|(_, program)| program);
        let store = Some(&noted.store).filter(|store| !store.is_empty() && known.is_some());
        if let (Login::Nobody, Some(program)) = (&kept, helper.or(store)) {
            kept = Login::Kept(format!("docker-credential-{program}"));
        }
    }
    kept
}

/// A file that is not there or that nobody can read says nothing.
fn read(file: &Path) -> Option<Noted> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn account(registry: &str, entry: &Entry) -> Option<Account> {
    let told = Sensitive::new(base64::engine::general_purpose::STANDARD.decode(entry.auth.trim()).ok()?);
    let text = std::str::from_utf8(told.reveal()).ok()?;
    let (name, password) = text.trim_end_matches('\0').split_once(':')?;
    let token = Some(&entry.identitytoken).filter(|token| !token.is_empty());
    let whole = !password.is_empty() || token.is_some();
    whole.then(|| Account {
        registry: if registry == PUBLIC {
            "https://index.docker.io/v1/".to_owned()
        } else {
            registry.to_owned()
        },
        name: name.to_owned(),
        password: Sensitive::new(password.to_owned()),
        token: token.map(|token| Sensitive::new(token.clone())),
    })
}

/// A registry, or a folder of one, without what does not name it: `https://index.docker.io/v1/` is `docker.io`.
fn registry(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.trim_end_matches("/v1").trim_end_matches("/v2");
    if ALSO_PUBLIC.contains(&bare) { PUBLIC.to_owned() } else { bare.to_owned() }
}

fn within(name: &str, key: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An image's name with its host, without its tag: `redis:8.0` is `docker.io/library/redis`.
fn full_name(reference: &str) -> String {
    let reference = reference.split('@').next().unwrap_or(reference);
    let (folder, last) = reference.rsplit_once('/').unwrap_or(("", reference));
    let last = last.split(':').next().unwrap_or(last);
    match folder.split('/').next().unwrap_or_default() {
        "" => format!("{PUBLIC}/library/{last}"),
        host if host.contains(['.', ':']) || host == "localhost" => format!("{folder}/{last}"),
        _ => format!("{PUBLIC}/{folder}/{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(texts: &[&str], reference: &str) -> Login {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..texts.len()).map(|n| dir.path().join(n.to_string())).collect();
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(file, text).unwrap();
        }
        find(&files, reference)
    }

    fn user(login: &Login) -> Option<(String, String)> {
        let told = login.credentials()?;
        Some((told.username?, told.password?))
    }

    #[test]
    fn who_signed_in_is_found_by_the_registry_of_an_image_and_never_printed() {
        // me:secret, and you:other
        let docker = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},"r.lan:5000":{"auth":"eW91Om90aGVy"}}}"#;
        let me = Some(("me".to_owned(), "secret".to_owned()));
        let you = Some(("you".to_owned(), "other".to_owned()));
        let found = login(&[docker], "docker.io/library/redis:8.0");
        assert_eq!(user(&found), me);
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        assert_eq!(
            user(&login(&[docker], "valkey/valkey:8.1")),
            me,
            "the public registry is meant where none is named"
        );
        assert_eq!(user(&login(&[docker], "r.lan:5000/x/redis@sha256:00")), you);
        assert_eq!(login(&[docker], "r.lan:5001/x:1"), Login::Nobody);
        assert_eq!(login(&["{ damaged"], "r.lan:5000/x:1"), Login::Nobody);
        let folders =
            r#"{"auths":{"r.lan:5000":{"auth":"bWU6c2VjcmV0"},"r.lan:5000/x":{"auth":"eW91Om90aGVy"}}}"#;
        assert_eq!(user(&login(&[folders], "r.lan:5000/x/y:1")), you, "the narrower one");
        assert_eq!(user(&login(&[folders], "r.lan:5000/xy:1")), me);
    }

    #[test]
    fn a_program_that_keeps_passwords_is_named_and_not_asked() {
        let kept = r#"{"auths":{"r.lan":{}},"credsStore":"secretservice","credHelpers":{"g.lan":"gcloud"}}"#;
        assert_eq!(login(&[kept], "r.lan/x:1"), Login::Kept("docker-credential-secretservice".to_owned()));
        assert_eq!(login(&[kept], "g.lan/x:1"), Login::Kept("docker-credential-gcloud".to_owned()));
        assert_eq!(login(&[kept], "o.lan/x:1"), Login::Nobody, "nobody signed in there");
        let other = r#"{"auths":{"r.lan":{"auth":"bWU6c2VjcmV0"}}}"#;
        assert!(user(&login(&[kept, other], "r.lan/x:1")).is_some(), "another file knows more");
        assert!(login(&[kept], "r.lan/x:1").advice("r.lan/x:1", "docker").contains("docker pull r.lan/x:1"));
    }
}
