//! What an engine's refusal means: whose turn it is.

use bollard::errors::Error;
use clusterdeck_driver::{DriverError, Result};
use std::time::Duration;

/// Looking and asking take milliseconds; a busy computer takes longer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// Making and starting a container: the first from an image may have to unpack it.
pub(super) const ACTS_WITHIN: Duration = Duration::from_secs(60);

/// Turns an engine's refusal into whose turn it is. `what` reads like *starting the container of redis*.
pub(super) fn failed(what: &str, error: Error) -> DriverError {
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(what, status_code, &message),
        Error::DockerStreamError { error } => refused(what, 500, &error),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => DriverError::broken(format!(
            "{what}: the container engine's answer cannot be understood ({error})"
        )),
        other => DriverError::transient(format!(
            "{what}: the container engine does not answer ({})",
            causes(&other)
        )),
    }
}

pub(super) fn refused(what: &str, status: u16, message: &str) -> DriverError {
    let message = message.trim().trim_end_matches('.');
    let lower = message.to_lowercase();
    if lower.contains("no space left on device") {
        return DriverError::rejected(
            format!("{what} failed: the disk of the container engine is full"),
            "free some disk space there (`docker system df` or `podman system df` shows what takes it), then try again",
        );
    }
    if status == 404 || lower.contains("no such container") || lower.contains("no such volume") {
        return DriverError::Gone { what: what.to_owned() };
    }
    DriverError::rejected(
        format!("{what} was refused by the container engine: {message}"),
        "the engine's own log may say more",
    )
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

/// A call to an engine, with a limit.
pub(super) async fn asked<T>(
    what: &str,
    limit: Duration,
    call: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|e| failed(what, e)),
        Err(_) => Err(DriverError::transient(format!("{what}: the container engine took too long"))),
    }
}

/// Gone is as good as done.
pub(super) fn or_gone(done: Result<()>) -> Result<()> {
    match done {
        Err(DriverError::Gone { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_gone_and_what_is_refused_says_why() {
        let gone = refused("looking", 404, "no such container");
        assert!(matches!(gone, DriverError::Gone { .. }));
        // Podman says so with a status that means anything.
        assert!(matches!(refused("looking", 500, "no such volume x"), DriverError::Gone { .. }));
        let full = refused("writing", 500, "write /x: no space left on device");
        assert!(full.to_string().contains("disk"), "{full}");
        let told = refused("starting redis", 409, "the name is in use.");
        assert_eq!(
            told.to_string(),
            "starting redis was refused by the container engine: the name is in use"
        );
    }
}
