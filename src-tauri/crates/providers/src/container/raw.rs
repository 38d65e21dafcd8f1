//! Questions that are asked without the library's types. Podman answers them with a state (`stopped`) that Docker does
//! not have, and an answer that cannot be read would make a crash look like a failure of ours.

use super::{
    engines::Engine,
    failure::{ANSWERS_WITHIN, refused},
};
use bollard::{API_DEFAULT_VERSION, ClientVersion, models::SystemInfo};
use clusterdeck_driver::{DriverError, Result};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{HeaderMap, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::HashMap, path::Path};
use tokio::net::UnixStream;

/// An answer about all containers of a home has some hundred kilobytes.
const LONGEST: usize = 16 << 20;

/// What an engine says of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    /// The id of its image.
    pub image: String,
    pub state: State,
    pub config: Config,
}

/// How it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    /// In a word; Podman's `stopped` is a moment in which the end is known and how it came is not yet.
    pub status: String,
    pub running: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub pid: i64,
    pub exit_code: i64,
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
}

/// How it was made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub labels: Option<HashMap<String, String>>,
}

/// A container in a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub id: String,
    pub names: Vec<String>,
    pub labels: Option<HashMap<String, String>>,
    pub state: String,
    /// Seconds since 1970.
    pub created: i64,
}

/// Looks at a container; `None` when there is none.
pub(super) async fn container(engine: &Engine, what: &str, name: &str) -> Result<Option<Container>> {
    match get(engine, what, &format!("containers/{name}/json")).await {
        Ok(found) => Ok(Some(found)),
        Err(DriverError::Gone { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Every container with these labels, running or not.
pub(super) async fn containers(
    engine: &Engine,
    filter: &HashMap<String, Vec<String>>,
) -> Result<Vec<Listed>> {
    let filter = serde_json::to_string(filter).unwrap_or_default();
    let filter: String = filter.bytes().map(|b| format!("%{b:02X}")).collect();
    get(engine, "listing containers", &format!("containers/json?all=true&filters={filter}")).await
}

/// What an engine tells of itself in its shortest answer. Podman takes a second for its version in full, which names the
/// version of everything it uses.
pub(super) struct Greeting {
    /// The newest API that both sides know.
    pub api: ClientVersion,
    /// It is Podman.
    pub podman: bool,
}

/// Greets whoever listens on a socket.
pub(super) async fn greet(socket: &Path) -> Result<Greeting> {
    let what = "greeting it";
    let (status, headers, _) = ask(socket, what, "/_ping".to_owned()).await?;
    let api = headers.get("api-version").and_then(|v| v.to_str().ok()).and_then(|v| v.split_once('.'));
    let number = |text: &str| text.parse::<usize>().ok();
    let theirs = api.and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let Some((major, minor)) = theirs.filter(|_| status < 300) else {
        return Err(DriverError::broken("what answers there is no container engine"));
    };
    let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let (major_version, minor_version) = ours.min((major, minor));
    let podman = headers.contains_key("libpod-api-version");
    Ok(Greeting { api: ClientVersion { major_version, minor_version }, podman })
}

/// What an engine tells of itself, and whether it runs without root: Podman 4 says so in a word that Docker does not have.
pub(super) async fn info(socket: &Path, api: &ClientVersion) -> Result<(SystemInfo, bool)> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "Rootless", default)]
        rootless: bool,
        #[serde(flatten)]
        info: SystemInfo,
    }
    let told: Told = get_at(socket, api, "asking what it is", "info").await?;
    let is = |option: &String| option.split(',').any(|part| part == "name=rootless");
    let rootless = told.rootless || told.info.security_options.iter().flatten().any(is);
    Ok((told.info, rootless))
}

async fn get<T: DeserializeOwned>(engine: &Engine, what: &str, path: &str) -> Result<T> {
    get_at(&engine.socket, &engine.docker.client_version(), what, path).await
}

async fn get_at<T: DeserializeOwned>(
    socket: &Path,
    version: &ClientVersion,
    what: &str,
    path: &str,
) -> Result<T> {
    let target = format!("/v{}.{}/{path}", version.major_version, version.minor_version);
    let (status, _, body) = ask(socket, what, target).await?;
    if status >= 300 {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let message = serde_json::from_slice::<Refusal>(&body).map(|r| r.message).unwrap_or_default();
        return Err(refused(what, status, &message));
    }
    serde_json::from_slice(&body).map_err(|e| {
        DriverError::broken(format!("{what}: the container engine's answer cannot be understood ({e})"))
    })
}

/// One question on a connection of its own.
async fn ask(socket: &Path, what: &str, target: String) -> Result<(u16, HeaderMap, Bytes)> {
    let lost = |e: &dyn std::fmt::Display| {
        DriverError::transient(format!("{what}: the container engine does not answer ({e})"))
    };
    let asking = async {
        let stream = UnixStream::connect(socket).await.map_err(|e| lost(&e))?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|e| lost(&e))?;
        let request = Request::get(target).header("host", "engine").body(Empty::<Bytes>::new());
        let request = request.map_err(|e| DriverError::broken(format!("{what}: {e}")))?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|e| lost(&e))?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|e| lost(&e))?;
            Ok::<_, DriverError>((status, headers, body.to_bytes()))
        };
        let mut talk = std::pin::pin!(talk);
        // The connection has to be driven while we talk, and belongs to nobody after.
        tokio::select! {
            told = &mut talk => told,
            ended = connection => match ended {
                Ok(()) => talk.await,
                Err(e) => Err(lost(&e)),
            },
        }
    };
    match tokio::time::timeout(ANSWERS_WITHIN, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::transient(format!("{what}: the container engine took too long"))),
    }
}

/// What Podman knows of a registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Registry {
    /// Names that begin so are meant.
    pub prefix: String,
    /// Where it is.
    pub location: String,
    pub mirrors: Option<Vec<Mirror>>,
}

/// Asked before a registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Mirror {
    pub location: String,
}

/// The registries that are set up in Podman, and a list of some under `search`.
pub(super) async fn registries(engine: &Engine) -> Result<HashMap<String, serde_json::Value>> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(default)]
        registries: HashMap<String, serde_json::Value>,
    }
    let what = "asking for its registries";
    // In its own words: Docker's have no room for them.
    let (status, _, body) = ask(&engine.socket, what, "/v4.0.0/libpod/info".to_owned()).await?;
    if status >= 300 {
        return Err(refused(what, status, ""));
    }
    let told = serde_json::from_slice::<Told>(&body);
    told.map(|told| told.registries).map_err(|e| DriverError::broken(format!("{what}: {e}")))
}
