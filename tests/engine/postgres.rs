//! PostgreSQL under every failure there is: whoever dies or hangs, two nodes never take writes, with synchronous replication
//! no acknowledged write is lost, and afterwards all members are on one timeline.

use crate::home::{Home, missing, processes_of};
use clusterdeck_domain::{
    Change, ClusterOption, ClusterOptions, CreateCluster, Health, OptionWish, PlanId, ServiceKind, Topology,
};
use clusterdeck_tests::client::Writer;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Watches the nodes themselves, not what anybody says of them.
struct Watch {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<Option<String>>>,
}

impl Watch {
    /// `urls`: each node's own address, as people connect.
    fn start(urls: Vec<String>) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (end, count) = (stop.clone(), looks.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut nodes: Vec<Node> = urls.into_iter().map(Node::new).collect();
                // Of two looks in a row: within one the nodes are not asked in the same instant.
                let mut before = 0;
                while !end.load(Ordering::Relaxed) {
                    let asked = nodes.iter_mut().map(Node::takes_writes);
                    let answers: Vec<bool> = futures::future::join_all(asked).await;
                    let writable = answers.iter().filter(|w| **w).count();
                    if writable.min(before) > 1 {
                        return Some(format!("two nodes take writes: {answers:?}"));
                    }
                    before = writable;
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                None
            })
        });
        Self { stop, looks, thread: Some(thread) }
    }
    fn stop(mut self, when: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let found = self.thread.take().unwrap().join().unwrap();
        assert_eq!(found, None, "{when}");
        assert!(self.looks.load(Ordering::Relaxed) > 10, "{when}: it was looked at");
    }
}

/// A node as people reach it past the endpoint. The connection is kept: signing in anew each time would take too long.
struct Node {
    url: String,
    open: Option<(tokio_postgres::Client, tokio::task::JoinHandle<()>)>,
}

impl Node {
    fn new(url: String) -> Self {
        Self { url, open: None }
    }
    async fn takes_writes(&mut self) -> bool {
        let asked = tokio::time::timeout(Duration::from_millis(800), self.ask()).await;
        let answer = asked.ok().flatten();
        if answer.is_none() {
            self.open.take().inspect(|(_, connection)| connection.abort());
        }
        answer == Some(true)
    }
    async fn ask(&mut self) -> Option<bool> {
        if self.open.is_none() {
            let (client, connection) =
                tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.ok()?;
            self.open = Some((client, tokio::spawn(async move { drop(connection.await) })));
        }
        let (client, _) = self.open.as_ref()?;
        let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.ok()?;
        Some(!row.get::<_, bool>(0))
    }
}

/// Sends a signal to a process of this test; whether it was still there.
fn kill(signal: &str, pid: u32) -> bool {
    let sent = std::process::Command::new("kill").args([signal, &pid.to_string()]).output().unwrap();
    sent.status.success()
}

/// What is done to processes.
#[derive(Clone, Copy)]
enum Harm {
    /// Whoever watches over them may start them again at once.
    Killed,
    Hangs(Duration),
}

/// A home with a cluster of three, and who is who in it.
struct Ground {
    home: Home,
    url: String,
    nodes: Vec<String>,
}

impl Ground {
    async fn new(options: OptionWish) -> Self {
        let home = Home::open().await;
        let wish = CreateCluster {
            name: "demo".to_owned(),
            service: ServiceKind::Postgresql,
            version: None,
            topology: Some(Topology::PrimaryReplica),
            nodes: Some(3),
            shards: None,
            provider: None,
            region: None,
            plan: PlanId::parse("NANO-1C-256M").ok(),
            protected: false,
            auto_failover: None,
            options: Some(options),
        };
        home.done(Change::CreateCluster(wish)).await;
        home.until_healthy().await;
        let url = home.url().await;
        let (scheme, _) = url.split_once('@').unwrap();
        let cluster = home.cluster().await;
        let nodes = cluster.spec.data_nodes().map(|n| format!("{scheme}@{}:5432/app", n.machine.address));
        Self { nodes: nodes.collect(), url, home }
    }
    /// Processes of a node whose command line holds one of these words, with all below them.
    async fn pids(&self, node: &str, fits: impl Fn(&str) -> bool) -> Vec<u32> {
        let cluster = self.home.cluster().await;
        let machine = cluster.spec.find_node(node).unwrap().machine.id.to_string();
        let all = processes_of(self.home.dir.path());
        let line = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        };
        let inside = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| cwd.to_string_lossy().contains(&machine))
        };
        all.into_iter().filter(|pid| inside(pid) && fits(&line(pid))).collect()
    }
    /// Does something bad to a node's processes that fit, puts it right again, and expects a whole cluster.
    async fn drill(&self, what: &str, nodes: &[&str], fits: impl Fn(&str) -> bool, harm: Harm) -> Duration {
        let (writer, watch) = (Writer::start(self.url.clone(), false), Watch::start(self.nodes.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let (signal, lasting) = match harm {
            Harm::Killed => ("-9", Duration::from_millis(500)),
            Harm::Hangs(lasting) => ("-STOP", lasting),
        };
        // Until there is none left that was not met: servers' backends come and go, those of our own clients too, and one
        // that is forgotten goes on answering for a node that should hang.
        let mut met = Vec::new();
        loop {
            let mut found = Vec::new();
            for node in nodes {
                found.extend(self.pids(node, &fits).await);
            }
            found.retain(|pid| !met.contains(pid) && kill(signal, *pid));
            let all = found.is_empty() || matches!(harm, Harm::Killed);
            met.extend(found);
            if all {
                break;
            }
        }
        assert!(!met.is_empty(), "{what}: there was such a process");
        tokio::time::sleep(lasting).await;
        if matches!(harm, Harm::Hangs(_)) {
            // Those that were ended meanwhile are gone.
            for pid in met {
                kill("-CONT", pid);
            }
        }
        self.one_timeline(what).await;
        let whole = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(500)).await;
        watch.stop(what);
        let written = writer.stop();
        let lost = missing(&self.url, &written);
        println!(
            "{what}: client waited {:?}, {} acknowledged, {} errors, {} lost, whole again after {whole:?}",
            written.longest_gap,
            written.acknowledged.len(),
            written.errors,
            lost.len()
        );
        assert!(written.acknowledged.len() > 50, "{what}: the client must have written");
        assert_eq!(lost, Vec::<u64>::new(), "{what}: acknowledged writes are gone");
        written.longest_gap
    }

    /// Healthy for four seconds (two looks), and every member on the same timeline.
    async fn one_timeline(&self, when: &str) {
        let since = std::sync::Mutex::new(None);
        self.home
            .until(&format!("{when}: healthy and on one timeline"), |c| {
                let seen = c.observed.as_ref().unwrap();
                let mut lines: Vec<&str> = seen
                    .nodes
                    .iter()
                    .filter_map(|n| n.facts.iter().find(|f| f.id == "timeline").map(|f| f.value.as_str()))
                    .collect();
                let known = lines.len();
                lines.dedup();
                let votes = seen.votes.is_some_and(|v| v.present == v.total);
                let whole = c.health == Health::Healthy && votes && known == 3 && lines.len() == 1;
                let mut since = since.lock().unwrap();
                let begun = *since.get_or_insert_with(Instant::now);
                if !whole {
                    *since = None;
                }
                whole && begun.elapsed() > Duration::from_secs(4)
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_makes_two_writers_or_loses_a_synchronous_write() {
    let ground =
        Ground::new(OptionWish { stop_writes_without_replica: Some(true), synchronous: Some(true) }).await;
    let cluster = ground.home.cluster().await;
    assert_eq!(
        cluster.spec.options,
        ClusterOptions { stop_writes_without_replica: true, synchronous: true },
        "as asked for"
    );
    let hangs = |seconds| Harm::Hangs(Duration::from_secs(seconds));
    let patroni = |line: &str| line.contains("launch.py") && !line.contains("guard.py");
    let guard = |line: &str| line.contains("guard.py");
    let postmaster = |line: &str| line.contains("/bin/postgres");
    let postgres = |line: &str| line.starts_with("postgres") || line.contains("/bin/postgres");
    let etcd = |line: &str| line.contains("etcd.yml");

    let primary = ground.home.primary().await;
    ground.drill("Patroni of the primary killed", &[&primary], patroni, Harm::Killed).await;
    let primary = ground.home.primary().await;
    ground.drill("Patroni of the primary hangs for 12 s", &[&primary], patroni, hangs(12)).await;
    let primary = ground.home.primary().await;
    ground.drill("the guard of the primary killed", &[&primary], guard, Harm::Killed).await;
    let primary = ground.home.primary().await;
    ground.drill("PostgreSQL of the primary killed", &[&primary], postmaster, Harm::Killed).await;
    let primary = ground.home.primary().await;
    ground.drill("PostgreSQL of the primary hangs for 12 s", &[&primary], postgres, hangs(12)).await;
    let primary = ground.home.primary().await;
    ground.drill("etcd beside the primary killed", &[&primary], etcd, Harm::Killed).await;
    let primary = ground.home.primary().await;
    ground.drill("etcd beside the primary hangs for 8 s", &[&primary], etcd, hangs(8)).await;
    ground.drill("the majority of etcd hangs for 8 s", &["demo-1", "demo-2"], etcd, hangs(8)).await;
    let primary = ground.home.primary().await;
    ground.drill("everything on the primary killed", &[&primary], |_| true, Harm::Killed).await;
    let primary = ground.home.primary().await;
    let gap =
        ground.drill("everything on the primary hangs for 16 s", &[&primary], |_| true, hangs(16)).await;
    assert!(gap < Duration::from_secs(16), "another one took over while it hung: {gap:?}");

    // A promotion to the one that is not the synchronous replica. Patroni chooses that one anew when a member comes back.
    let asynchronous = |c: &clusterdeck_engine::ClusterReport| {
        let nodes = &c.observed.as_ref()?.nodes;
        let found = nodes
            .iter()
            .find(|n| n.facts.iter().any(|f| f.id == "replication" && f.value == "asynchronous"))?;
        c.spec.node(&found.node).map(|n| n.name.clone())
    };
    let name = ground.home.found("one of two replicas is asynchronous", asynchronous).await;
    let writer = Writer::start(ground.url.clone(), false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let promoted = ground.home.done(Change::PromoteNode { node: name.clone() }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let written = writer.stop();
    println!(
        "promoted with synchronous replication: measured {:?} ms, client waited {:?}",
        promoted.outcome.write_gap_ms, written.longest_gap
    );
    assert_eq!(ground.home.primary().await, name);
    assert_eq!(missing(&ground.url, &written), Vec::<u64>::new());
    ground.one_timeline("promoted").await;
    let off = OptionWish::only(ClusterOption::Synchronous, false);
    ground.home.done(Change::SetOptions { cluster: "demo".to_owned(), options: off }).await;
    assert_eq!(ground.home.cluster().await.spec.options, ClusterOptions::OFF, "what needs it went with it");
    ground.home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(ground.home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_automatic_failover_the_same_node_leads_again_and_another_only_when_asked() {
    let ground = Ground::new(OptionWish::default()).await;
    let off = Change::SetAutoFailover { cluster: "demo".to_owned(), enabled: false };
    ground.home.done(off).await;
    let postmaster = |line: &str| line.contains("/bin/postgres");
    ground.drill("PostgreSQL killed, nobody may take over", &["demo-1"], postmaster, Harm::Killed).await;
    assert_eq!(ground.home.primary().await, "demo-1", "it leads again");
    ground.drill("everything killed, nobody may take over", &["demo-1"], |_| true, Harm::Killed).await;
    assert_eq!(ground.home.primary().await, "demo-1", "it leads again");
    ground.home.done(Change::PromoteNode { node: "demo-3".to_owned() }).await;
    assert_eq!(ground.home.primary().await, "demo-3", "a person may");
    ground.drill("killed after a promotion", &["demo-3"], postmaster, Harm::Killed).await;
    assert_eq!(ground.home.primary().await, "demo-3", "the one that was promoted leads again");
    ground.home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(ground.home.left_behind().await, Vec::<String>::new());
}

/// Writes that a replica needs a while to receive.
async fn fill(url: &str, rows: u32) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let open = tokio::spawn(connection);
    let text = format!(
        "CREATE TABLE IF NOT EXISTS filler (t text); \
         INSERT INTO filler SELECT repeat(md5(n::text), 32) FROM generate_series(1, {rows}) n"
    );
    client.batch_execute(&text).await.unwrap();
    drop(client);
    drop(open.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_far_behind_is_not_promoted_by_anybody_and_catches_up() {
    let ground = Ground::new(OptionWish::default()).await;
    assert_eq!(ground.home.primary().await, "demo-1");
    // What receives hangs; the server answers and believes that it follows.
    let receiver = ground.pids("demo-3", |l| l.contains("walreceiver")).await;
    assert_eq!(receiver.len(), 1, "a replica has one receiver");
    assert!(kill("-STOP", receiver[0]));
    fill(&ground.url, 60_000).await;
    let far = |c: &clusterdeck_engine::ClusterReport| {
        let node = c.spec.find_node("demo-3").unwrap();
        let seen = c.observed.as_ref().and_then(|o| o.node(&node.id));
        seen.and_then(|n| n.lag_bytes).is_some_and(|lag| lag > 32 << 20)
    };
    ground.home.until("demo-3 must be seen to be far behind", far).await;
    let asked = ground.home.engine.preview(Change::PromoteNode { node: "demo-3".to_owned() }).await.unwrap();
    let why: Vec<&str> = asked.preview.blockers.iter().map(|b| b.code.as_str()).collect();
    assert!(why.contains(&"lag-too-large"), "a person may not promote it: {why:?}");

    // The voters may not, either: everything on the primary dies, and the one that has everything takes over.
    let (writer, watch) = (Writer::start(ground.url.clone(), false), Watch::start(ground.nodes.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut node = ground.pids("demo-1", |_| true).await;
    node.retain(|pid| kill("-9", *pid));
    assert!(!node.is_empty(), "there was a primary");
    let leads = |c: &clusterdeck_engine::ClusterReport| {
        let seen = c.observed.as_ref().and_then(|o| o.primary()).map(|p| p.node.clone());
        seen.is_some_and(|id| c.spec.node(&id).is_some_and(|n| n.name == "demo-2"))
    };
    let took = ground.home.until("demo-2 must take over", leads).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    kill("-CONT", receiver[0]);
    ground.one_timeline("a replica that was far behind").await;
    watch.stop("a replica that was far behind");
    let written = writer.stop();
    ground.home.failed_over().await;
    let lost = missing(&ground.url, &written);
    println!(
        "one replica far behind, the primary killed: replaced after {took:?}, client waited {:?}, {} lost",
        written.longest_gap,
        lost.len()
    );
    // Asynchronous: what was on its way in the moment of the kill may be gone, what demo-3 lacked is not.
    assert!(lost.len() < 5, "{lost:?}");
    ground.home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(ground.home.left_behind().await, Vec::<String>::new());
}
