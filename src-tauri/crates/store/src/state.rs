//! `state.db`: the truth.

use crate::{
    fault::{Fault, Place},
    file::{self, Kind},
    keep, migrate,
    owner::Owner,
    table::{self, audit, backups, clusters, journal, log, operations, settings},
};
use async_trait::async_trait;
use clusterdeck_domain::{Backup, BackupId, ClusterId, ClusterSpec, LogPiece, Operation, OperationId};
use clusterdeck_engine::repository::{
    AuditEntry, JournalEntry, OperationRow, Page, RepositoryError, Result, StateRepository,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

const KIND: Kind = Kind {
    application_id: 0x434c_4453, // "CLDS"
    synchronous: "normal",
};
/// How often the owning thread looks whether a daily copy is due.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// `state.db`, open.
pub struct State {
    owner: Owner<Connection>,
}

impl State {
    /// Opens `<home>/state.db`, making it (and the home) when there never was one, and brings it to the newest shape.
    ///
    /// A file with content is copied to `state.db.before-<shape>` before its shape is changed. At start and then daily
    /// a copy is kept as `state.db.copy` (then `.copy.1`, `.copy.2`).
    ///
    /// # Errors
    /// `Broken` when the file is damaged, missing although there are copies of it, written by a newer program, or not
    /// to be read and written; the text names the way back, and the file is left as it is. `DiskFull`.
    pub fn open(home: &Path) -> Result<Self> {
        file::make_home(home)?;
        let place = Place::new(home.join("state.db"));
        refuse_a_loss(&place)?;
        file::make_private(&place)?;
        let connection = open(&place).map_err(|fault| place.tell(fault))?;
        let mut copies = Copies { place: place.clone(), looked: None };
        copies.look(&connection);
        let owner = Owner::start(place, connection, move |connection| copies.look(connection))?;
        Ok(Self { owner })
    }

    /// A write that happens wholly or not at all.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        self.owner
            .call(move |connection| {
                // The write lock from the beginning: a transaction that reads first and writes later could be refused
                // when another process wrote in between.
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = job(&transaction)?;
                transaction.commit()?;
                Ok(done)
            })
            .await
    }
}

/// An empty or missing file where there is a copy, or a log without its file, is a loss and not a first start. SQLite
/// would make a new file and throw the log away.
fn refuse_a_loss(place: &Place) -> Result<()> {
    if file::size(&place.path) > 0 {
        return Ok(());
    }
    let log = file::size(&file::beside(&place.path, "-wal")) > 0;
    if !log && !keep::any(&place.path) {
        return Ok(());
    }
    let what = if place.path.exists() { "it is empty, but it held something" } else { "it is gone" };
    Err(place.damaged(what))
}

fn open(place: &Place) -> std::result::Result<Connection, Fault> {
    let mut connection = file::connect(&place.path)?;
    file::recognise(&connection, place, KIND, migrate::newest(&table::MIGRATIONS))?;
    file::check(&connection, place)?;
    file::settle(&connection, KIND)?;
    migrate::migrate(&mut connection, place, KIND, &table::MIGRATIONS, |_, to| keep::keep_before(place, to))?;
    Ok(connection)
}

/// Sees to the daily copy, and to the bounds of the history, on the owning thread.
struct Copies {
    place: Place,
    looked: Option<Instant>,
}

impl Copies {
    /// Makes the copy when it is due. What fails here is logged and tried again an hour later: a full disk must not keep
    /// anybody from reading.
    fn look(&mut self, connection: &Connection) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        match Self::has_content(connection) {
            Ok(true) => {}
            // Nothing worth a copy yet; the first operation is, at once.
            Ok(false) => return,
            Err(fault) => return self.failed(fault),
        }
        self.looked = Some(Instant::now());
        if !keep::is_due(&self.place.path, SystemTime::now()) {
            return;
        }
        let kept = keep::keep_daily(&self.place)
            .and_then(|()| operations::trim(connection))
            .and_then(|()| audit::trim(connection));
        if let Err(fault) = kept {
            self.failed(fault);
        }
    }

    fn has_content(connection: &Connection) -> std::result::Result<bool, Fault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM clusters) OR EXISTS (SELECT 1 FROM operations)";
        Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn failed(&mut self, fault: Fault) {
        self.looked = Some(Instant::now());
        let error: RepositoryError = self.place.tell(fault);
        tracing::error!(%error, "the daily copy could not be made");
    }
}

#[async_trait]
impl StateRepository for State {
    async fn clusters(&self) -> Result<Vec<ClusterSpec>> {
        self.owner.call(|connection| clusters::all(connection)).await
    }

    async fn put_cluster(&self, spec: &ClusterSpec) -> Result<()> {
        let spec = spec.clone();
        self.write(move |transaction| clusters::put(transaction, &spec)).await
    }

    async fn remove_cluster(&self, id: &ClusterId) -> Result<()> {
        let id = id.clone();
        self.write(move |transaction| clusters::remove(transaction, &id)).await
    }

    async fn create_operation(
        &self,
        row: &OperationRow,
        entry: &JournalEntry,
        audit: &AuditEntry,
        cluster: Option<&ClusterSpec>,
    ) -> Result<()> {
        let (row, entry, audit, cluster) = (row.clone(), entry.clone(), audit.clone(), cluster.cloned());
        self.write(move |transaction| {
            operations::insert(transaction, &row)?;
            journal::insert(transaction, &entry)?;
            audit::insert(transaction, &audit)?;
            cluster.map_or(Ok(()), |spec| clusters::put(transaction, &spec))
        })
        .await
    }

    async fn record(&self, row: &OperationRow, entry: &JournalEntry) -> Result<()> {
        let (row, entry) = (row.clone(), entry.clone());
        self.write(move |transaction| {
            operations::update(transaction, &row)?;
            journal::insert(transaction, &entry)
        })
        .await
    }

    async fn unfinished(&self) -> Result<Vec<OperationRow>> {
        self.owner.call(|connection| operations::unfinished(connection)).await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<OperationRow>> {
        let id = id.clone();
        self.owner.call(move |connection| operations::by_id(connection, &id)).await
    }

    async fn operation_by_key(&self, key: &str) -> Result<Option<OperationRow>> {
        let key = key.to_owned();
        self.owner.call(move |connection| operations::by_key(connection, &key)).await
    }

    async fn operations(&self, page: &Page) -> Result<(Vec<Operation>, Option<String>)> {
        let page = page.clone();
        self.owner.call(move |connection| operations::page(connection, &page)).await
    }

    async fn journal(&self, id: &OperationId) -> Result<Vec<JournalEntry>> {
        let id = id.clone();
        self.owner.call(move |connection| journal::of(connection, &id)).await
    }

    async fn add_audit(&self, entry: &AuditEntry) -> Result<()> {
        let entry = entry.clone();
        self.write(move |transaction| audit::insert(transaction, &entry)).await
    }

    async fn audit(&self, page: &Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        let page = page.clone();
        self.owner.call(move |connection| audit::page(connection, &page)).await
    }

    async fn backups(&self) -> Result<Vec<Backup>> {
        self.owner.call(|connection| backups::all(connection)).await
    }

    async fn put_backup(&self, backup: &Backup) -> Result<()> {
        let backup = backup.clone();
        self.write(move |transaction| backups::put(transaction, &backup)).await
    }

    async fn forget_backup(&self, id: &BackupId) -> Result<()> {
        let id = id.clone();
        self.write(move |transaction| backups::remove(transaction, &id)).await
    }

    async fn log_pieces(&self) -> Result<Vec<LogPiece>> {
        self.owner.call(|connection| log::all(connection)).await
    }

    async fn put_log_piece(&self, piece: &LogPiece) -> Result<()> {
        let piece = piece.clone();
        self.write(move |transaction| log::put(transaction, &piece)).await
    }

    async fn forget_log_pieces(&self, pieces: &[LogPiece]) -> Result<()> {
        let pieces = pieces.to_vec();
        self.write(move |transaction| pieces.iter().try_for_each(|piece| log::remove(transaction, piece)))
            .await
    }

    async fn setting(&self, key: &str) -> Result<Option<Value>> {
        let key = key.to_owned();
        self.owner.call(move |connection| settings::get(connection, &key)).await
    }

    async fn set_setting(&self, key: &str, value: &Value) -> Result<()> {
        let (key, value) = (key.to_owned(), value.clone());
        self.write(move |transaction| settings::set(transaction, &key, &value)).await
    }
}
