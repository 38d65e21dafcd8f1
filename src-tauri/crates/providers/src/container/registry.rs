//! Registries: whether an image that is not here can be had, and if not, why.

use super::{
    credentials::{self, Login},
    engines::Engine,
    raw,
};
use bollard::{Docker, errors::Error, models::OciPlatform};
use std::{
    collections::HashMap,
    env::consts::ARCH,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::Mutex};

/// What was found out about a registry counts for so long.
const FRESH: Duration = Duration::from_secs(60);
/// That an image can be had counts longer: each question is a download to the public registry, which counts those.
const HAD_FRESH: Duration = Duration::from_secs(600);
/// A registry that is there takes a connection within this time.
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);
/// An engine asks a registry for a token first, then for the image.
const ASKS_WITHIN: Duration = Duration::from_secs(15);
/// Entries of each table.
const REMEMBERED: usize = 256;

/// Answers by what was asked for: why not, or that nothing is known against it.
type Known = Mutex<HashMap<String, (Instant, Option<String>)>>;

/// What is known of registries.
#[derive(Default)]
pub(super) struct Registries {
    reached: Known,
    asked: Known,
}

async fn recall(known: &Known, key: &str) -> Option<Option<String>> {
    let known = known.lock().await;
    let (at, why) = known.get(key)?;
    let fresh = if why.is_some() { FRESH } else { HAD_FRESH };
    (at.elapsed() < fresh).then(|| why.clone())
}

async fn remember(known: &Known, key: String, why: &Option<String>) {
    let mut known = known.lock().await;
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, (Instant::now(), why.clone()));
}

impl Registries {
    /// Why an image's registry cannot be reached, or the image not run here; `None` when it answers, or when only the engine
    /// knows the way there. Costs a connection at most.
    pub(super) async fn out_of_reach(&self, engine: &Engine, reference: &str) -> Option<String> {
        if let Some(theirs) = named_processor(reference).filter(|theirs| *theirs != processor(ARCH)) {
            return Some(other_processor(theirs));
        }
        if engine.proxied {
            return None;
        }
        let key = format!("{} {}", engine.id, host_of(reference));
        if let Some(known) = recall(&self.reached, &key).await {
            return known;
        }
        let mut why = None;
        for host in hosts(engine, reference).await {
            why = connect(&host).await;
            if why.is_none() {
                break;
            }
        }
        remember(&self.reached, key, &why).await;
        why
    }

    /// Why an image cannot be had, by the word of its registry; `None` when it can, or when the engine cannot be asked. Podman
    /// has no such question.
    pub(super) async fn refuses(&self, engine: &Engine, reference: &str) -> Option<String> {
        if engine.podman {
            return None;
        }
        let key = format!("{} {reference}", engine.id);
        if let Some(known) = recall(&self.asked, &key).await {
            return known;
        }
        let login = credentials::of(reference).await;
        let why = ask(&engine.docker, reference, &login).await;
        remember(&self.asked, key, &why).await;
        why
    }
}

async fn connect(host: &str) -> Option<String> {
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:443") };
    match tokio::time::timeout(CONNECTS_WITHIN, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(format!("it is not here, and its registry {host} cannot be reached: {e}")),
        Err(_) => Some(format!("it is not here, and its registry {host} does not answer")),
    }
}

/// What a registry says of an image, asked by Docker with the password of whoever signed in.
async fn ask(docker: &Docker, reference: &str, login: &Login) -> Option<String> {
    let call = docker.inspect_registry_image(reference, login.credentials());
    match tokio::time::timeout(ASKS_WITHIN, call).await {
        Ok(Ok(found)) => not_for(&found.platforms, processor(ARCH)),
        Ok(Err(Error::DockerResponseServerError { status_code, message })) => {
            refusal(status_code, &message, reference, login, "docker")
        }
        // That it could not be asked is no refusal: fetching will tell.
        _ => None,
    }
}

/// What a refusal means; `None` where the engine does not know the question.
fn refusal(status: u16, message: &str, reference: &str, login: &Login, client: &str) -> Option<String> {
    let message = message.trim().trim_end_matches('.');
    let lower = message.to_lowercase();
    if status == 404 && (lower.contains("page not found") || lower.is_empty()) {
        return None;
    }
    if matches!(status, 401 | 403) || denied(&lower) {
        let advice = login.advice(reference, client);
        return Some(format!(
            "it is not here, and its registry does not give it to us ({message}); {advice}"
        ));
    }
    Some(format!("it is not here, and its registry does not have it ({message})"))
}

/// Whether an engine's words mean that a password is missing or wrong.
pub(super) fn denied(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["unauthorized", "denied", "authentication required", "no basic auth"].iter().any(|w| lower.contains(w))
}

/// Why an image that is made for these cannot run here.
fn not_for(platforms: &[OciPlatform], ours: &str) -> Option<String> {
    // One that does not say runs anywhere, for all we know; `unknown` are notes about how it was built.
    let made: Vec<&str> = platforms
        .iter()
        .filter_map(|p| p.architecture.as_deref())
        .filter(|made| !made.is_empty() && *made != "unknown")
        .collect();
    (!made.is_empty() && !made.contains(&ours)).then(|| other_processor(&made.join(", ")))
}

fn other_processor(theirs: &str) -> String {
    format!("it is made for processors of the kind {theirs}, and this computer has {}", processor(ARCH))
}

/// The kind of a processor as registries name it.
fn processor(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The kind of processor that a tag names, where it names one: `x86_64_v6.3.4`.
fn named_processor(reference: &str) -> Option<&'static str> {
    let (_, tag) = reference.rsplit('/').next()?.split_once(':')?;
    [("x86_64", "amd64"), ("amd64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64")]
        .into_iter()
        .find_map(|(word, kind)| tag.contains(word).then_some(kind))
}

/// The host that serves an image: what stands before the first `/` when it looks like a host.
pub(super) fn host_of(reference: &str) -> String {
    match reference.split_once('/') {
        Some(("docker.io", _)) | None => "registry-1.docker.io".to_owned(),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host.to_owned(),
        Some(_) => "registry-1.docker.io".to_owned(),
    }
}

/// Where an engine looks for an image: its own mirrors first. Podman tells of them; of Docker's see [`Engine::proxied`].
async fn hosts(engine: &Engine, reference: &str) -> Vec<String> {
    let own = host_of(reference);
    if !engine.podman {
        return vec![own];
    }
    let told = raw::registries(engine).await.unwrap_or_default();
    let name = if own == "registry-1.docker.io" && !reference.starts_with("docker.io/") {
        format!("docker.io/{reference}")
    } else {
        reference.to_owned()
    };
    let known = told.values().filter_map(|value| serde_json::from_value::<raw::Registry>(value.clone()).ok());
    let meant =
        known.filter(|r| !r.prefix.is_empty() && name.starts_with(&r.prefix)).max_by_key(|r| r.prefix.len());
    let Some(meant) = meant else { return vec![own] };
    let places = meant.mirrors.into_iter().flatten().map(|mirror| mirror.location).chain([meant.location]);
    let mut hosts: Vec<String> =
        places.filter(|place| !place.is_empty()).map(|place| host_of(&format!("{place}/x"))).collect();
    if hosts.is_empty() {
        hosts.push(own);
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn an_image_without_a_host_comes_from_the_public_registry() {
        assert_eq!(host_of("redis:8.0"), "registry-1.docker.io");
        assert_eq!(host_of("docker.io/library/redis:8.0"), "registry-1.docker.io");
        assert_eq!(host_of("valkey/valkey:8"), "registry-1.docker.io");
        assert_eq!(host_of("127.0.0.1:5000/redis:8"), "127.0.0.1:5000");
        assert_eq!(host_of("ghcr.io/x/y"), "ghcr.io");
    }

    #[test]
    fn an_image_for_another_kind_of_processor_is_refused_with_the_reason() {
        let named = |reference| named_processor(reference);
        assert_eq!(named("docker.io/eqalpha/keydb:x86_64_v6.3.4"), Some("amd64"));
        assert_eq!(named("docker.io/eqalpha/keydb:arm64_v6.3.4"), Some("arm64"));
        assert_eq!(named("arm64.example.com:5000/redis:8.0"), None, "a host");
        let made = |kinds: &[&str]| -> Vec<OciPlatform> {
            let one =
                |kind: &&str| OciPlatform { architecture: Some((*kind).to_owned()), ..Default::default() };
            kinds.iter().map(one).collect()
        };
        assert_eq!(not_for(&made(&["amd64", "arm64", "unknown"]), "arm64"), None);
        assert!(not_for(&made(&["amd64", "unknown"]), "arm64").unwrap().contains("amd64"));
        assert_eq!(not_for(&made(&[]), "arm64"), None, "it does not say");
    }

    /// What is told of an image by an engine that answers once, with this.
    async fn asked(status: &str, body: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let docker =
            Docker::connect_with_unix(&socket.to_string_lossy(), 5, bollard::API_DEFAULT_VERSION).unwrap();
        let head = "content-type: application/json\r\nconnection: close\r\ncontent-length";
        let text = format!("HTTP/1.1 {status}\r\n{head}: {}\r\n\r\n{body}", body.len());
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; 4096];
            let read = stream.read(&mut question).await.unwrap();
            let question = String::from_utf8_lossy(&question[..read]).into_owned();
            assert!(question.contains("/distribution/r.lan/x:1/json"), "{question}");
            stream.write_all(text.as_bytes()).await.unwrap();
        };
        let (why, ()) = tokio::join!(ask(&docker, "r.lan/x:1", &Login::Nobody), answer);
        why
    }

    #[tokio::test]
    async fn docker_asks_the_registry_before_anything_is_made() {
        let found = |kind: &str| {
            let descriptor = r#"{"mediaType":"m","digest":"sha256:00","size":1}"#;
            format!(r#"{{"Descriptor":{descriptor},"Platforms":[{{"architecture":"{kind}","os":"linux"}}]}}"#)
        };
        assert_eq!(asked("200 OK", &found(processor(ARCH))).await, None);
        assert!(asked("200 OK", &found("s390x")).await.unwrap().contains("s390x"));
        let none = asked("404 Not Found", r#"{"message":"manifest unknown"}"#).await.unwrap();
        assert!(none.contains("manifest unknown"), "{none}");
        let private = asked("401 Unauthorized", r#"{"message":"unauthorized"}"#).await.unwrap();
        assert!(private.contains("docker login r.lan"), "{private}");
    }

    #[test]
    fn what_a_registry_says_is_told_and_a_question_that_is_not_known_is_no_answer() {
        let told = |status, message| refusal(status, message, "r.lan/x:1", &Login::Nobody, "docker");
        assert_eq!(told(404, "404 page not found"), None, "an old engine");
        assert!(told(404, "manifest unknown: manifest unknown").unwrap().contains("manifest unknown"));
        assert!(told(401, "unauthorized: authentication required").unwrap().contains("docker login r.lan"));
        assert!(told(500, "pull access denied for x").unwrap().contains("docker login r.lan"));
    }
}
