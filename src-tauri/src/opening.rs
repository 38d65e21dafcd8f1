//! The time between the first paint and a home that is open. The window does not wait; its requests do.

use clusterdeck_api::{Code, Front, Problem};
use std::time::Duration;
use tokio::sync::watch;

/// Opening a home reads two small databases; longer than this it hangs. (The engine starts after that, and the front
/// itself says so while it does.)
const PATIENCE: Duration = Duration::from_secs(30);

/// What the commands ask. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Opening(watch::Sender<Option<Front>>);

impl Opening {
    /// Not open yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// It is open, or broken for good.
    pub(crate) fn opened(&self, front: Front) {
        self.0.send_replace(Some(front));
    }

    /// What is open now, if anything.
    pub(crate) fn now(&self) -> Option<Front> {
        self.0.borrow().clone()
    }

    /// The front, once it is there; after a while one that says why not.
    pub(crate) async fn front(&self) -> Front {
        let mut front = self.0.subscribe();
        let opened = tokio::time::timeout(PATIENCE, front.wait_for(Option::is_some)).await;
        let opened = opened.ok().and_then(Result::ok).and_then(|front| front.clone());
        opened.unwrap_or_else(|| {
            Front::broken(
                Problem::new(Code::ShuttingDown, "the home is still being opened")
                    .detail("Nothing was changed; the servers run without the app.")
                    .hint("Wait a moment. If it stays like this, logs/desktop.log in the home says what it waits for."),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_made_before_the_home_is_open_is_answered_after() {
        let opening = Opening::new();
        assert!(opening.now().is_none(), "nothing is open yet");
        let early = tokio::spawn({
            let opening = opening.clone();
            async move { opening.front().await.get("/v1/info", http::HeaderMap::new()).await.status() }
        });
        opening.opened(Front::broken(Problem::new(Code::StoreBroken, "state.db is damaged")));
        assert_eq!(
            early.await.expect("answered").as_u16(),
            Code::StoreBroken.status(),
            "with what was opened"
        );
    }
}
