//! The middle of a copy: what the server gives goes in, what the vault takes comes out, counted and summed on the way. Nobody
//! holds more of it than the pipe does.

use sha2::{Digest as _, Sha256};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

/// Bytes in the pipe.
const PIPE: usize = 1 << 20;

/// What went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// Passes on what is written to it, and sums it.
pub(crate) struct Summing<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
    told: Box<dyn Fn(u64) + Send + Sync>,
}

impl<W> Summing<W> {
    /// `told` hears, now and then, how much went through.
    pub(crate) fn new(to: W, told: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { to, hash: Sha256::new(), bytes: 0, told: Box::new(told) }
    }
    pub(crate) fn sum(self) -> Sum {
        let digits = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Sum { bytes: self.bytes, sha256: digits }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Summing<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.to).poll_write(cx, buf))?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        (self.told)(self.bytes);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(cx)
    }
}

/// Where a copy goes in.
pub(crate) struct Inlet {
    pub(crate) to: Summing<DuplexStream>,
    whole: Arc<AtomicBool>,
}

impl Inlet {
    /// All of it went in. One that is dropped without this leaves a copy that was cut off, and the other end says so.
    pub(crate) async fn finish(mut self) -> io::Result<Sum> {
        self.whole.store(true, Ordering::Release);
        self.to.shutdown().await?;
        Ok(self.to.sum())
    }
}

/// Where it comes out.
pub(crate) struct Outlet {
    from: DuplexStream,
    whole: Arc<AtomicBool>,
}

impl AsyncRead for Outlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buf))?;
        let ended = buf.filled().len() == before && buf.remaining() > 0;
        if ended && !self.whole.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the copy was cut off")));
        }
        Poll::Ready(Ok(()))
    }
}

/// A pipe.
pub(crate) fn pipe(told: impl Fn(u64) + Send + Sync + 'static) -> (Inlet, Outlet) {
    let (to, from) = tokio::io::duplex(PIPE);
    let whole = Arc::new(AtomicBool::new(false));
    (Inlet { to: Summing::new(to, told), whole: whole.clone() }, Outlet { from, whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_comes_out_is_what_went_in_and_a_copy_that_was_cut_off_is_no_end() {
        let (mut inlet, mut outlet) = pipe(|_| {});
        let give = async {
            inlet.to.write_all(b"abc").await.unwrap();
            inlet.finish().await.unwrap()
        };
        let mut taken = Vec::new();
        let (sum, read) = tokio::join!(give, outlet.read_to_end(&mut taken));
        assert_eq!((read.unwrap(), taken.as_slice(), sum.bytes), (3, b"abc".as_slice(), 3));
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sum.sha256, known, "SHA-256 of abc, from FIPS 180-2");

        let (mut inlet, mut outlet) = pipe(|_| {});
        let give = async {
            inlet.to.write_all(b"abc").await.unwrap();
            drop(inlet);
        };
        let mut taken = Vec::new();
        let ((), read) = tokio::join!(give, outlet.read_to_end(&mut taken));
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
