//! Which image a service's servers run from: the makers' own, unless the settings name another.

use clusterdeck_driver::Image;
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeMap};

/// The registry that the makers' images come from.
const PUBLIC: &str = "docker.io/";

/// Where images come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ImageSources {
    /// Asked instead of `docker.io`: `registry.example.com/mirror`. Images named below are taken as they are.
    pub mirror: Option<String>,
    /// Own images, by service and release line: `postgresql:17` → `registry.example.com/postgres-patroni:17`.
    pub own: BTreeMap<String, String>,
}

impl ImageSources {
    /// The images of a service (or of the gateway, by the name of its unit), newest release line first.
    pub(crate) fn of(&self, service: &str, makers: &[(&str, &str)]) -> Vec<Image> {
        let mirrored = |reference: &str| match (&self.mirror, reference.strip_prefix(PUBLIC)) {
            (Some(mirror), Some(rest)) => format!("{}/{rest}", mirror.trim_end_matches('/')),
            _ => reference.to_owned(),
        };
        let mut images: BTreeMap<String, String> =
            makers.iter().map(|(line, reference)| ((*line).to_owned(), mirrored(reference))).collect();
        for (name, reference) in &self.own {
            if let Some((of, line)) = name.split_once(':')
                && of == service
            {
                images.insert(line.to_owned(), tagged(reference));
            }
        }
        let mut images: Vec<Image> =
            images.into_iter().map(|(line, reference)| Image { line, reference }).collect();
        images.sort_by_key(|image| Reverse(numbers(&image.line)));
        images
    }

    /// What is wrong with it, and where.
    pub(crate) fn wrong(&self) -> Option<(String, String)> {
        let bad =
            |text: &str| text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control());
        if self.mirror.as_deref().is_some_and(|m| bad(m) || m.contains("://")) {
            let what = "a mirror is a host with an optional path, without `https://`";
            return Some(("/images/mirror".to_owned(), what.to_owned()));
        }
        self.own
            .iter()
            .find(|(name, reference)| {
                let fine = name.split_once(':').is_some_and(|(of, line)| !bad(of) && !bad(line));
                !fine || bad(reference)
            })
            .map(|(name, _)| {
                let what = format!("`{name}`: an image is named by service and release line (`redis:8.0`)");
                ("/images/own".to_owned(), what)
            })
    }
}

/// One name is one image: without a tag Docker fetches every tag there is (moby#42053).
fn tagged(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

fn numbers(line: &str) -> Vec<u64> {
    line.split('.').filter_map(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKERS: &[(&str, &str)] =
        &[("8.0", "docker.io/library/redis:8.0"), ("7.2", "docker.io/library/redis:7.2")];

    fn references(sources: &ImageSources) -> Vec<String> {
        sources.of("redis", MAKERS).into_iter().map(|i| i.reference).collect()
    }

    #[test]
    fn the_makers_images_are_taken_unless_the_settings_name_others() {
        assert_eq!(
            references(&ImageSources::default()),
            ["docker.io/library/redis:8.0", "docker.io/library/redis:7.2"]
        );
        let own =
            [("redis:7.2", "own/redis:7"), ("redis:10.1", "own/redis:10"), ("valkey:8.1", "own/valkey")];
        let own = own.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let sources = ImageSources { mirror: Some("mirror.lan:5000/hub/".to_owned()), own };
        assert_eq!(
            references(&sources),
            ["own/redis:10", "mirror.lan:5000/hub/library/redis:8.0", "own/redis:7"],
            "ten is newer than eight, and what is named is not mirrored"
        );
    }

    #[test]
    fn an_image_that_is_named_without_a_tag_is_the_latest_and_not_all_there_are() {
        let tag = |text: &str| tagged(text);
        assert_eq!(tag("redis"), "redis:latest");
        assert_eq!(tag("mirror.lan:5000/own/redis"), "mirror.lan:5000/own/redis:latest", "a port is no tag");
        assert_eq!(tag("mirror.lan:5000/own/redis:8"), "mirror.lan:5000/own/redis:8");
        assert_eq!(tag("own/redis@sha256:00"), "own/redis@sha256:00");
        let own = [("redis:8.0".to_owned(), "own/redis".to_owned())].into();
        let sources = ImageSources { mirror: None, own };
        assert_eq!(references(&sources)[0], "own/redis:latest");
    }

    #[test]
    fn what_cannot_be_an_image_is_refused() {
        let sources = |name: &str, image: &str| ImageSources {
            mirror: None,
            own: [(name.to_owned(), image.to_owned())].into(),
        };
        assert_eq!(sources("redis:8.0", "own/redis:8").wrong(), None);
        assert!(sources("redis", "own/redis:8").wrong().is_some(), "no release line");
        assert!(sources("redis:8.0", "own redis").wrong().is_some(), "a space");
        let mirror = ImageSources { mirror: Some("https://x".to_owned()), ..ImageSources::default() };
        assert!(mirror.wrong().is_some(), "an address, not a host");
    }
}
