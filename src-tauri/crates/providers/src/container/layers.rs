//! How far the fetch of an image is: the engine tells of its layers one by one, some of them late.

use std::collections::HashMap;

/// The layers of an image that is being fetched: (here, size), `None` before the size was told.
#[derive(Default)]
pub(super) struct Layers(HashMap<String, Option<(u64, u64)>>);

impl Layers {
    /// A word of the engine about one layer.
    pub(super) fn hear(&mut self, layer: String, status: &str, part: Option<(i64, i64)>) {
        let part =
            part.and_then(|(done, total)| Some((u64::try_from(done).ok()?, u64::try_from(total).ok()?)));
        match status {
            "Pulling fs layer" | "Waiting" => drop(self.0.entry(layer).or_default()),
            "Already exists" => drop(self.0.remove(&layer)),
            // It tells from 0 again while it unpacks what it has.
            "Download complete" | "Verifying Checksum" | "Extracting" | "Pull complete" => {
                if let Some(known) = self.0.get_mut(&layer) {
                    let total = known.map_or(0, |(_, total)| total);
                    *known = Some((total, total));
                }
            }
            _ => {
                if let Some((done, total)) = part {
                    let before = self.0.get(&layer).copied().flatten().map_or(0, |(done, _)| done);
                    self.0.insert(layer, Some((done.max(before), total)));
                }
            }
        }
    }

    /// What is here, and what there will be: 0 while a layer has not told its size, so that a share never goes backwards.
    pub(super) fn sum(&self) -> (u64, u64) {
        let known = self.0.values().flatten().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        if self.0.values().any(Option::is_none) { (known.0, 0) } else { known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_fetch_never_goes_backwards() {
        let mut layers = Layers::default();
        let mut hear = |layer: &str, status: &str, part| {
            layers.hear(layer.to_owned(), status, part);
            layers.sum()
        };
        hear("a", "Pulling fs layer", None);
        hear("b", "Pulling fs layer", None);
        hear("c", "Pulling fs layer", None);
        assert_eq!(hear("a", "Downloading", Some((50, 100))), (50, 0), "two have not told their size");
        assert_eq!(hear("b", "Already exists", None), (50, 0));
        assert_eq!(hear("c", "Downloading", Some((0, 300))), (50, 400));
        assert_eq!(hear("a", "Download complete", None), (100, 400));
        assert_eq!(hear("a", "Extracting", Some((1, 100))), (100, 400), "unpacking begins at 0 again");
        assert_eq!(hear("c", "Downloading", Some((200, 300))), (300, 400));
        assert_eq!(hear("c", "Downloading", Some((150, 300))), (300, 400), "a broken download begins again");
        assert_eq!(hear("latest", "Status: Downloaded newer image", None), (300, 400));
    }
}
