//! The program is killed in the steps of every act. Whoever starts next must end with a healthy cluster or none, with
//! every acknowledged write, and with nothing left of what is gone.
//!
//! All steps of all acts take hours, so a run kills each act at some of them, other ones every sixth day; `cargo xtask test
//! --thorough` kills at all of them.
//!
//! Debug builds of the program end themselves where `CLUSTERDECK_FAULT` says, as by a power cut: `after` a step (it has
//! acted, the journal does not know) and once it is `noted`; `before` for the first.

mod backups;
mod containers;
mod mysql;
mod nodes;
mod postgres;
mod sharded;
mod switches;
mod unwinding;
mod whole;

use crate::home::{Ended, Home, LOOK, PATIENCE};
use clusterdeck_tests::{
    client::{Ledger, Writer},
    proofs::{Proofs, Seen, Subject},
};
use serde_json::Value;
use std::{collections::VecDeque, time::Instant};

/// At most so many kills of one act a day: where only the worst moments are tried, and where all are.
const OF_THE_WORST: usize = 2;
const OF_ALL: usize = 4;

/// The signal of `abort`.
const SIGABRT: i32 = 6;

/// A change, and the words that ask for it as the cluster is now.
pub(super) type Act = fn(&Home) -> Vec<String>;

/// One place to be killed at.
#[derive(Clone)]
pub(super) struct Point {
    kind: String,
    step: String,
    point: &'static str,
}

/// A home, its cluster `demo`, and what was written to it.
pub(super) struct Story {
    pub(super) home: Home,
    ledger: Ledger,
    sharded: bool,
    /// The vault without a password in it.
    empty_vault: u64,
    /// What is deleted can be brought back, with all that was written.
    comes_back: bool,
    kills: u32,
    /// Only after each step, when it has acted and the journal does not know: the worst moment. The others are tried on
    /// Redis, whose acts are faster.
    only_after: bool,
    /// Writes to clusters that are gone by now.
    before: usize,
    /// The cluster as it was when it was last seen whole.
    subject: Option<Subject>,
    proofs: Proofs,
}

impl Story {
    pub(super) fn begin(sharded: bool) -> Self {
        Self::begin_in(Home::new(), sharded)
    }

    fn begin_in(home: Home, sharded: bool) -> Self {
        // Doctor keeps a secret and forgets it again: the vault as it must be when nothing is left.
        home.run(&["doctor"]).status(0);
        let empty_vault = home.vault_size();
        assert!(empty_vault > 0, "there is a vault");
        Self {
            home,
            ledger: Ledger::new(sharded),
            sharded,
            empty_vault,
            comes_back: false,
            kills: 0,
            only_after: false,
            before: 0,
            subject: None,
            proofs: Proofs::default(),
        }
    }

    /// One that is killed only after each step, when it has acted and the journal does not know.
    pub(super) fn only_after() -> Self {
        Self { only_after: true, ..Self::begin(false) }
    }

    /// The same in a home of another kind.
    pub(super) fn only_after_in(home: Home) -> Self {
        Self { only_after: true, ..Self::begin_in(home, false) }
    }

    /// Runs acts that lead back to where they began, in turn, until each was killed everywhere, or everywhere that is due
    /// today.
    pub(super) fn kill_everywhere(&mut self, acts: &[Act]) {
        let mut due: Vec<VecDeque<Point>> = Vec::new();
        let mut done = Vec::new();
        for act in acts {
            let before = self.subject.clone();
            let operation = self.plainly(*act);
            let mut points = points(&operation);
            points.retain(|p| p.point == "after" || !self.only_after);
            due.push(due_today(points, if self.only_after { OF_THE_WORST } else { OF_ALL }));
            done.push((before.or_else(|| self.subject.clone()), operation));
        }
        while due.iter().any(|points| !points.is_empty()) {
            for (act, points) in acts.iter().zip(&mut due) {
                match points.pop_front() {
                    Some(point) => self.kill(*act, &point),
                    None => drop(self.plainly(*act)),
                }
            }
        }
        done.into_iter().for_each(|(before, operation)| self.note(before, &operation, Seen::Killed));
        println!("{} kills, {} writes acknowledged, none lost", self.kills, self.before + self.ledger.len());
    }

    /// Lets an act run to its end.
    pub(super) fn plainly(&mut self, act: Act) -> Value {
        let words = act(&self.home);
        let before = self.subject.clone();
        let operation = self.home.change(&words.iter().map(String::as_str).collect::<Vec<_>>());
        self.is_whole("after it ran to its end");
        self.note(before, &operation, Seen::Ran);
        operation
    }

    /// Kills each act in turn after its steps of these names (a `*` stands for a node's), and nowhere else.
    pub(super) fn kill_at(&mut self, moments: &[(Act, &str, &str)]) {
        for (act, kind, step) in moments {
            let point = Point { kind: (*kind).to_owned(), step: (*step).to_owned(), point: "after" };
            self.kill(*act, &point);
        }
        println!("{} kills, {} writes acknowledged, none lost", self.kills, self.before + self.ledger.len());
    }

    /// Kills an act at this point; the next command must bring it to its end.
    pub(super) fn kill(&mut self, act: Act, point: &Point) {
        let begun = Instant::now();
        self.abort(act, point);
        let killed = begun.elapsed();
        let (operation, when) = self.taken_up(point);
        assert_eq!(operation["state"], "succeeded", "{when}: {operation:#}");
        let taken = begun.elapsed();
        self.is_whole(&when);
        println!(
            "{when}: {killed:?} to the kill, taken up in {:?}, whole in {:?}",
            taken - killed,
            begun.elapsed() - taken
        );
    }

    /// Notes an act as seen to work, on the cluster as it was before, or on the one that came of it.
    fn note(&mut self, before: Option<Subject>, operation: &Value, seen: Seen) {
        if let (Some(subject), Some(kind)) =
            (before.or_else(|| self.subject.clone()), operation["kind"].as_str())
        {
            self.proofs.note(&subject, kind, seen);
        }
    }

    /// Starts an act that is killed at this point, and sees that it was.
    pub(super) fn abort(&mut self, act: Act, point: &Point) -> Ended {
        let words = act(&self.home);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let fault = format!("{}:{}:{}", point.kind, point.step, point.point);
        let ended = self.home.settled(&words, |command| {
            command.env("CLUSTERDECK_FAULT", &fault);
        });
        self.was_killed(&ended, point);
        ended
    }

    /// A test that was not killed where it wanted to be has tested nothing.
    pub(super) fn was_killed(&mut self, ended: &Ended, point: &Point) {
        let Point { kind, step, point } = point;
        assert_eq!(ended.signal, Some(SIGABRT), "it was not killed at {kind}:{step}:{point}: {ended}");
        let log = self.home.log();
        let last = log.lines().rfind(|l| l.contains("fault point reached")).unwrap_or_default();
        let exact = [format!("kind=\"{kind}\""), format!("point=\"{point}\"")];
        let begins = format!("step=\"{}", step.trim_end_matches('*'));
        assert!(
            exact.iter().all(|part| last.contains(part)) && last.contains(&begins),
            "it was killed elsewhere than at {kind}:{step}:{point}: {last}"
        );
        self.kills += 1;
    }

    /// The next command takes up what was left and ends when that has ended; what became of it, and words for messages.
    pub(super) fn taken_up(&self, point: &Point) -> (Value, String) {
        let when = format!("killed at {}:{}:{}", point.kind, point.step, point.point);
        let next = self.home.run(&["cluster", "list"]);
        assert_eq!(next.status, Some(0), "{when}: {next}");
        // It says so on standard error only when it is not done before anybody could ask, so the list is what counts.
        let newest = self.home.ask(&["operation", "list", "--limit", "1"])["items"][0].clone();
        assert_eq!(newest["kind"], point.kind.as_str(), "{when}: {newest:#}");
        (newest, when)
    }

    /// A healthy cluster with every write, or no cluster and nothing of it.
    pub(super) fn is_whole(&mut self, when: &str) {
        let begun = Instant::now();
        let wrong = loop {
            let wrong = match self.home.cluster() {
                None => return self.is_gone(when),
                Some(cluster) => {
                    self.subject = Some(Subject::of(&cluster));
                    wrong_with(&cluster)
                }
            };
            if wrong.is_none() || begun.elapsed() > PATIENCE {
                break wrong;
            }
            std::thread::sleep(LOOK);
        };
        assert_eq!(wrong, None, "{when}");
        let url = self.home.url();
        self.ledger.check(&url, when);
        self.ledger.write(&url);
    }

    /// Nothing is left: no process, no folder, no password.
    pub(super) fn is_gone(&mut self, when: &str) {
        assert_eq!(self.home.left_behind(), Vec::<String>::new(), "{when}");
        assert_eq!(self.home.vault_size(), self.empty_vault, "{when}: a password is left in the vault");
        self.subject = None;
        if self.comes_back {
            return;
        }
        self.before += self.ledger.len();
        self.ledger = Ledger::new(self.sharded);
    }

    /// From here on the key of the backups is in the vault also when nothing else is, and what is deleted can be brought back.
    pub(super) fn the_key_stays(&mut self) {
        let with_a_cluster = self.home.vault_size();
        self.home.change(&["cluster", "delete", "demo", "--yes", "--confirm", "demo"]);
        self.empty_vault = self.home.vault_size();
        assert!(self.empty_vault < with_a_cluster, "the passwords of the cluster are gone");
        self.comes_back = true;
        self.plainly(|_| words(&["cluster", "recover", "demo", "--yes"]));
    }

    pub(super) fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

/// What is not as it should be; a drained node is as it should be.
fn wrong_with(cluster: &Value) -> Option<String> {
    let nodes = cluster["nodes"].as_array().unwrap();
    let drained = nodes.iter().any(|n| n["drained"] == true);
    let whole = cluster["health"] == "healthy" || drained && cluster["health"] == "degraded";
    let sound = nodes.iter().all(|n| n["drained"] == true || n["health"] == "healthy");
    let settled = cluster["busy"].is_null() && (cluster["state"] == "running" || drained);
    (!(whole && sound && settled)).then(|| format!("{cluster:#}"))
}

/// Where an operation that ran to its end can be killed.
pub(super) fn points(operation: &Value) -> Vec<Point> {
    let kind = operation["kind"].as_str().unwrap();
    let steps = operation["steps"].as_array().unwrap();
    let mut points = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let step = unnamed(step["name"].as_str().unwrap());
        let at = |point| Point { kind: kind.to_owned(), step: step.clone(), point };
        if index == 0 {
            points.push(at("before"));
        }
        points.extend([at("after"), at("noted")]);
    }
    assert!(points.len() > 2, "an operation has steps: {operation:#}");
    points
}

/// The share of these points that is due: so many, spread over the act, and other ones every sixth day until all had their
/// turn. All of them, where `CLUSTERDECK_EVERY_KILL` is set.
fn due_today(points: Vec<Point>, most: usize) -> VecDeque<Point> {
    if std::env::var_os("CLUSTERDECK_EVERY_KILL").is_some() || points.len() <= most {
        return points.into();
    }
    let stride = points.len().div_ceil(most);
    // Most stories run on every sixth day only (`xtask/src/turns.rs`): counted in days, those would meet the same points.
    let round = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / (6 * 86_400);
    let first = usize::try_from(round).unwrap_or_default() % stride;
    println!("{}: every {stride}th of {} points from the {first}th", points[0].kind, points.len());
    points.into_iter().skip(first).step_by(stride).collect()
}

/// A step named after a node has another name the next time: `join-demo-4` is `join-*`.
fn unnamed(step: &str) -> String {
    step.split_once("-demo-").map_or_else(|| step.to_owned(), |(act, _)| format!("{act}-*"))
}

/// Words of a change.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// Makes a cluster of this shape, kills these acts everywhere while a client writes, then takes the cluster down.
fn killed_under_writes(sharded: bool, shape: &[&str], acts: &[Act]) {
    under_writes(Story::begin(sharded), shape, &[acts]);
}

/// As [`killed_under_writes`]; each group of acts leads back to where it began.
fn under_writes(mut story: Story, shape: &[&str], groups: &[&[Act]]) {
    let sharded = story.sharded;
    story.home.create(shape);
    story.is_whole("just made");
    let writer = Writer::start(story.home.url(), sharded);
    groups.iter().for_each(|acts| story.kill_everywhere(acts));
    let written = writer.stop();
    println!(
        "the client: {} writes, longest gap {:?}, {} errors",
        written.acknowledged.len(),
        written.longest_gap,
        written.errors
    );
    assert!(written.acknowledged.len() > 500, "the client must have written: {}", written.acknowledged.len());
    story.ledger().add(&written);
    story.is_whole("at the end");
    story.plainly(|_| {
        words(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"])
    });
}
