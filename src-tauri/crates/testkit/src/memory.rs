//! Memory in place of the databases and the keyring. It outlives an engine, so a killed engine can be followed by another
//! over the same memory.

use async_trait::async_trait;
use clusterdeck_domain::{
    Backup, BackupId, ClusterId, ClusterObserved, ClusterSpec, LogPiece, Metric, NodeId, Operation,
    OperationId, Point, SecretRef, Sensitive,
};
use clusterdeck_engine::repository::{
    AuditEntry, CacheRepository, JournalEntry, OperationRow, Page, RepositoryError, Result, SampleRow,
    SecretError, SecretRepository, StateRepository,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// At which journal entry the engine is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// The entry with this number (from 1) is never written: what it would have told is done but not noted.
    Before(usize),
    /// The entry is written and nothing after it happens.
    After(usize),
}

#[derive(Default)]
struct Tables {
    clusters: BTreeMap<ClusterId, ClusterSpec>,
    operations: BTreeMap<OperationId, OperationRow>,
    journal: Vec<JournalEntry>,
    audit: Vec<AuditEntry>,
    settings: BTreeMap<String, serde_json::Value>,
    backups: BTreeMap<BackupId, Backup>,
    log: Vec<LogPiece>,
    secrets: BTreeMap<SecretRef, Sensitive<String>>,
    kill: Option<Kill>,
    recorded: usize,
}

#[derive(Default)]
pub(crate) struct Memory(Mutex<Tables>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn kill_at(&self, kill: Option<Kill>) {
        let mut tables = self.lock();
        tables.kill = kill;
        tables.recorded = 0;
    }
    /// Journal entries written since `kill_at`.
    pub(crate) fn recorded(&self) -> usize {
        self.lock().recorded
    }
    pub(crate) fn secret_names(&self) -> Vec<String> {
        self.lock().secrets.keys().map(|s| s.as_str().to_owned()).collect()
    }
    pub(crate) fn was_killed(&self) -> bool {
        let tables = self.lock();
        matches!(tables.kill, Some(Kill::Before(n) | Kill::After(n)) if tables.recorded >= n)
    }
}

#[async_trait]
impl StateRepository for Memory {
    async fn clusters(&self) -> Result<Vec<ClusterSpec>> {
        Ok(self.lock().clusters.values().cloned().collect())
    }
    async fn put_cluster(&self, spec: &ClusterSpec) -> Result<()> {
        let mut tables = self.lock();
        let before = tables.clusters.get(&spec.id).map_or(0, |s| s.generation);
        if before + 1 != spec.generation {
            return Err(RepositoryError::Stale { what: spec.name.to_string() });
        }
        tables.clusters.insert(spec.id.clone(), spec.clone());
        Ok(())
    }
    async fn remove_cluster(&self, id: &ClusterId) -> Result<()> {
        self.lock().clusters.remove(id);
        Ok(())
    }
    async fn create_operation(
        &self,
        row: &OperationRow,
        entry: &JournalEntry,
        audit: &AuditEntry,
        cluster: Option<&ClusterSpec>,
    ) -> Result<()> {
        let mut tables = self.lock();
        tables.operations.insert(row.operation.id.clone(), row.clone());
        tables.journal.push(entry.clone());
        tables.audit.push(audit.clone());
        if let Some(spec) = cluster {
            tables.clusters.insert(spec.id.clone(), spec.clone());
        }
        Ok(())
    }
    async fn record(&self, row: &OperationRow, entry: &JournalEntry) -> Result<()> {
        let dead = {
            let mut tables = self.lock();
            tables.recorded += 1;
            let number = tables.recorded;
            let kill = tables.kill;
            let silent = matches!(kill, Some(Kill::Before(n)) if number >= n)
                || matches!(kill, Some(Kill::After(n)) if number > n);
            if !silent {
                tables.operations.insert(row.operation.id.clone(), row.clone());
                tables.journal.push(entry.clone());
            }
            silent || matches!(kill, Some(Kill::After(n)) if number >= n)
        };
        if dead {
            // A killed process writes nothing more and returns to nobody.
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    async fn unfinished(&self) -> Result<Vec<OperationRow>> {
        Ok(self.lock().operations.values().filter(|r| !r.operation.state.is_final()).cloned().collect())
    }
    async fn operation(&self, id: &OperationId) -> Result<Option<OperationRow>> {
        Ok(self.lock().operations.get(id).cloned())
    }
    async fn operation_by_key(&self, key: &str) -> Result<Option<OperationRow>> {
        let fits = |row: &&OperationRow| row.idempotency_key.as_deref() == Some(key);
        Ok(self.lock().operations.values().find(fits).cloned())
    }
    async fn operations(&self, _page: &Page) -> Result<(Vec<Operation>, Option<String>)> {
        Ok((self.lock().operations.values().rev().map(|r| r.operation.clone()).collect(), None))
    }
    async fn journal(&self, id: &OperationId) -> Result<Vec<JournalEntry>> {
        Ok(self.lock().journal.iter().filter(|e| e.operation == *id).cloned().collect())
    }
    async fn add_audit(&self, entry: &AuditEntry) -> Result<()> {
        self.lock().audit.push(entry.clone());
        Ok(())
    }
    async fn audit(&self, _page: &Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        Ok((self.lock().audit.iter().rev().cloned().collect(), None))
    }
    async fn backups(&self) -> Result<Vec<Backup>> {
        Ok(self.lock().backups.values().cloned().collect())
    }
    async fn put_backup(&self, backup: &Backup) -> Result<()> {
        self.lock().backups.insert(backup.id.clone(), backup.clone());
        Ok(())
    }
    async fn forget_backup(&self, id: &BackupId) -> Result<()> {
        self.lock().backups.remove(id);
        Ok(())
    }
    async fn log_pieces(&self) -> Result<Vec<LogPiece>> {
        Ok(self.lock().log.clone())
    }
    async fn put_log_piece(&self, piece: &LogPiece) -> Result<()> {
        let log = &mut self.lock().log;
        log.retain(|known| (&known.cluster, known.key()) != (&piece.cluster, piece.key()));
        log.push(piece.clone());
        Ok(())
    }
    async fn forget_log_pieces(&self, pieces: &[LogPiece]) -> Result<()> {
        self.lock().log.retain(|known| !pieces.contains(known));
        Ok(())
    }
    async fn setting(&self, key: &str) -> Result<Option<serde_json::Value>> {
        Ok(self.lock().settings.get(key).cloned())
    }
    async fn set_setting(&self, key: &str, value: &serde_json::Value) -> Result<()> {
        self.lock().settings.insert(key.to_owned(), value.clone());
        Ok(())
    }
}

#[async_trait]
impl CacheRepository for Memory {
    async fn put_observed(&self, _cluster: &ClusterId, _observed: &ClusterObserved) -> Result<()> {
        Ok(())
    }
    async fn observed(&self) -> Result<Vec<(ClusterId, ClusterObserved)>> {
        Ok(Vec::new())
    }
    async fn add_samples(&self, _samples: &[SampleRow]) -> Result<()> {
        Ok(())
    }
    async fn points(
        &self,
        _node: &NodeId,
        _metric: Metric,
        _from: i64,
        _to: i64,
        _step: i64,
    ) -> Result<Vec<Point>> {
        Ok(Vec::new())
    }
    async fn tidy(&self, _now: i64) -> Result<()> {
        Ok(())
    }
    async fn forget(&self, _cluster: &ClusterId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl SecretRepository for Memory {
    fn describe(&self) -> String {
        "memory, for tests".to_owned()
    }
    async fn put(&self, at: &SecretRef, value: &Sensitive<String>) -> std::result::Result<(), SecretError> {
        self.lock().secrets.insert(at.clone(), value.clone());
        Ok(())
    }
    async fn get(&self, at: &SecretRef) -> std::result::Result<Option<Sensitive<String>>, SecretError> {
        Ok(self.lock().secrets.get(at).cloned())
    }
    async fn remove(&self, at: &SecretRef) -> std::result::Result<(), SecretError> {
        self.lock().secrets.remove(at);
        Ok(())
    }
}
