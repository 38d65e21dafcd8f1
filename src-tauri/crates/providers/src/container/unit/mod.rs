//! Units: a container each, in the network and with the volume of its machine's container. The engine never starts one
//! again by itself; what is wanted of a unit stands in a note of ours, and the watcher acts on it, so that an election
//! goes first.

mod log;
mod note;

use super::{
    config::{self, Intent, UnitNote},
    engines::Engine,
    failure::{ACTS_WITHIN, ANSWERS_WITHIN, asked, or_gone},
    machine::ContainerMachine,
    plans, raw,
};
use crate::disk::{self, check_unit_name, now_ms, off_thread};
use bollard::{
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
        StatsOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use clusterdeck_domain::Plan;
use clusterdeck_driver::{DriverError, Result, UnitSpec, UnitState, UnitUsage};
use futures::StreamExt as _;
use note::Seen;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What ends at once ends within this time, most of the time.
const FIRST_MOMENTS: Duration = Duration::from_millis(100);
/// Podman's word for a container that ended a moment ago, before it knows how.
const ENDING: &str = "stopped";
/// That moment is some 50 ms.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For the words of a unit that failed at once to be in its log; on a busy computer they were not there at first.
const WORDS_WITHIN: Duration = Duration::from_secs(1);
/// Lines of a log that tell why a unit ended.
const LAST_LINES: usize = 8;
/// Beyond the grace of a stop.
const KILL_WAIT: Duration = Duration::from_secs(15);

/// The volume of a machine, as every container of it sees it.
pub(super) fn volume(machine: &clusterdeck_domain::MachineId) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(config::machine_name(machine)),
        target: Some(config::ROOT.to_owned()),
        // Docker gives an empty volume the owner it has in the image, with each container that mounts it.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// Files that a server may write besides its machine's: gone with it, and bounded.
pub(super) fn scratch() -> HashMap<String, String> {
    ["/tmp", "/run"].map(|dir| (dir.to_owned(), "size=64m,mode=1777".to_owned())).into()
}

/// Why a server that wrote this ended at once, when that is something a person can mend.
fn explain(name: &str, words: &str) -> Option<DriverError> {
    let lower = words.to_ascii_lowercase();
    if lower.contains("address already in use") || lower.contains("cannot bind socket") {
        let what =
            format!("{name} did not start: a port it listens on is taken by another unit of its machine");
        return Some(DriverError::rejected(what, "stop that unit, then try again"));
    }
    if lower.contains("no space left on device") {
        let what = format!("{name} did not start: the disk is full; its data is as it was");
        return Some(DriverError::rejected(
            what,
            "free some disk space on the computer of the container engine",
        ));
    }
    None
}

impl ContainerMachine {
    fn container(&self, unit: &str) -> String {
        config::unit_name(&self.note.spec.id, unit)
    }
    fn docker(&self) -> &bollard::Docker {
        &self.engine.docker
    }

    async fn load(&self, unit: &str) -> Result<Option<UnitNote>> {
        check_unit_name(unit)?;
        let path = config::unit_note(&self.shared.home, &self.note.spec.id, unit);
        off_thread(move || disk::load(&path)).await
    }
    async fn save(&self, note: &UnitNote) -> Result<()> {
        let path = config::unit_note(&self.shared.home, &self.note.spec.id, &note.spec.name);
        let note = note.clone();
        off_thread(move || disk::save(&path, &note)).await
    }

    /// What the engine says of a unit.
    async fn see(&self, unit: &str) -> Result<Seen> {
        let what = format!("looking at {unit}");
        let begun = Instant::now();
        let found = loop {
            let found = raw::container(&self.engine, &what, &self.container(unit)).await?;
            let ending = found.as_ref().is_some_and(|c| c.state.status == ENDING);
            if !ending || begun.elapsed() > ENDS_WITHIN {
                break found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        Ok(match found {
            Some(found) => {
                Seen::of(&found.state, found.config.labels.and_then(|mut labels| labels.remove(config::SPEC)))
            }
            None => Seen { how: "its container is gone".to_owned(), ..Seen::default() },
        })
    }

    /// Starts a unit, or leaves it alone when it runs.
    pub(super) async fn start_unit(&self, spec: &UnitSpec) -> Result<()> {
        let lock = self.shared.lock(&self.container(&spec.name)).await;
        let (before, mut seen) = (self.load(&spec.name).await?, self.see(&spec.name).await?);
        if seen.running {
            match &before {
                Some(note) if note.intent == Intent::Run => {
                    if note.spec.starts_as(spec) {
                        return Ok(());
                    }
                    return Err(DriverError::rejected(
                        format!("{} runs already, started in another way", spec.name),
                        "stop it first, then start it",
                    ));
                }
                // A stop that was cut short: it may be about to end.
                _ => {
                    self.end(spec).await?;
                    seen = self.see(&spec.name).await?;
                }
            }
        }
        let note = match before {
            Some(note) if note.crashed(&seen) => note.again(spec, &seen, now_ms()),
            _ => UnitNote::fresh(spec, now_ms()),
        };
        self.launch(&note, &seen).await?;
        drop(lock);
        Ok(())
    }

    /// Notes what is wanted, then does it: a kill in between leaves a unit that the watcher starts.
    async fn launch(&self, note: &UnitNote, seen: &Seen) -> Result<()> {
        let name = note.spec.name.as_str();
        self.save(note).await?;
        let container = self.container(name);
        let label = label(&note.spec, &self.note.request.plan);
        if seen.there && seen.spec.as_deref() != Some(label.as_str()) {
            self.remove_unit_container(name).await?;
        }
        if !seen.there || seen.spec.as_deref() != Some(label.as_str()) {
            let options = CreateContainerOptionsBuilder::default().name(&container).build();
            let made = self.docker().create_container(Some(options), self.unit_body(&note.spec, &label));
            asked(&format!("making the container of {name}"), ACTS_WITHIN, made).await?;
        }
        let what = format!("starting {}", note.spec.program.display());
        let started = asked(&what, ACTS_WITHIN, self.docker().start_container(&container, None)).await;
        if let Err(e) = started {
            // Its machine's container may have ended with the engine or the computer.
            if !self.bring_up().await? {
                return Err(not_started(&note.spec, e));
            }
            let again = asked(&what, ACTS_WITHIN, self.docker().start_container(&container, None)).await;
            again.map_err(|e| not_started(&note.spec, e))?;
        }
        tokio::time::sleep(FIRST_MOMENTS).await;
        let seen = self.see(name).await?;
        if seen.running {
            return Ok(());
        }
        let words = self.words_at_the_end(&container, &seen).await;
        // The small first process is what the engine starts; that it finds no program shows in its words or its status.
        if words.contains("failed to exec") || matches!(seen.status, Some(126 | 127)) {
            return Err(not_a_program(&note.spec));
        }
        explain(name, &words).map_or(Ok(()), Err)
    }

    /// What a unit that just failed said last. The engine may know that it ended before it has written down its words.
    async fn words_at_the_end(&self, container: &str, seen: &Seen) -> String {
        let begun = Instant::now();
        loop {
            let words = log::last_words(&self.engine, container, LAST_LINES).await;
            if !words.is_empty() || seen.status.is_none_or(|code| code == 0) || begun.elapsed() > WORDS_WITHIN
            {
                return words;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn unit_body(&self, spec: &UnitSpec, label: &str) -> ContainerCreateBody {
        let plan = &self.note.request.plan;
        let id = &self.note.spec.id;
        let limit = spec.memory_bytes.unwrap_or(plan.memory_bytes).min(plan.memory_bytes);
        let memory = i64::try_from(limit).ok();
        let labels = [
            (config::CLUSTER, self.note.request.cluster.as_str()),
            (config::MACHINE, id.as_str()),
            (config::UNIT, spec.name.as_str()),
            (config::SPEC, label),
        ];
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![spec.program.to_string_lossy().into_owned()]),
            cmd: Some(spec.args.clone()),
            user: Some(config::USER.to_owned()),
            working_dir: Some(config::ROOT.to_owned()),
            env: Some(vec!["LANG=C.UTF-8".to_owned(), format!("HOME={}", config::ROOT)]),
            labels: Some(config::labels(&self.shared.home_id, &labels)),
            stop_signal: Some("SIGTERM".to_owned()),
            stop_timeout: i64::try_from(seconds(spec.stop_grace)).ok(),
            host_config: Some(HostConfig {
                // Reaps what the server leaves behind, and passes signals on.
                init: Some(true),
                network_mode: Some(format!("container:{}", config::machine_name(id))),
                mounts: Some(vec![volume(id)]),
                tmpfs: Some(scratch()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                memory,
                // As much as the memory: none beyond it.
                memory_swap: memory,
                nano_cpus: Some(i64::from(plan.cpus) * 1_000_000_000),
                pids_limit: Some(plans::processes(limit)),
                shm_size: Some(plans::shared_memory(limit)),
                log_config: Some(log::config(self.engine.podman)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Stops a unit and waits for its end.
    pub(super) async fn stop_unit(&self, name: &str) -> Result<()> {
        let Some(mut note) = self.load(name).await? else { return Ok(()) };
        let lock = self.shared.lock(&self.container(name)).await;
        // First the wish, then the deed: a kill in between leaves a unit that nobody restarts.
        if note.intent != Intent::Stop {
            note.intent = Intent::Stop;
            self.save(&note).await?;
        }
        self.end(&note.spec).await?;
        drop(lock);
        Ok(())
    }

    /// Asks the server to end, and makes it when it does not.
    async fn end(&self, spec: &UnitSpec) -> Result<()> {
        if !self.see(&spec.name).await?.running {
            return Ok(());
        }
        let container = self.container(&spec.name);
        // One that was suspended would never see the wish. It may end in between.
        let wake = KillContainerOptionsBuilder::default().signal("SIGCONT").build();
        drop(asked("waking", ANSWERS_WITHIN, self.docker().kill_container(&container, Some(wake))).await);
        let grace = seconds(spec.stop_grace);
        let options =
            StopContainerOptionsBuilder::default().t(i32::try_from(grace).unwrap_or(i32::MAX)).build();
        let limit = Duration::from_secs(grace) + KILL_WAIT;
        let stopped = self.docker().stop_container(&container, Some(options));
        or_gone(asked(&format!("stopping {}", spec.name), limit, stopped).await)
    }

    /// Stops a unit of a machine that is being taken away, and takes its container away.
    pub(super) async fn discard_unit(&self, name: &str) -> Result<()> {
        if let Err(e) = self.stop_unit(name).await {
            tracing::warn!(unit = name, error = %e, "is ended without having been asked");
        }
        self.remove_unit_container(name).await
    }

    /// Ends a unit and takes its container away; whether it is meant to run stays noted.
    pub(super) async fn clear_unit(&self, name: &str) -> Result<()> {
        let _one = self.shared.lock(&self.container(name)).await;
        if let Some(note) = self.load(name).await? {
            self.end(&note.spec).await?;
        }
        self.remove_unit_container(name).await
    }

    /// Starts the units that are meant to run and have no container any more, in the image that the machine has now.
    pub(super) async fn wake_units(&self) -> Result<()> {
        for name in self.unit_names().await? {
            let _one = self.shared.lock(&self.container(&name)).await;
            let (note, seen) = (self.load(&name).await?, self.see(&name).await?);
            if let Some(note) = note.filter(|note| note.intent == Intent::Run && !seen.there) {
                self.launch(&UnitNote::fresh(&note.spec, now_ms()), &seen).await?;
            }
        }
        Ok(())
    }

    async fn remove_unit_container(&self, name: &str) -> Result<()> {
        remove_container(&self.engine, &self.container(name)).await
    }

    /// What became of a unit.
    pub(super) async fn unit_state(&self, name: &str) -> Result<UnitState> {
        let Some(note) = self.load(name).await? else { return Ok(UnitState::Absent) };
        let seen = self.see(name).await?;
        if seen.running {
            let since_ms = seen.since_ms.unwrap_or(note.asked_ms);
            return Ok(UnitState::Running { pid: seen.pid, since_ms, restarts: note.restarts });
        }
        if note.intent == Intent::Stop {
            return Ok(UnitState::Stopped);
        }
        let words = if seen.there {
            log::last_words(&self.engine, &self.container(name), LAST_LINES).await
        } else {
            String::new()
        };
        let detail = match words.is_empty() {
            true => seen.how,
            false => format!("{}; its log ends:\n{words}", seen.how),
        };
        Ok(UnitState::Crashed { detail, restarts: note.restarts })
    }

    /// What a unit has used.
    pub(super) async fn unit_usage(&self, name: &str) -> Result<UnitUsage> {
        if self.load(name).await?.is_none() {
            return Err(DriverError::Gone { what: format!("the unit {name}") });
        }
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let container = self.container(name);
        let mut stats = std::pin::pin!(self.docker().stats(&container, Some(options)));
        let first = tokio::time::timeout(ANSWERS_WITHIN, stats.next()).await;
        // One that does not run has no figures; that is no failure.
        let Ok(Some(Ok(stats))) = first else { return Ok(UnitUsage::default()) };
        let cpu = stats.cpu_stats.and_then(|c| c.cpu_usage).and_then(|u| u.total_usage);
        let memory = stats.memory_stats.and_then(|m| {
            // Files that the kernel keeps in memory only because it is free do not count.
            let detail = m.stats.unwrap_or_default();
            let cache =
                ["inactive_file", "total_inactive_file"].iter().find_map(|name| detail.get(*name)).copied();
            Some(m.usage?.saturating_sub(cache.unwrap_or(0)))
        });
        Ok(UnitUsage {
            cpu_ms: cpu.filter(|nanos| *nanos > 0).map(|nanos| nanos / 1_000_000),
            memory_bytes: memory.filter(|bytes| *bytes > 0),
        })
    }

    /// All units there are notes of.
    pub(super) async fn unit_names(&self) -> Result<Vec<String>> {
        let dir = config::units_dir(&self.shared.home, &self.note.spec.id);
        let mut names: Vec<String> = off_thread(move || disk::names(&dir))
            .await?
            .iter()
            .filter_map(|file| file.strip_suffix(".json"))
            .filter(|name| check_unit_name(name).is_ok())
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Whether a crashed unit's waiting time is over.
    pub(super) async fn unit_due(&self, name: &str) -> Result<bool> {
        let Some(note) = self.load(name).await? else { return Ok(false) };
        if note.intent != Intent::Run || !note.spec.restart {
            return Ok(false);
        }
        Ok(note.due(&self.see(name).await?, now_ms()))
    }

    /// Starts a crashed unit again, when that is due; says whether it did.
    pub(super) async fn restart_unit(&self, name: &str) -> Result<bool> {
        let lock = self.shared.lock(&self.container(name)).await;
        let Some(note) = self.load(name).await? else { return Ok(false) };
        let seen = self.see(name).await?;
        if !note.due(&seen, now_ms()) {
            return Ok(false);
        }
        self.launch(&note.again(&note.spec, &seen, now_ms()), &seen).await?;
        drop(lock);
        Ok(true)
    }

    /// Lines of a unit's log.
    pub(super) async fn unit_log(
        &self,
        name: &str,
        lines: usize,
        after: Option<u64>,
    ) -> Result<(Vec<String>, u64)> {
        check_unit_name(name)?;
        match log::read(&self.engine, &self.container(name), lines, after).await {
            Err(DriverError::Gone { .. }) => Ok((Vec::new(), 0)),
            other => other,
        }
    }
}

/// Takes a container away, whatever it does; gone already counts as done.
pub(super) async fn remove_container(engine: &Engine, name: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    or_gone(
        asked("removing a container", ACTS_WITHIN, engine.docker.remove_container(name, Some(options))).await,
    )
}

/// A spec and its limits as a container's label carries them: with others it is made anew, since an engine changes some of
/// them later (memory, cores) and some not (shared memory).
fn label(spec: &UnitSpec, plan: &Plan) -> String {
    format!("{} in {}", serde_json::to_string(spec).unwrap_or_default(), plan.id)
}

fn not_started(spec: &UnitSpec, error: DriverError) -> DriverError {
    let lower = error.to_string().to_lowercase();
    let lost = ["no such file", "not found", "permission denied"].iter().any(|words| lower.contains(words));
    if lost { not_a_program(spec) } else { error }
}

fn not_a_program(spec: &UnitSpec) -> DriverError {
    DriverError::rejected(
        format!("{} cannot be started: it is not a program of the machine's image", spec.program.display()),
        "`clusterdeck doctor` shows which images are found; name another one in the settings",
    )
}

/// Whole seconds, rounded up: engines count in those.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
