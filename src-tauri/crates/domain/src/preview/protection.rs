//! Termination protection on or off. It touches no server, so it needs to know nothing about them.

use super::{Finding, Preview, Subject};
use crate::Lifecycle;

pub(super) fn preview(subject: &Subject<'_>, enabled: bool) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(if enabled {
        format!("Protect {name} from deletion")
    } else {
        format!("Turn off the protection of {name}")
    });
    // A deletion under way does not ask again, so a switch thrown now would be a false promise.
    if spec.lifecycle == Lifecycle::Deleting {
        preview
            .block(Finding::new("being-deleted", format!("{name} is being deleted; there is no way back.")));
    } else {
        preview.block(super::rules::free(subject));
    }
    preview.effect(match (spec.protected, enabled) {
        (true, true) => format!("{name} is protected already; nothing changes."),
        (false, false) => format!("{name} is not protected already; nothing changes."),
        (false, true) => format!("{name} cannot be deleted by anybody until the protection is turned off."),
        (true, false) => format!("{name} can be deleted from then on."),
    });
    preview
}
