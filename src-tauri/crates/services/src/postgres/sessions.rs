//! Connections that are kept from one look at a node to the next: signing in costs thousands of hashes on both sides.

use super::sql::{As, Session};
use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::{ClusterContext, Result};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A connection nobody used for so long belongs to a cluster nobody looks at any more.
const UNUSED: Duration = Duration::from_secs(60);

/// A node, and the generation of the passwords it was signed in with.
type Key = (NodeId, u32);

/// The connections that are open between two looks: at most one a node.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Key, (Session, Instant)>>);

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// Asks a node as its watcher, over the connection that was kept or a new one.
    pub(crate) async fn ask<T>(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        limit: Duration,
        question: impl AsyncFn(&Session) -> Result<T>,
    ) -> Result<T> {
        let key = (node.id.clone(), cx.spec.secrets_generation);
        let kept = self.open().remove(&key);
        if let Some((session, _)) = kept
            && let Ok(answer) = question(&session).await
        {
            self.keep(key, session);
            return Ok(answer);
        }
        // None was kept, or the server was restarted since.
        let session = Session::open(cx, node, As::Watch, limit).await?;
        let answer = question(&session).await?;
        self.keep(key, session);
        Ok(answer)
    }

    fn keep(&self, key: Key, session: Session) {
        let mut open = self.open();
        open.retain(|_, (_, used)| used.elapsed() < UNUSED);
        open.insert(key, (session, Instant::now()));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Session, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
