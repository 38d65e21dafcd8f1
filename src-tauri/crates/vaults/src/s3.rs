//! A vault in a bucket of an S3-compatible store. Pieces go up in parts, several at a time, each tried again when the store
//! stumbles; nothing has a name there before all of it is.

use crate::{
    bridge::{receiving, sending},
    seal::{seal, unseal},
};
use async_trait::async_trait;
use clusterdeck_domain::{BackupId, BackupKind, Sensitive, VaultFault, VaultPlace};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey, Vault, VaultCheck};
use futures::StreamExt as _;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use std::{io, time::Duration};

/// A store that stumbles for longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a part: the least that stores take is 5 MiB, and there may be 10,000, so that a piece may have 160 GiB.
const PART: usize = 16 << 20;
/// Parts under way at once: with them this holds some 48 MiB, however large the copy is.
const AT_ONCE: usize = 2;

/// See the module.
pub struct Bucket {
    id: String,
    place: String,
    prefix: String,
    store: AmazonS3,
}

impl Bucket {
    /// The vault of this name in a bucket.
    ///
    /// # Errors
    /// `Rejected` where the store cannot be meant.
    pub fn new(id: &str, place: &VaultPlace, secret: &Sensitive<String>) -> Result<Self> {
        let VaultPlace::S3 { endpoint, region, bucket, prefix, access_key } = place else {
            return Err(DriverError::broken("a bucket that is none"));
        };
        let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
        let built = AmazonS3Builder::new()
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_region(region)
            .with_bucket_name(bucket)
            .with_access_key_id(access_key)
            .with_secret_access_key(secret.reveal())
            .with_allow_http(endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false)
            .with_retry(retry)
            .build();
        let store = built.map_err(|e| {
            DriverError::rejected(
                format!("the store at {endpoint} cannot be used: {e}"),
                "look at its settings",
            )
        })?;
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Self { id: id.to_owned(), place: place.place(), prefix, store })
    }

    fn at(&self, backup: &BackupId, name: &str) -> Path {
        self.below(&format!("{backup}/{name}"))
    }
    fn below(&self, rest: &str) -> Path {
        Path::from(format!("{}/{rest}", self.prefix).trim_matches('/'))
    }

    fn failed(&self, what: &str, error: &Error) -> DriverError {
        let words = chain(error);
        let cannot =
            |fault, why: &str, hint: &str| DriverError::vault(fault, format!("{what} failed: {why}"), hint);
        if words.contains("QuotaExceeded") || words.contains("InsufficientStorage") || words.contains("507") {
            return cannot(
                VaultFault::Full,
                &format!("the vault is full ({}); the backups in it are as they were", self.place),
                "make room in the bucket, or raise its quota, then try again",
            );
        }
        match error {
            Error::NotFound { .. } if words.contains("NoSuchBucket") => {
                let why = format!("there is no such bucket ({})", self.place);
                cannot(VaultFault::Unreachable, &why, "make the bucket first")
            }
            Error::NotFound { .. } => DriverError::Gone { what: what.to_owned() },
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => cannot(
                VaultFault::Refused,
                &format!("the store at {} does not accept the access key for that", self.place),
                "look at the key and its rights: it must read, write, list and delete in this bucket",
            ),
            _ => DriverError::silent_vault(format!(
                "{what} failed: {} does not answer as it should ({words})",
                self.place
            )),
        }
    }

    async fn upload(&self, at: &Path, mut pieces: tokio::sync::mpsc::Receiver<Vec<u8>>) -> Upload {
        let begun = self.store.put_multipart(at).await;
        let mut upload = match begun {
            Ok(upload) => WriteMultipart::new_with_chunk_size(upload, PART),
            Err(error) => return Err(error),
        };
        let mut bytes = 0;
        while let Some(piece) = pieces.recv().await {
            bytes += piece.len() as u64;
            if let Err(error) = upload.wait_for_capacity(AT_ONCE).await {
                drop(upload.abort().await);
                return Err(error);
            }
            upload.write(&piece);
        }
        Ok((upload, bytes))
    }
}

type Upload = std::result::Result<(WriteMultipart, u64), Error>;

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

#[async_trait]
impl Vault for Bucket {
    fn id(&self) -> &str {
        &self.id
    }
    fn kind(&self) -> BackupKind {
        BackupKind::S3
    }
    async fn check(&self) -> Result<VaultCheck> {
        let (probe, what) = (self.below(".clusterdeck-probe"), "writing to the vault");
        let limit = Duration::from_secs(8);
        let tried = async {
            self.store.put(&probe, PutPayload::from_static(b"may be deleted")).await?;
            self.store.delete(&probe).await
        };
        match tokio::time::timeout(limit, tried).await {
            Ok(tried) => tried.map_err(|e| self.failed(what, &e))?,
            Err(_) => {
                return Err(DriverError::silent_vault(format!(
                    "{} does not answer within {} s",
                    self.place,
                    limit.as_secs()
                )));
            }
        }
        Ok(VaultCheck { free_bytes: None, used_bytes: None })
    }
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, key: &SealKey) -> Result<u64> {
        let at = self.at(backup, &format!("{piece}.zst.age"));
        let (to, pieces) = sending();
        let sealing = async {
            // The last piece is given here, since the end of the file is the end of the queue.
            let mut to = seal(input, key, to).await?;
            let given = tokio::task::spawn_blocking(move || io::Write::flush(&mut to)).await;
            given
                .map_err(|_| DriverError::broken("the thread that seals ended without a word"))?
                .map_err(|e| DriverError::transient(format!("passing on the copy failed: {e}")))
        };
        let (sealed, uploaded) = tokio::join!(sealing, self.upload(&at, pieces));
        let (upload, bytes) = uploaded.map_err(|e| self.failed("writing to the vault", &e))?;
        if let Err(error) = sealed {
            drop(upload.abort().await);
            return Err(error);
        }
        upload.finish().await.map_err(|e| self.failed("writing to the vault", &e))?;
        Ok(bytes)
    }
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, key: &SealKey) -> Result<()> {
        let at = self.at(backup, &format!("{piece}.zst.age"));
        let what = format!("reading the piece {piece} of backup {backup}");
        let found = self.store.get(&at).await.map_err(|e| self.failed(&what, &e))?;
        let mut stream = found.into_stream();
        let (to, from) = receiving();
        let fetch = async move {
            while let Some(some) = stream.next().await {
                let cut = |e| io::Error::new(io::ErrorKind::ConnectionAborted, chain(&e));
                let some = some.map(|bytes| bytes.to_vec()).map_err(cut);
                let failed = some.is_err();
                if to.send(some).await.is_err() || failed {
                    return;
                }
            }
        };
        let ((), opened) = tokio::join!(fetch, unseal(from, output, key));
        opened
    }
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()> {
        let put = self.store.put(&self.at(backup, name), PutPayload::from(content.to_vec())).await;
        put.map(drop).map_err(|e| self.failed("writing to the vault", &e))
    }
    async fn remove_piece(&self, backup: &BackupId, piece: &str) -> Result<()> {
        match self.store.delete(&self.at(backup, &format!("{piece}.zst.age"))).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("removing from the vault", &e)),
        }
    }
    async fn remove(&self, backup: &BackupId) -> Result<()> {
        let folder = self.below(backup.as_str());
        let mut found = self.store.list(Some(&folder));
        while let Some(object) = found.next().await {
            let object = object.map_err(|e| self.failed("looking into the vault", &e))?;
            match self.store.delete(&object.location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed("removing from the vault", &e)),
            }
        }
        Ok(())
    }
    async fn backups(&self) -> Result<Vec<BackupId>> {
        let top = self.below("");
        let listed = self.store.list_with_delimiter(Some(&top)).await;
        let listed = listed.map_err(|e| self.failed("looking into the vault", &e))?;
        let names = listed.common_prefixes.iter().filter_map(|p| p.parts().next_back());
        Ok(names.filter_map(|name| BackupId::parse(name.as_ref()).ok()).collect())
    }
}
