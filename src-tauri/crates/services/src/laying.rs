//! A copy that is laid for the first node of a new cluster and turns out to be of no use, the same for each family whose
//! copies are laid in a folder.

use crate::wait::{Look, until};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{DriverError, Filter, Incoming, Machine, Result};
use std::time::Duration;

/// Lays a piece of a log: `$1` bytes of input, `$2` the file. Emptiness at its end takes no room.
const LAY_PIECE: &str = r#"
umask 077
mkdir -p "${2%/*}" || exit 1
if dd --version > /dev/null 2>&1; then
  head -c "$1" | dd of="$2.new" bs=64k iflag=fullblock conv=sparse 2> /dev/null || exit 1
else
  head -c "$1" > "$2.new" || exit 1
fi
mv "$2.new" "$2"
"#;

/// Lays a piece of a log, `bytes` long, as this file of a machine, over one of the same name.
pub(crate) async fn lay_piece(
    machine: &dyn Machine,
    file: &str,
    input: &mut Incoming,
    bytes: u64,
) -> Result<()> {
    let file = machine.path(file).display().to_string();
    machine.feed(&Filter::script(LAY_PIECE, [bytes.to_string(), file]), input, bytes).await.map(drop)
}

/// What an attempt that was cut short still runs ends when its folder goes.
const CLEARED_WITHIN: Duration = Duration::from_secs(10);

/// Takes away what was laid, whole or not, in this order.
pub(crate) async fn clear(machine: &dyn Machine, paths: &[&str]) -> Result<()> {
    until!(CLEARED_WITHIN, async {
        for path in paths {
            if let Err(e) = machine.remove(path).await {
                return Ok(Look::NotYet(e.to_string()));
            }
        }
        Ok(Look::Done(()))
    })
}

/// Why a server cannot start on a copy, of which nothing is left.
pub(crate) fn unusable(node: &NodeSpec, e: DriverError) -> DriverError {
    let DriverError::Rejected { what, hint } = e else { return e };
    // What ended with a status said why, and its hint is about servers that run.
    let hint = if what.contains("ended with") && !what.starts_with("the disk is full") {
        "nothing of it is left on the node; check the backup, or take another one".to_owned()
    } else {
        hint
    };
    DriverError::rejected(format!("{} cannot start on this copy: {what}", node.name), hint)
}
