//! A backup as a logical dump: a server is started on it on a throw-away machine, its own programs write down what people have
//! in it, and the machine is given back. The cluster it is of is not asked, and need not be there.
//!
//! No operation does this, since what comes of it goes to whoever reads and to nobody else. But the machine must not outlive
//! it: it stands in state.db before it is made, and whoever starts after a kill gives it back.

use super::{
    download::{Download, entry, named, passing, readable},
    stream::{Inlet, Outlet, pipe},
    throw_away,
};
use crate::{engine::Shared, error::EngineError, facade::Result};
use clusterdeck_domain::{Backup, service};
use clusterdeck_driver::{DriverError, Progress};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, ReadBuf},
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where the machines of dumps under way stand in state.db.
const KEPT: &str = "dumps";
/// What fails by then is told as an error; a browser waits no longer for an answer to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);
/// Without a word of how far it is, or a byte that anybody takes, it is given up.
const STALLS: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(5);
/// The end of the engine waits for its tasks a little longer than this.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(4);
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What somebody reads. Dropped, the dump ends.
struct Taken {
    from: Outlet,
    _reads: DropGuard,
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buf)
    }
}

/// How the dump of a backup would be loaded; else why there is none.
pub(super) fn loading(shared: &Shared, backup: &Backup) -> Result<std::result::Result<&'static str, String>> {
    let of = &backup.of;
    let name = service(of.service).name_of(&of.version);
    if backup.parts.len() > 1 {
        return Ok(Err(format!(
            "There is no logical dump of a backup in several parts, as this one of {name}."
        )));
    }
    let load = shared.driver(of.service)?.dump_format(of.service, &of.version);
    Ok(load.map_err(|why| format!("There is no logical dump of {name}: {why}.")))
}

pub(super) async fn begin(shared: &Arc<Shared>, id: &str, actor: &str) -> Result<(String, Download)> {
    let backup = readable(shared, id).await?;
    let of = &backup.of;
    let refused = |what| EngineError::Invalid { what, pointer: "/format".to_owned() };
    let load = loading(shared, &backup)?.map_err(refused)?;
    let turn = shared.dumping.clone().try_lock_owned();
    let turn = turn.map_err(|_| EngineError::Busy { title: "the dump of a backup".to_owned() })?;
    let plan = throw_away::plan(shared, of).await?;
    if let Err(error) = keep(shared, &[&plan]).await {
        throw_away::give_back(shared, &plan).await?;
        return Err(error);
    }
    shared.audit(entry(shared, &backup, actor)).await;

    let file = named(&backup, "sql.zst");
    let readme = readme(&backup, load, &file);
    let (begun, begins) = oneshot::channel();
    let told = Arc::new(Told { moved: AtomicU64::new(0), begun: Mutex::new(Some(begun)) });
    let comes = told.clone();
    // What is packed comes in blocks, or when all of it went in: so the first of it says that the programs do their work.
    let (inlet, from) = pipe(move |_| comes.begun(Ok(())));
    let reads = CancellationToken::new();
    let taken = Taken { from, _reads: reads.clone().drop_guard() };
    let owner = shared.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            // Whoever reads hears that it was cut off.
            written = write(&owner, (&plan, &backup), &readme, inlet, &told) => if let Err(error) = written {
                tracing::warn!(%error, "a backup could not be dumped to its end");
                told.begun(Err(error));
            },
            () = owner.closing.cancelled() => {}
            () = owner.stopped.cancelled() => {}
            () = reads.cancelled() => {}
            () = stalled(&told.moved) => tracing::warn!("nobody takes the dump of a backup, so it was given up"),
        }
        given_back(&owner, &plan).await;
        drop(turn);
    });
    match timeout(BEGINS_WITHIN, begins).await {
        Ok(Ok(Err(error))) => Err(error),
        // The task ended without a word: the engine does.
        Ok(Err(_)) => Err(DriverError::transient("the dump was given up").into()),
        Ok(Ok(Ok(()))) | Err(_) => Ok((file, Box::pin(taken))),
    }
}

/// Ends when nothing moved for long.
async fn stalled(moved: &AtomicU64) {
    let mut seen = (moved.load(Ordering::Relaxed), tokio::time::Instant::now());
    while seen.1.elapsed() < STALLS {
        sleep(LOOK).await;
        let now = moved.load(Ordering::Relaxed);
        if now != seen.0 {
            seen = (now, tokio::time::Instant::now());
        }
    }
}

/// What is told of it while it goes on.
struct Told {
    /// Goes up with everything that is reported or taken.
    moved: AtomicU64,
    /// Whoever asked waits for its beginning.
    begun: Mutex<Option<oneshot::Sender<Result<()>>>>,
}

impl Told {
    fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
    /// It has begun, or failed before.
    fn begun(&self, how: Result<()>) {
        self.moved();
        let waits = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever asked may have gone.
        drop(waits.map(|waits| waits.send(how)));
    }
}

async fn write(
    shared: &Arc<Shared>,
    (plan, backup): (&throw_away::Plan, &Backup),
    readme: &str,
    mut packed: Inlet,
    told: &Arc<Told>,
) -> Result<()> {
    let part = backup.parts.first().ok_or_else(|| DriverError::broken("a backup without a part"))?;
    let (mut inlet, mut plain) = pipe(|_| {});
    let reports = told.clone();
    let progress = Progress::new(move |_, _| reports.moved());
    let give = async {
        inlet.to.write_all(readme.as_bytes()).await.map_err(passing)?;
        throw_away::dump(shared, plan, (backup, part), &mut inlet.to, &progress).await?;
        inlet.finish().await.map_err(passing)?;
        Result::Ok(())
    };
    let pack = async { Result::Ok(shared.vaults.pack(&mut plain, &mut packed.to).await?) };
    tokio::try_join!(give, pack)?;
    packed.finish().await.map_err(passing)?;
    Ok(())
}

fn readme(backup: &Backup, load: &str, file: &str) -> String {
    let of = &backup.of;
    let text = format!(
        "A logical dump of a backup of {}: {} {}, as it was at {}.\n\nIt is not encrypted: whoever has this file has the data.\n\n\
         How it is loaded without Clusterdeck\n\n{}",
        backup.cluster,
        service(of.service).name_of(&of.version),
        of.version,
        backup.created_at,
        load.replace("FILE", file),
    );
    let lines: Vec<String> =
        text.lines().map(|line| format!("-- {line}").trim_end().to_owned() + "\n").collect();
    lines.concat() + "\n"
}

/// Notes the machines that must be given back, whatever happens.
async fn keep(shared: &Shared, plans: &[&throw_away::Plan]) -> Result<()> {
    let value = serde_json::to_value(plans)
        .map_err(|e| DriverError::broken(format!("what is dumped cannot be written down: {e}")))?;
    Ok(shared.state.set_setting(KEPT, &value).await?)
}

/// Gives a machine back and forgets it. What cannot be given back now stays noted.
async fn given_back(shared: &Shared, plan: &throw_away::Plan) {
    loop {
        let back = timeout(GIVEN_BACK_WITHIN, async {
            throw_away::give_back(shared, plan).await?;
            keep(shared, &[]).await
        });
        match back.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(%error, "the machine of a dump could not be given back yet"),
            Err(_) => tracing::warn!("giving the machine of a dump back takes long"),
        }
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            () = sleep(AGAIN_AFTER) => {}
        }
    }
}

/// Gives back what a dump left whose engine was killed. Its network is kept from others until then.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn clear_left(shared: &Arc<Shared>) -> Result<()> {
    let kept = shared.state.setting(KEPT).await?;
    let plans: Vec<throw_away::Plan> = match kept.map(serde_json::from_value).transpose() {
        Ok(plans) => plans.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "which machine a dump has left cannot be read, so it stays");
            Vec::new()
        }
    };
    for plan in plans {
        plan.hold(shared);
        // Another dump waits for it.
        let Ok(turn) = shared.dumping.clone().try_lock_owned() else { continue };
        let owner = shared.clone();
        shared.tasks.spawn(async move {
            given_back(&owner, &plan).await;
            drop(turn);
        });
    }
    Ok(())
}
