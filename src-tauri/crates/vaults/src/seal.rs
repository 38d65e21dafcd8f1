//! Sealing: a stream is compressed and encrypted on a thread of its own while it passes. `age -d -i key.txt FILE | zstd -d`
//! opens it again.

use crate::bridge::sending;
use age::{
    DecryptError, Decryptor, Encryptor,
    secrecy::ExposeSecret as _,
    x25519::{Identity, Recipient},
};
use clusterdeck_domain::{Sensitive, VaultFault};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey};
use std::{
    io::{self, Read, Write},
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
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
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DriverError::vault(
            VaultFault::Full,
            format!("the vault is full: {what} failed; the backups in it are as they were"),
            "make room in the vault (delete old backups, or free disk space), then try again",
        ),
        io::ErrorKind::NotFound => DriverError::Gone { what: what.to_owned() },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DriverError::vault(
            VaultFault::Refused,
            format!("{what} failed: {error}"),
            "give this user the right to write there, then try again",
        ),
        io::ErrorKind::AlreadyExists => DriverError::vault(
            VaultFault::Unreachable,
            format!("{what} failed: something else is where its folder should be"),
            "look at what is there, take it away, then try again",
        ),
        io::ErrorKind::NotADirectory => DriverError::vault(
            VaultFault::Unreachable,
            format!("{what} failed: {error}"),
            "name a folder, or one that can be made",
        ),
        // A share whose server is away.
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::StaleNetworkFileHandle => {
            DriverError::silent_vault(format!("{what} failed: {error}"))
        }
        _ => DriverError::transient(format!("{what} failed: {error}")),
    }
}

fn lost() -> DriverError {
    DriverError::broken("the thread that seals ended without a word")
}

/// What a vault is given, for the thread that works on it.
pub(crate) struct Given {
    /// `None` is the end; a channel that closes without one is an input that failed.
    from: mpsc::Receiver<Option<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Given {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = Read::read(&mut self.piece, buf)?;
            if n > 0 || buf.is_empty() || self.ended {
                return Ok(n);
            }
            match self.from.blocking_recv() {
                Some(Some(piece)) => self.piece = io::Cursor::new(piece),
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the copy was cut off")),
            }
        }
    }
}

/// Has `work` read all of `input`, on a thread of its own. An input that fails is told as that, whatever comes of the work.
pub(crate) async fn working<T: Send + 'static>(
    input: &mut Incoming,
    work: impl FnOnce(Given) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let (give, from) = mpsc::channel::<Option<Vec<u8>>>(UNDER_WAY);
    let given = Given { from, piece: io::Cursor::default(), ended: false };
    let working = spawn_blocking(move || work(given));
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
            // A worker that is gone says why below.
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
    let worked = working.await.map_err(|_| lost())?;
    passed?;
    worked.map_err(|e| broken("writing the copy", &e))
}

/// The half of a key that seals.
pub(crate) fn sealer(key: &SealKey) -> Result<Recipient> {
    Recipient::from_str(&key.public)
        .map_err(|e| DriverError::broken(format!("the key of the backups cannot be read: {e}")))
}

/// Seals all of `from` into `to`, and gives that back when all is written.
pub(crate) fn seal_into<W: Write>(from: impl Read, recipient: &Recipient, to: W) -> io::Result<W> {
    pack_into(from, encryptor(recipient, to)?)?.finish()
}

fn encryptor<W: Write>(recipient: &Recipient, to: W) -> io::Result<age::stream::StreamWriter<W>> {
    let one: [&dyn age::Recipient; 1] = [recipient];
    Encryptor::with_recipients(one.into_iter()).map_err(io::Error::other)?.wrap_output(to)
}

/// Compresses all of `from` into `to`, and gives that back.
fn pack_into<W: Write>(mut from: impl Read, to: W) -> io::Result<W> {
    let mut packed = zstd::Encoder::new(to, LEVEL)?;
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece)? {
            0 => return packed.finish(),
            n => packed.write_all(&piece[..n])?,
        }
    }
}

/// As [`seal_into`], compressing on a second thread: each of the two takes about as long as a server needs to give the data.
fn seal_wide<W: Write>(from: impl Read + Send, recipient: &Recipient, to: W) -> io::Result<W> {
    let mut sealed = encryptor(recipient, to)?;
    std::thread::scope(|threads| {
        let (sending, mut pieces) = sending();
        let packing = threads.spawn(move || pack_into(from, sending)?.flush());
        // What fails here drops the pieces, which ends the one that packs.
        let written = (|| {
            while let Some(piece) = pieces.blocking_recv() {
                sealed.write_all(&piece)?;
            }
            Ok(())
        })();
        drop(pieces);
        let packed =
            packing.join().map_err(|_| io::Error::other("the thread that packs ended without a word"))?;
        written.and(packed)
    })?;
    sealed.finish()
}

/// Seals all of `input` into `to`, and gives that back when all is written. An input that fails leaves it half written.
pub(crate) async fn seal<W: Write + Send + 'static>(input: &mut Incoming, key: &SealKey, to: W) -> Result<W> {
    let recipient = sealer(key)?;
    working(input, move |from| seal_wide(from, &recipient, to)).await
}

/// A reader that remembers how it failed: whoever reads through a cipher cannot tell that from data that is wrong.
struct Watched<R> {
    from: R,
    cut: Arc<Mutex<Option<io::Error>>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.from.read(buf).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                let told = io::Error::new(e.kind(), e.to_string());
                *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            }
        })
    }
}

/// Compresses all of `input` into `output`, without sealing it.
pub(crate) async fn pack(input: &mut Incoming, output: &mut Outgoing) -> Result<()> {
    let (sending, mut packed) = sending();
    let packing = working(input, move |from| pack_into(from, sending)?.flush());
    let passing = async {
        while let Some(piece) = packed.recv().await {
            let written = output.write_all(&piece).await;
            written.map_err(|e| DriverError::transient(format!("passing on a copy failed: {e}")))?;
        }
        // Nothing more comes to whoever packs once this ends.
        drop(packed);
        Ok(())
    };
    let (packing, passing) = tokio::join!(packing, passing);
    passing.and(packing)
}

/// The half of a key that opens.
pub(crate) struct Opener {
    identity: Identity,
    public: String,
}

impl Opener {
    pub(crate) fn new(key: &SealKey) -> Result<Self> {
        let identity = Identity::from_str(key.secret.reveal())
            .map_err(|e| DriverError::broken(format!("the key of the backups cannot be read: {e}")))?;
        Ok(Self { identity, public: key.public.clone() })
    }
    /// Gives what was sealed, piece by piece, until it ends or nobody wants more (`give` says `false`). Nothing that was changed
    /// is given beyond the place of the change.
    pub(crate) fn open(&self, from: impl Read, mut give: impl FnMut(Vec<u8>) -> bool) -> Result<()> {
        let cut = Arc::new(Mutex::new(None));
        let from = Watched { from, cut: cut.clone() };
        // A vault that stops in the middle says nothing about what lies in it.
        let damaged = |e: &dyn std::fmt::Display| {
            let cut = cut.lock().unwrap_or_else(PoisonError::into_inner).take();
            cut.map_or_else(|| damaged(e), |cut| broken("reading the copy", &cut))
        };
        let opened = Decryptor::new(io::BufReader::with_capacity(PIECE, from)).and_then(|sealed| {
            let one: [&dyn age::Identity; 1] = [&self.identity];
            sealed.decrypt(one.into_iter())
        });
        let opened = opened.map_err(|e| closed(e, &self.public))?;
        let mut plain = zstd::Decoder::new(opened).map_err(|e| damaged(&e))?;
        loop {
            let mut piece = vec![0; PIECE];
            let n = plain.read(&mut piece).map_err(|e| damaged(&e))?;
            piece.truncate(n);
            if n == 0 || !give(piece) {
                return Ok(());
            }
        }
    }
}

/// Passes on what `work` gives, which runs on a thread of its own and hears `false` when nobody takes it any more.
pub(crate) async fn passing(
    output: &mut Outgoing,
    work: impl FnOnce(&mut dyn FnMut(Vec<u8>) -> bool) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (give, mut take) = mpsc::channel::<Vec<u8>>(UNDER_WAY);
    let working = spawn_blocking(move || work(&mut |piece| give.blocking_send(piece).is_ok()));
    let mut passed = Ok(());
    while let Some(piece) = take.recv().await {
        if let Err(e) = output.write_all(&piece).await {
            passed = Err(DriverError::transient(format!("passing on a copy failed: {e}")));
            break;
        }
    }
    drop(take);
    working.await.map_err(|_| lost())??;
    passed
}

/// Opens what was sealed. Nothing that was changed is passed on beyond the place of the change.
pub(crate) async fn unseal<R: Read + Send + 'static>(
    from: R,
    output: &mut Outgoing,
    key: &SealKey,
) -> Result<()> {
    let opener = Opener::new(key)?;
    passing(output, move |give| opener.open(from, give)).await
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

pub(crate) fn damaged(error: &dyn std::fmt::Display) -> DriverError {
    DriverError::rejected(
        format!("what the vault returned is damaged: {error}"),
        "this backup cannot be used; choose another one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has, then fails as a share does whose server went away.
    struct Cut(io::Cursor<Vec<u8>>);

    impl Read for Cut {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match Read::read(&mut self.0, buf)? {
                0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the share does not answer")),
                n => Ok(n),
            }
        }
    }

    #[tokio::test]
    async fn a_vault_that_stops_in_the_middle_is_away_and_what_it_holds_is_not_called_damaged() {
        let (key, mut input) = (new_key(), io::Cursor::new(vec![7_u8; 3 << 20]));
        let sealed = seal(&mut input, &key, Vec::new()).await.unwrap();
        for kept in [0, 100, sealed.len() / 2, sealed.len() - 1] {
            let from = Cut(io::Cursor::new(sealed[..kept].to_vec()));
            let told = unseal(from, &mut tokio::io::sink(), &key).await.unwrap_err();
            let away = matches!(told, DriverError::Vault { fault: VaultFault::Unreachable, .. });
            assert!(away, "after {kept} of {} bytes: {told:?}", sealed.len());
        }
    }
}
