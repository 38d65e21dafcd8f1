//! Sealing: a stream is compressed and encrypted on a thread of its own while it passes. `age -d -i key.txt FILE | zstd -d`
//! opens it again.

use age::{
    DecryptError, Decryptor, Encryptor,
    secrecy::ExposeSecret as _,
    x25519::{Identity, Recipient},
};
use clusterdeck_domain::Sensitive;
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey};
use std::{
    io::{self, Read, Write},
    str::FromStr as _,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    task::spawn_blocking,
};

/// Bytes passed on at once.
const PIECE: usize = 256 << 10;
/// Pieces under way between two threads: with them a copy holds some MiB of memory, however large it is.
const UNDER_WAY: usize = 4;
/// The fastest that still makes text a quarter: the two cores of a small server have other work.
const LEVEL: i32 = 1;

/// A new key.
pub fn new_key() -> SealKey {
    let made = Identity::generate();
    SealKey {
        public: made.to_public().to_string(),
        secret: Sensitive::new(made.to_string().expose_secret().to_owned()),
    }
}

/// A key from its secret half; lines that begin with `#` are remarks, as `age-keygen` writes them.
pub(crate) fn read_key(text: &Sensitive<String>) -> std::result::Result<SealKey, String> {
    let line = text.reveal().lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let identity = Identity::from_str(line.unwrap_or_default()).map_err(ToOwned::to_owned)?;
    Ok(SealKey {
        public: identity.to_public().to_string(),
        secret: Sensitive::new(identity.to_string().expose_secret().to_owned()),
    })
}

/// Why our end of it failed.
pub(crate) fn broken(what: &str, error: &io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DriverError::rejected(
            format!("the vault is full: {what} failed; the backups in it are as they were"),
            "make room in the vault (delete old backups, or free disk space), then try again",
        ),
        io::ErrorKind::NotFound => DriverError::Gone { what: what.to_owned() },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DriverError::rejected(
            format!("{what} failed: {error}"),
            "give this user the right to write there, then try again",
        ),
        _ => DriverError::transient(format!("{what} failed: {error}")),
    }
}

fn lost() -> DriverError {
    DriverError::broken("the thread that seals ended without a word")
}

/// Seals all of `input` into `to`, and gives that back when all is written. An input that fails leaves it half written.
pub(crate) async fn seal<W: Write + Send + 'static>(input: &mut Incoming, key: &SealKey, to: W) -> Result<W> {
    let recipient = Recipient::from_str(&key.public)
        .map_err(|e| DriverError::broken(format!("the key of the backups cannot be read: {e}")))?;
    // `None` is the end; a channel that closes without one is an input that failed.
    let (give, mut take) = mpsc::channel::<Option<Vec<u8>>>(UNDER_WAY);
    let sealing = spawn_blocking(move || -> io::Result<Option<W>> {
        let one: [&dyn age::Recipient; 1] = [&recipient];
        let sealed =
            Encryptor::with_recipients(one.into_iter()).map_err(io::Error::other)?.wrap_output(to)?;
        let mut packed = zstd::Encoder::new(sealed, LEVEL)?;
        loop {
            match take.blocking_recv() {
                Some(Some(piece)) => packed.write_all(&piece)?,
                Some(None) => return packed.finish()?.finish().map(Some),
                None => return Ok(None),
            }
        }
    });
    let passed = async {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            while piece.len() < PIECE {
                match input.read_buf(&mut piece).await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(e) => return Err(DriverError::transient(format!("the copy was cut off: {e}"))),
                }
            }
            let last = piece.len() < PIECE;
            // A sealer that is gone says why below.
            if give.send(Some(piece)).await.is_err() {
                return Ok(());
            }
            if last {
                drop(give.send(None).await);
                return Ok(());
            }
        }
    }
    .await;
    drop(give);
    let sealed = sealing.await.map_err(|_| lost())?;
    passed?;
    sealed.map_err(|e| broken("writing the copy", &e))?.ok_or_else(lost)
}

/// Opens what was sealed. Nothing that was changed is passed on beyond the place of the change.
pub(crate) async fn unseal<R: Read + Send + 'static>(
    from: R,
    output: &mut Outgoing,
    key: &SealKey,
) -> Result<()> {
    let identity = Identity::from_str(key.secret.reveal())
        .map_err(|e| DriverError::broken(format!("the key of the backups cannot be read: {e}")))?;
    let public = key.public.clone();
    let (give, mut take) = mpsc::channel::<Vec<u8>>(UNDER_WAY);
    let opening = spawn_blocking(move || -> Result<()> {
        let opened = Decryptor::new(io::BufReader::with_capacity(PIECE, from)).and_then(|sealed| {
            let one: [&dyn age::Identity; 1] = [&identity];
            sealed.decrypt(one.into_iter())
        });
        let opened = opened.map_err(|e| closed(e, &public))?;
        let mut plain = zstd::Decoder::new(opened).map_err(|e| damaged(&e))?;
        loop {
            let mut piece = vec![0; PIECE];
            let n = plain.read(&mut piece).map_err(|e| damaged(&e))?;
            piece.truncate(n);
            if n == 0 || give.blocking_send(piece).is_err() {
                return Ok(());
            }
        }
    });
    let mut passed = Ok(());
    while let Some(piece) = take.recv().await {
        if let Err(e) = output.write_all(&piece).await {
            passed = Err(DriverError::transient(format!("passing on a copy failed: {e}")));
            break;
        }
    }
    drop(take);
    opening.await.map_err(|_| lost())??;
    passed
}

fn closed(error: DecryptError, public: &str) -> DriverError {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => DriverError::rejected(
            format!("this backup is sealed for another key than the one of this home ({public})"),
            "bring back the key it was made with: `clusterdeck vault key --import FILE`",
        ),
        DecryptError::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => broken("reading the copy", &e),
        other => damaged(&other),
    }
}

fn damaged(error: &dyn std::fmt::Display) -> DriverError {
    DriverError::rejected(
        format!("what the vault returned is damaged: {error}"),
        "this backup cannot be used; choose another one",
    )
}
