//! Images: which are here, what they hold, and fetching those that are not.

use super::{
    config, credentials,
    engines::Engine,
    failure::{ACTS_WITHIN, ANSWERS_WITHIN, asked, failed, or_gone},
    layers::Layers,
    registry::{Registries, denied},
};
use crate::{disk, version};
use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder,
    },
};
use clusterdeck_driver::{Carried, DriverError, Extension, Progress, Result, Software};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::Mutex;

/// A fetch that does not move for so long is stuck.
const FETCH_MOVES_WITHIN: Duration = Duration::from_secs(120);
/// Images that are remembered.
const REMEMBERED: usize = 64;
/// Output of the script below that is kept.
const LONGEST_ANSWER: usize = 64 << 10;

/// Finds programs wherever images put them and asks each for its version. Arguments: pairs of program and option.
const FIND: &str = r#"
while [ $# -gt 1 ]; do
  for dir in $(echo "$PATH" | tr : ' ') /usr/local/bin /usr/local/sbin /usr/bin /usr/sbin /usr/lib/*/*/bin /opt/*/bin; do
    file="$dir/$1"; [ -f "$file" ] && [ -x "$file" ] || continue
    echo "@ $1 $file"; "$file" "$2" 2>&1 </dev/null | head -n 3
  done
  shift 2
done
"#;

/// Finds how an extension describes itself beside its program. Arguments: program, option, then where its description may
/// lie, seen from the program's folder.
const FIND_EXTENSION: &str = r#"
program="$1"; option="$2"; shift 2
for dir in $(echo "$PATH" | tr : ' ') /usr/local/bin /usr/bin /usr/lib/*/*/bin /opt/*/bin; do
  file="$dir/$program"; [ -f "$file" ] && [ -x "$file" ] || continue
  said=$("$file" "$option" 2>&1 </dev/null | head -n 1)
  major=$(echo "$said" | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  for about in "$@"; do
    about="$dir/$(echo "$about" | sed "s/{major}/$major/g")"; [ -f "$about" ] || continue
    echo "@ $file"; echo "$said"; echo "="; head -n 40 "$about"; break
  done
done
"#;

/// What the kernel says of a program for another kind of processor.
const OTHER_PROCESSOR: &str = "exec format error";

/// What an image holds, by program: where, and which version.
type Held = BTreeMap<String, Vec<(PathBuf, String)>>;

/// What we know of images.
pub(super) struct Images {
    home: PathBuf,
    /// By the image's id, which names its content.
    held: Mutex<Option<Note>>,
    registries: Registries,
    /// One fetch at a time: the machines of a cluster all want the same one.
    fetching: Mutex<()>,
}

/// How things stand with an image.
pub(super) enum Standing {
    /// Here, with this id.
    Here(String),
    /// Not here; its registry answers.
    Elsewhere,
    /// Not here, and this is why it cannot be had.
    Nowhere(String),
}

#[derive(Default, Serialize, Deserialize)]
struct Note {
    images: BTreeMap<String, Held>,
    /// By the image's id and the extension's name.
    #[serde(default)]
    extensions: BTreeMap<String, BTreeMap<String, Vec<Carried>>>,
}

impl Note {
    /// Forgets all where there is too much.
    fn make_room(&mut self) {
        if self.images.len().max(self.extensions.len()) >= REMEMBERED {
            *self = Self::default();
        }
    }
}

impl Images {
    pub(super) fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            held: Mutex::default(),
            registries: Registries::default(),
            fetching: Mutex::default(),
        }
    }

    /// The id of an image that is here.
    pub(super) async fn id(&self, engine: &Engine, reference: &str) -> Result<Option<String>> {
        let what = format!("looking for the image {reference}");
        match asked(&what, ANSWERS_WITHIN, engine.docker.inspect_image(reference)).await {
            Ok(found) => Ok(found.id),
            Err(DriverError::Gone { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether an image is here or can be had.
    pub(super) async fn standing(&self, engine: &Engine, reference: &str) -> Result<Standing> {
        if let Some(id) = self.id(engine, reference).await? {
            return Ok(Standing::Here(id));
        }
        Ok(match self.registries.out_of_reach(engine, reference).await {
            None => Standing::Elsewhere,
            Some(why) => Standing::Nowhere(why),
        })
    }

    /// Why an image that is not here cannot be had, by the word of its registry; `None` when it can, as far as anybody can say.
    pub(super) async fn refused(&self, engine: &Engine, reference: &str) -> Option<String> {
        self.registries.refuses(engine, reference).await
    }

    /// Makes sure that an image is here; fetches it when it is not. Its id.
    pub(super) async fn ensure(
        &self,
        engine: &Engine,
        reference: &str,
        progress: &Progress,
    ) -> Result<String> {
        let _one = self.fetching.lock().await;
        if let Some(id) = self.id(engine, reference).await? {
            return Ok(id);
        }
        let note = format!("fetching {reference}");
        progress.note(&note);
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let login = credentials::of(reference).await;
        let no_image = |why: &dyn std::fmt::Display| {
            let why = why.to_string();
            let advice = denied(&why).then(|| login.advice(reference, engine.client()));
            not_fetched(reference, &why, advice)
        };
        let mut fetch = std::pin::pin!(engine.docker.create_image(Some(options), None, login.credentials()));
        let mut layers = Layers::default();
        loop {
            let next = tokio::time::timeout(FETCH_MOVES_WITHIN, fetch.next()).await;
            let Ok(next) = next else {
                return Err(DriverError::transient(format!("{note}: nothing came for two minutes")));
            };
            let Some(told) = next else { break };
            let told = told.map_err(|e| no_image(&failed(&note, e)))?;
            if let Some(error) = told.error_detail.and_then(|e| e.message) {
                return Err(no_image(&error));
            }
            if let Some(layer) = told.id {
                let part = told.progress_detail.and_then(|p| p.current.zip(p.total));
                layers.hear(layer, told.status.as_deref().unwrap_or_default(), part);
            }
            let (done, total) = layers.sum();
            progress.copied(&note, done, total);
        }
        let id = self.id(engine, reference).await?;
        id.ok_or_else(|| no_image(&"the engine says it has fetched it, and does not have it"))
    }

    /// The versions of a program in an image, newest first.
    pub(super) async fn software(
        &self,
        engine: &Engine,
        home: &str,
        image: &str,
        programs: &[&str],
    ) -> Result<Vec<Vec<Software>>> {
        let mut held = self.held.lock().await;
        let known = self.known(&mut held);
        let of_image = known.images.get(image).cloned().unwrap_or_default();
        let unknown: Vec<&str> = programs.iter().copied().filter(|p| !of_image.contains_key(*p)).collect();
        if !unknown.is_empty() {
            let found = look_inside(engine, home, image, &unknown).await?;
            known.make_room();
            known.images.entry(image.to_owned()).or_default().extend(found);
            self.save(known);
        }
        let empty = Held::new();
        let of_image = known.images.get(image).unwrap_or(&empty);
        Ok(programs.iter().map(|program| software_of(of_image, program)).collect())
    }

    /// Where an extension is in an image, the newest carrier first.
    pub(super) async fn extension(
        &self,
        engine: &Engine,
        home: &str,
        image: &str,
        extension: &Extension,
    ) -> Result<Vec<Carried>> {
        let mut held = self.held.lock().await;
        let known = self.known(&mut held);
        if let Some(carried) = known.extensions.get(image).and_then(|held| held.get(extension.name)) {
            return Ok(carried.clone());
        }
        let option = version::option(extension.beside);
        let args = [&[extension.beside, option], extension.files].concat();
        let said = ask_inside(engine, home, image, FIND_EXTENSION, &args).await?;
        let carried = read_extension(&said, extension);
        known.make_room();
        known
            .extensions
            .entry(image.to_owned())
            .or_default()
            .insert(extension.name.to_owned(), carried.clone());
        self.save(known);
        Ok(carried)
    }

    fn known<'a>(&self, held: &'a mut Option<Note>) -> &'a mut Note {
        // A damaged note is only a slower answer.
        held.get_or_insert_with(|| {
            disk::load::<Note>(&config::images_note(&self.home)).ok().flatten().unwrap_or_default()
        })
    }

    fn save(&self, known: &Note) {
        if let Err(e) = disk::create_dirs(&config::dir(&self.home))
            .map_err(|e| disk::broken("making a folder", &e))
            .and_then(|()| disk::save(&config::images_note(&self.home), known))
        {
            tracing::debug!(error = %e, "what images hold could not be noted");
        }
    }
}

fn software_of(held: &Held, program: &str) -> Vec<Software> {
    let mut found: Vec<Software> = held
        .get(program)
        .into_iter()
        .flatten()
        .map(|(path, version)| Software {
            program: program.to_owned(),
            path: path.clone(),
            version: version.clone(),
        })
        .collect();
    found.sort_by_key(|s| Reverse(version::numbers(&s.version)));
    found
}

fn not_fetched(reference: &str, why: &str, advice: Option<String>) -> DriverError {
    let by_hand =
        "load it into the engine yourself, or name a mirror or an image of your own in the settings";
    let hint = advice.unwrap_or_else(|| by_hand.to_owned());
    DriverError::rejected(format!("the image {reference} could not be fetched: {why}"), hint)
}

/// Looks for programs in an image.
async fn look_inside(engine: &Engine, home: &str, image: &str, programs: &[&str]) -> Result<Held> {
    let args: Vec<&str> = programs.iter().flat_map(|program| [*program, version::option(program)]).collect();
    Ok(read(&ask_inside(engine, home, image, FIND, &args).await?, programs))
}

/// What a script says in an image, run in a container that has no network and goes away.
async fn ask_inside(engine: &Engine, home: &str, image: &str, script: &str, args: &[&str]) -> Result<String> {
    let what = format!("looking into the image {image}");
    let mut cmd: Vec<String> = ["-c", script, "sh"].map(str::to_owned).to_vec();
    cmd.extend(args.iter().map(|arg| (*arg).to_owned()));
    let name = format!("clusterdeck-look-{}", uuid::Uuid::new_v4().simple());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        cmd: Some(cmd),
        user: Some(config::USER.to_owned()),
        labels: Some(config::labels(home, &[])),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            readonly_rootfs: Some(true),
            memory: Some(512 << 20),
            pids_limit: Some(128),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    asked(&what, ACTS_WITHIN, engine.docker.create_container(Some(options), body)).await?;
    let looked = asked_inside(engine, &what, &name).await;
    let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    or_gone(asked(&what, ACTS_WITHIN, engine.docker.remove_container(&name, Some(force))).await)?;
    looked
}

fn not_for_this(what: &str) -> DriverError {
    let hint = "name an image for this computer's kind of processor in the settings";
    DriverError::rejected(
        format!("{what}: it is made for another kind of processor than this computer's"),
        hint,
    )
}

async fn asked_inside(engine: &Engine, what: &str, name: &str) -> Result<String> {
    match asked(what, ACTS_WITHIN, engine.docker.start_container(name, None)).await {
        Err(e) if e.to_string().contains(OTHER_PROCESSOR) => return Err(not_for_this(what)),
        other => other?,
    }
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
    let listen = async {
        let mut answer = Vec::new();
        let mut output = std::pin::pin!(engine.docker.logs(name, Some(options)));
        while let Some(piece) = output.next().await {
            let bytes = piece.map_err(|e| failed(what, e))?.into_bytes();
            let room = LONGEST_ANSWER.saturating_sub(answer.len());
            answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.contains(OTHER_PROCESSOR) { Err(not_for_this(what)) } else { Ok(answer) }
    };
    tokio::time::timeout(ACTS_WITHIN, listen)
        .await
        .map_err(|_| DriverError::transient(format!("{what} took too long")))?
}

/// Reads what the script said. Every program asked for gets an entry, so that nobody asks again.
fn read(text: &str, programs: &[&str]) -> Held {
    let mut held: Held = programs.iter().map(|p| ((*p).to_owned(), Vec::new())).collect();
    for part in text.split("@ ").skip(1) {
        let (head, said) = part.split_once('\n').unwrap_or((part, ""));
        let Some((program, path)) = head.trim().split_once(' ') else { continue };
        let Some(found) = held.get_mut(program) else { continue };
        let version = version::parse(said).unwrap_or_default();
        let path = PathBuf::from(path);
        // `/bin` and `/usr/bin` are one folder in most images.
        if !found.iter().any(|(p, v)| *p == path || (*v == version && !v.is_empty())) {
            found.push((path, version));
        }
    }
    held
}

/// Reads what the script for extensions said.
fn read_extension(text: &str, extension: &Extension) -> Vec<Carried> {
    let mut found: Vec<Carried> = Vec::new();
    for part in text.split("@ ").skip(1) {
        let Some((head, description)) = part.split_once("\n=\n") else { continue };
        let (path, said) = head.split_once('\n').unwrap_or((head, ""));
        let by = Software {
            program: extension.beside.to_owned(),
            path: PathBuf::from(path.trim()),
            version: version::parse(said).unwrap_or_default(),
        };
        let works = extension.files_beside(&by.version).next().is_some();
        // `/bin` and `/usr/bin` are one folder in most images.
        if !works || found.iter().any(|c| c.by.version == by.version) {
            continue;
        }
        found.extend(extension.version_in(description).map(|version| Carried { version, by }));
    }
    found.sort_by_key(|c| Reverse(version::numbers(&c.by.version)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Extension = Extension {
        name: "Sample",
        package: "sample",
        purpose: "",
        carrier: "Server",
        beside: "serverctl",
        majors: (15, 17),
        files: &["../share/sample.control"],
        version_key: "default_version",
        elsewhere: "",
    };

    #[test]
    fn an_extension_in_an_image_is_read_with_its_carrier_and_none_beside_one_it_does_not_work_with() {
        let said = "@ /usr/lib/server/15/bin/serverctl\nserverctl (Server) 15.18\n=\ndefault_version = '2.19.0'\n\
                    @ /usr/lib/server/17/bin/serverctl\nserverctl (Server) 17.11\n=\ndefault_version = '2.19.3'\n\
                    @ /usr/lib/server/18/bin/serverctl\nserverctl (Server) 18.6\n=\ndefault_version = '2.31.0'\n";
        let found = read_extension(said, &SAMPLE);
        let read: Vec<_> = found.iter().map(|c| (c.version.as_str(), c.by.version.as_str())).collect();
        assert_eq!(read, [("2.19.3", "17.11"), ("2.19.0", "15.18")]);
        assert_eq!(found[0].by.path, PathBuf::from("/usr/lib/server/17/bin/serverctl"));
        assert_eq!(read_extension("", &SAMPLE), []);
    }

    #[test]
    fn what_an_image_holds_is_read_with_the_newest_first_and_nothing_twice() {
        let said = "@ redis-server /usr/bin/redis-server\nRedis server v=8.0.2 sha=0\n\
                    @ redis-server /bin/redis-server\nRedis server v=8.0.2 sha=0\n\
                    @ redis-server /opt/old/bin/redis-server\nRedis server v=7.2.4\n";
        let held = read(said, &["redis-server", "haproxy"]);
        let found = software_of(&held, "redis-server");
        let versions: Vec<&str> = found.iter().map(|s| s.version.as_str()).collect();
        assert_eq!(versions, ["8.0.2", "7.2.4"]);
        assert_eq!(found[0].path, PathBuf::from("/usr/bin/redis-server"));
        assert_eq!(held["haproxy"], [], "asked for, and not there");
    }
}
