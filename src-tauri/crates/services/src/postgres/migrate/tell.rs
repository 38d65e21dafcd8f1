//! What the programs say while they copy, line by line: what they are at, and at last why they failed.

use clusterdeck_driver::{Passage, Progress};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Bytes held of what they say.
const LINE: usize = 8 << 10;
/// Lines that are told in the log: of a database with very many tables not all are.
const TOLD: usize = 300;

/// What there was to learn from it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) dumped_bytes: u64,
    pub(super) error: Option<String>,
}

/// Hears what programs write.
pub(super) struct Lines<'a> {
    passage: &'a Passage,
    progress: &'a Progress,
    lines: usize,
    told: Told,
}

impl<'a> Lines<'a> {
    pub(super) fn new(passage: &'a Passage, progress: &'a Progress) -> Self {
        Self { passage, progress, lines: 0, told: Told::default() }
    }
    /// Listens until nobody writes any more.
    pub(super) async fn listen(mut self, from: impl AsyncRead + Unpin) -> Told {
        let mut from = BufReader::with_capacity(LINE, from);
        loop {
            // What is longer than what is held comes in pieces: only its beginning says something.
            let Ok(held) = from.fill_buf().await else { return self.told };
            if held.is_empty() {
                return self.told;
            }
            let (line, length) = match held.iter().position(|b| *b == b'\n') {
                Some(end) => (&held[..end], end + 1),
                None => (held, held.len()),
            };
            let line = String::from_utf8_lossy(line).into_owned();
            from.consume(length);
            self.hear(&line);
        }
    }
    fn hear(&mut self, line: &str) {
        if let Some(kilobytes) = line.strip_prefix("clusterdeck: dumped ") {
            self.told.dumped_bytes = kilobytes.trim().parse::<u64>().unwrap_or_default() * 1024;
            self.passage.log(format!("Dumped, {:.1} MB packed", self.told.dumped_bytes as f64 / 1e6));
        } else if let Some(place) = line.strip_prefix("clusterdeck: slot ") {
            self.passage.log(format!("The source keeps its log for the cluster {}", place.trim()));
        } else if let Some((_, why)) = line.split_once("error: ") {
            self.passage.log(line);
            self.told.error.get_or_insert_with(|| why.to_owned());
        } else if let Some((_, what)) = line.split_once("pg_dump: dumping contents of table ") {
            self.say(&format!("dumping {}", what.trim().trim_matches('"')));
        } else if let Some((_, what)) = line.split_once("processing data for table ") {
            self.say(&format!("restoring {}", what.trim().trim_matches('"')));
        } else if line.contains("pg_restore: launching item") && line.contains(" INDEX ") {
            self.say(&format!("making the index {}", line.rsplit(' ').next().unwrap_or_default()));
        }
    }
    fn say(&mut self, what: &str) {
        self.progress.note(what);
        self.lines += 1;
        if self.lines <= TOLD {
            self.passage.log(what);
        }
    }
}
