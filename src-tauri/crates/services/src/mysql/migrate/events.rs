//! The events of a binary log: which rows are of databases that come along, where a transaction ends, and what cannot be followed.
//! Pure.

use super::source::Place;
use clusterdeck_driver::{DriverError, Result};
use mysql_async::binlog::{
    BinlogVersion, EventType,
    events::{Event, QueryEvent, RotateEvent, TableMapEvent},
};
use std::collections::{BTreeMap, BTreeSet};

/// The mark of an event of rows that ends its statement: what was learned of tables is forgotten behind it.
const STATEMENT_ENDS: u8 = 1;
/// Where it stands: behind the head and the number of the table.
const FLAGS: usize = 19 + 6;
const HEAD: usize = 19;
/// Bytes of a statement that are applied at once; a longer one comes in several.
const AT_ONCE: usize = 4 << 20;
/// The first half of a transaction in two phases, by either maker's number.
const XA_PREPARE: u8 = 38;
/// The id that a transaction begins with: MySQL's own, that of one that has none, one with a tag; MariaDB's.
const GTIDS: [u8; 4] = [33, 34, 42, 162];

/// What an event means to us.
#[derive(Debug)]
pub(super) enum Happened {
    /// Nothing.
    Nothing,
    /// The log goes on from here, outside of a transaction.
    At(Place),
    /// How the events that follow are written; to be told to whoever applies them.
    Description(Vec<u8>),
    /// Changes of rows of ours, to be applied as they are.
    Rows(Vec<u8>),
    /// A transaction ended here.
    Committed(Place),
}

/// Transactions that were read and are not committed yet.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) open: bool,
    pub(super) rows: bool,
    pub(super) bytes: usize,
    /// Of those, what was not applied yet.
    pub(super) events: Vec<u8>,
    pub(super) up_to: Option<Place>,
}

impl Group {
    pub(super) const fn is_empty(&self) -> bool {
        !self.rows
    }
}

/// Reads events one after the other.
pub(super) struct Reader {
    names: BTreeSet<String>,
    file: String,
    inside: bool,
    /// How events are written was told. What comes before is read with its checksum, as if that were part of it.
    described: bool,
    /// Descriptions of tables of ours in the statement that is read.
    tables: BTreeMap<u64, Vec<u8>>,
    /// Events of that statement.
    events: Vec<u8>,
    /// Each event ends with its checksum.
    summed: bool,
}

impl Reader {
    pub(super) fn new(names: &[String]) -> Self {
        Self {
            names: names.iter().cloned().collect(),
            file: String::new(),
            inside: false,
            described: false,
            tables: BTreeMap::new(),
            events: Vec::new(),
            summed: false,
        }
    }
    /// The log is read anew from a place between two transactions.
    pub(super) fn restart(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        self.described = false;
        self.inside = false;
        self.tables.clear();
        self.events.clear();
    }
    /// In the middle of a transaction.
    pub(super) const fn inside(&self) -> bool {
        self.inside
    }

    /// # Errors
    /// `Rejected` for what cannot be followed.
    pub(super) fn read(&mut self, event: &Event) -> Result<Happened> {
        let kind = event.header().event_type_raw();
        let place = |at: u32| Place { file: self.file.clone(), at: u64::from(at) };
        let here = place(event.header().log_pos());
        if kind == XA_PREPARE {
            return Err(cannot(
                "a transaction in two phases (XA)",
                "Migrate with a dump, or without XA meanwhile.",
            ));
        }
        match event.header().event_type() {
            Ok(EventType::ROTATE_EVENT) if !self.described => Ok(Happened::Nothing),
            Ok(EventType::ROTATE_EVENT) => {
                let rotate: RotateEvent<'_> = event.read_event().map_err(unreadable)?;
                self.file = rotate.name().into_owned();
                self.inside = false;
                Ok(Happened::At(Place { file: self.file.clone(), at: rotate.position() }))
            }
            Ok(EventType::FORMAT_DESCRIPTION_EVENT) => {
                self.described = true;
                Ok(Happened::Description(raw(event)?))
            }
            Ok(EventType::QUERY_EVENT) => self.query(event, here),
            Ok(EventType::XID_EVENT) => {
                self.inside = false;
                Ok(Happened::Committed(here))
            }
            Ok(EventType::TABLE_MAP_EVENT) => {
                let table: TableMapEvent<'_> = event.read_event().map_err(unreadable)?;
                self.inside = true;
                if self.names.contains(table.database_name().as_ref()) {
                    self.tables.insert(table.table_id(), raw(event)?);
                }
                Ok(Happened::Nothing)
            }
            Ok(
                EventType::WRITE_ROWS_EVENT_V1
                | EventType::UPDATE_ROWS_EVENT_V1
                | EventType::DELETE_ROWS_EVENT_V1
                | EventType::WRITE_ROWS_EVENT
                | EventType::UPDATE_ROWS_EVENT
                | EventType::DELETE_ROWS_EVENT,
            ) => self.rows(event),
            Ok(EventType::TRANSACTION_PAYLOAD_EVENT) => Err(cannot(
                "a compressed transaction",
                "A client there chose binlog_transaction_compression for its session; migrate again when it does not.",
            )),
            Ok(EventType::PARTIAL_UPDATE_ROWS_EVENT) => Err(cannot(
                "values of which only a part was written down",
                "A client there chose binlog_row_value_options for its session; migrate again when it does not.",
            )),
            _ if self.inside || here.at == 0 || GTIDS.contains(&kind) => Ok(Happened::Nothing),
            _ => Ok(Happened::At(here)),
        }
    }

    fn query(&mut self, event: &Event, here: Place) -> Result<Happened> {
        let query: QueryEvent<'_> = event.read_event().map_err(unreadable)?;
        let (schema, said) = (query.schema().into_owned(), query.query().into_owned());
        let said = said.trim_start_matches(|c: char| c.is_whitespace() || c == '(').to_uppercase();
        let begins = |words: &[&str]| words.iter().any(|word| said.starts_with(word));
        if begins(&["BEGIN", "START TRANSACTION"]) {
            self.inside = true;
            return Ok(Happened::Nothing);
        }
        if begins(&["COMMIT", "ROLLBACK"]) && !said.starts_with("ROLLBACK TO") {
            self.inside = false;
            return Ok(Happened::Committed(here));
        }
        if begins(&["XA "]) {
            return Err(cannot(
                "a transaction in two phases (XA)",
                "Migrate with a dump, or without XA meanwhile.",
            ));
        }
        let other_shape = begins(&["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "/*!"])
            && !begins(&[
                "CREATE USER",
                "ALTER USER",
                "DROP USER",
                "RENAME USER",
                "CREATE ROLE",
                "DROP ROLE",
            ]);
        // One that names another database than the one it was said in is seen by its name.
        let ours =
            self.names.contains(&schema) || self.names.iter().any(|name| said.contains(&name.to_uppercase()));
        if ours && other_shape {
            let first: String = said.chars().take(60).collect();
            return Err(cannot(
                &format!("a change of what lies in {schema} ({first}…)"),
                "Migrate again when its tables stay as they are, with what is there replaced.",
            ));
        }
        if ours && self.inside && begins(&["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"]) {
            return Err(cannot(
                "a change that is written as a statement, not as rows",
                "A client there chose another binlog_format for its session; migrate again when it does not.",
            ));
        }
        Ok(if self.inside { Happened::Nothing } else { Happened::Committed(here) })
    }

    /// Events of rows together with what they need to know of their tables.
    fn rows(&mut self, event: &Event) -> Result<Happened> {
        let data = event.data();
        let (Some(number), Some(flags)) = (data.get(..6), data.get(6)) else {
            return Err(DriverError::transient("an event of the source's log is too short"));
        };
        let number = number.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let ends = flags & STATEMENT_ENDS != 0;
        if self.tables.contains_key(&number) {
            self.summed = event.checksum().is_some();
            self.events.extend(raw(event)?);
        }
        if !ends && self.events.len() < AT_ONCE {
            return Ok(Happened::Nothing);
        }
        let rows = std::mem::take(&mut self.events);
        let mut all: Vec<u8> = self.tables.values().flatten().copied().collect();
        if ends {
            self.tables.clear();
        }
        if rows.is_empty() {
            return Ok(Happened::Nothing);
        }
        all.extend(closed(rows, self.summed));
        Ok(Happened::Rows(all))
    }
}

/// An event as it came.
fn raw(event: &Event) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD + event.data().len() + 5);
    event.write(BinlogVersion::Version4, &mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The last of some events of rows ends the statement: what is applied at once is a whole one.
fn closed(mut events: Vec<u8>, summed: bool) -> Vec<u8> {
    let (mut at, mut last) = (0, 0);
    while let Some(size) = events.get(at + 9..at + 13) {
        let size =
            usize::try_from(u32::from_le_bytes([size[0], size[1], size[2], size[3]])).unwrap_or_default();
        if size < HEAD {
            break;
        }
        last = at;
        at += size;
    }
    if let Some(flags) = events.get_mut(last + FLAGS)
        && *flags & STATEMENT_ENDS == 0
    {
        *flags |= STATEMENT_ENDS;
        if !summed {
            return events;
        }
        let end = events.len().saturating_sub(4);
        let sum = crc32fast::hash(&events[last..end]).to_le_bytes();
        events[end..].copy_from_slice(&sum);
    }
    events
}

fn unreadable(e: std::io::Error) -> DriverError {
    DriverError::broken(format!("an event of the source's log cannot be read: {e}"))
}

fn cannot(what: &str, hint: &str) -> DriverError {
    DriverError::rejected(format!("the source's log has {what}, which cannot be followed"), hint)
}
