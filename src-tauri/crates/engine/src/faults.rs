//! Places where a test ends the process. Compiled only into debug builds.
//!
//! `CLUSTERDECK_FAULT=<change>:<step>:<point>` aborts the process, as a power cut would, the first time an operation of
//! that kind reaches that point of that step: `before` it runs, `after` it ran and before the journal says so, `noted`
//! once the journal says so, `undoing`. `*` stands for any, `join-*` for any that begins so: names of steps carry names of
//! nodes that a test cannot know before.

/// Aborts when this is the place that was named.
pub(crate) fn reach(kind: &str, step: &str, point: &str) {
    let Ok(named) = std::env::var("CLUSTERDECK_FAULT") else { return };
    let mut parts = named.splitn(3, ':');
    let mut fits = |value: &str| {
        parts
            .next()
            .is_some_and(|want| want == value || want.strip_suffix('*').is_some_and(|p| value.starts_with(p)))
    };
    if fits(kind) && fits(step) && fits(point) {
        tracing::error!(kind, step, point, "fault point reached, aborting");
        std::process::abort();
    }
}
