//! Files of a machine, through a shell in its container: the one way that works alike for every engine, and as the user
//! that the servers run as. Each act is one script, so that a kill in the middle leaves the old or the new.

use super::{
    config::ROOT,
    exec::{Ran, Script},
};
use crate::path::MachinePath;
use clusterdeck_driver::{DriverError, Result};

/// Most that is read as a whole.
pub(super) const MAX_READ: usize = 8 << 20;

/// Exit statuses of the scripts below.
const GONE: i64 = 44;
const TOO_LARGE: i64 = 45;

/// `$1` path, `$2` its length, `$3` mode, `$4` a name for the temporary file; the content comes as input. On disk before it
/// takes the name. What a killed one left lies untouched for minutes, and goes.
pub(super) const WRITE: &str = r#"
umask 077
dir=$(dirname "$1"); name=$(basename "$1"); new=".$name.$4.new"
mkdir -p "$dir" && cd "$dir" || exit 1
find . -maxdepth 1 -name ".$name.*.new" -mmin +2 -exec rm -f {} + 2>/dev/null
head -c "$2" > "$new" && [ "$(wc -c < "$new")" -eq "$2" ] && chmod "$3" "$new" && { sync "$new" 2>/dev/null || :; } \
  && mv -f "$new" "./$name" || { rm -f "$new"; exit 1; }
sync . 2>/dev/null || :
"#;
/// `$1` path, `$2` the most bytes.
pub(super) const READ: &str = r#"
[ -e "$1" ] || exit 44
[ -d "$1" ] && { echo "it is a folder" >&2; exit 1; }
[ "$(wc -c < "$1")" -le "$2" ] || exit 45
cat "$1"
"#;
/// `$1` path.
pub(super) const CREATE_DIR: &str = r#"umask 077; mkdir -p "$1""#;
/// `$1` from, `$2` to. `mv` into a folder that is there would put it inside; renaming refuses instead.
pub(super) const RENAME: &str = r#"
umask 077
[ -e "$1" ] || [ -L "$1" ] || { [ -e "$2" ] || [ -L "$2" ] || exit 44; exit 0; }
mkdir -p "$(dirname "$2")" || exit 1
[ -d "$2" ] && [ ! -L "$2" ] && { rmdir "$2" || exit 1; }
mv -f "$1" "$2" && { sync "$(dirname "$2")" 2>/dev/null || :; }
"#;
/// `$1` path.
pub(super) const REMOVE: &str = r#"rm -rf "$1""#;
/// `$1` path.
pub(super) const EXISTS: &str = r#"[ -e "$1" ] && echo yes || :"#;
/// `$1` path. What vanishes meanwhile is complained about and does not count.
pub(super) const DISK: &str = r#"[ -e "$1" ] || { echo 0; exit 0; }; du -sk "$1" 2>/dev/null | cut -f1"#;

/// Where a path is in the container.
pub(super) fn inside(path: &MachinePath) -> String {
    if path.as_str().is_empty() { ROOT.to_owned() } else { format!("{ROOT}/{}", path.as_str()) }
}

/// A script about files that needs no input.
pub(super) const fn script<'a>(text: &'a str, args: &'a [&'a str]) -> Script<'a> {
    Script { text, args, input: &[], user: None, keep: 4096 }
}

/// What a script's end means. `what` reads like *writing /x/y*.
pub(super) fn done(what: &str, ran: Ran) -> Result<Vec<u8>> {
    let lower = ran.complaint.to_lowercase();
    match ran.status {
        0 => Ok(ran.output),
        GONE => Err(DriverError::Gone { what: what.to_owned() }),
        TOO_LARGE => Err(DriverError::rejected(
            format!("{what}: it is larger than 8 MiB"),
            "files of this size are not read as a whole",
        )),
        _ if lower.contains("no space left on device") || lower.contains("quota exceeded") => {
            Err(DriverError::rejected(
                format!("the disk is full: {what} failed; what was there before is unchanged"),
                "free some disk space on the computer of the container engine, then try again",
            ))
        }
        _ => {
            let words = ran.complaint.lines().last().unwrap_or("it said nothing").to_owned();
            Err(DriverError::broken(format!("{what} failed ({words})")))
        }
    }
}
