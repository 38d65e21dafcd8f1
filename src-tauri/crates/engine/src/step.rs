//! A step of an operation, and what it may use while it runs.

use crate::{engine::Shared, facade::Result, runner::Record};
use clusterdeck_domain::{ClusterId, ClusterSpec, Outcome, StepRecord, StepState};
use clusterdeck_driver::{ClusterContext, Progress, Provider, ServiceDriver};
use futures::future::BoxFuture;
use std::{future::Future, sync::Arc, time::Duration};

type Act = Box<dyn Fn(StepContext) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// How long a step may go without measured progress.
const DEADLINE: Duration = Duration::from_secs(30);

/// One idempotent act with its way back. Looks first: running it twice is the same as once.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) run: Act,
    pub(crate) undo: Option<Act>,
    pub(crate) deadline: Duration,
    /// From here on there is no way back: a failure stops the operation where it is, and it can be asked for again.
    pub(crate) no_return: bool,
    /// From here on it cannot be cancelled, but a failure still takes back what can be.
    pub(crate) no_cancel: bool,
    /// It waits for somebody: the operation shows as waiting meanwhile.
    pub(crate) waits: bool,
}

/// A step that does `run`. `name` is what the journal knows it by.
pub(crate) fn step<F, Fut>(name: impl Into<String>, title: impl Into<String>, run: F) -> Step
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Step {
        name: name.into(),
        title: title.into(),
        run: Box::new(move |cx| Box::pin(run(cx))),
        undo: None,
        deadline: DEADLINE,
        no_return: false,
        no_cancel: false,
        waits: false,
    }
}

impl Step {
    /// How it is taken back. Runs also when the step was only begun, so it looks first too.
    pub(crate) fn undo<F, Fut>(mut self, undo: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.undo = Some(Box::new(move |cx| Box::pin(undo(cx))));
        self
    }
    /// The same about another cluster than the operation's.
    pub(crate) fn about(self, cluster: &ClusterId) -> Self {
        let elsewhere = |act: Act, cluster: ClusterId| -> Act {
            Box::new(move |cx| act(StepContext { cluster: cluster.clone(), ..cx }))
        };
        Self {
            run: elsewhere(self.run, cluster.clone()),
            undo: self.undo.map(|undo| elsewhere(undo, cluster.clone())),
            ..self
        }
    }
    /// Another time without progress than 30 s.
    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
    /// No way back from the start of this step.
    pub(crate) fn no_return(mut self) -> Self {
        self.no_return = true;
        self
    }
    /// Too late to cancel from the start of this step.
    pub(crate) fn no_cancel(mut self) -> Self {
        self.no_cancel = true;
        self
    }
    /// It waits for somebody.
    pub(crate) fn waits(mut self) -> Self {
        self.waits = true;
        self
    }
    pub(crate) fn record(&self) -> StepRecord {
        StepRecord {
            name: self.name.clone(),
            title: self.title.clone(),
            state: StepState::Pending,
            note: None,
            progress: None,
            started_at: None,
            ended_at: None,
            error: None,
        }
    }
}

/// What a step may use.
#[derive(Clone)]
pub(crate) struct StepContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cluster: ClusterId,
    pub(crate) record: Record,
    pub(crate) index: usize,
}

impl StepContext {
    /// The cluster as it is now, with machines and passwords.
    pub(crate) async fn context(&self) -> Result<ClusterContext> {
        self.shared.context(&self.cluster).await
    }
    /// The cluster's driver.
    pub(crate) fn driver(&self) -> Result<Arc<dyn ServiceDriver>> {
        self.shared.driver(self.spec()?.service)
    }
    /// The cluster's provider.
    pub(crate) fn provider(&self) -> Result<Arc<dyn Provider>> {
        self.shared.provider_of(&self.spec()?.provider)
    }
    /// The cluster's row.
    pub(crate) fn spec(&self) -> Result<ClusterSpec> {
        Ok(self.shared.live(&self.cluster)?.spec)
    }
    /// Changes the cluster's row.
    pub(crate) async fn update_spec(&self, edit: impl Fn(&mut ClusterSpec) + Send) -> Result<ClusterSpec> {
        self.shared.update_spec(&self.cluster, edit).await
    }
    /// Where the step says how far it is; measured progress moves its deadline.
    pub(crate) fn progress(&self) -> Progress {
        let me = self.clone();
        Progress::new(move |note, measured| me.record.progress(&me.shared, me.index, note, measured))
    }
    /// Adds to what the operation reports at its end.
    pub(crate) fn report(&self, edit: impl FnOnce(&mut Outcome)) {
        self.record.edit(|operation| edit(&mut operation.outcome));
    }
    /// Turns the endpoints to the cluster as it is now.
    pub(crate) async fn apply_endpoints(&self) -> Result<()> {
        let cx = self.context().await?;
        let listeners = self.driver()?.listeners(&cx)?;
        Ok(self.shared.gateway.apply(&cx, &listeners).await?)
    }
    /// Makes the voters watch whoever is primary now; nothing happens where a topology has none.
    pub(crate) async fn arm_failover(&self) -> Result<()> {
        let cx = self.context().await?;
        Ok(self.driver()?.arm_failover(&cx, None).await?)
    }
}
