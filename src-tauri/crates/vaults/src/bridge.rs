//! Between the thread that seals and what goes over a network: pieces through a short queue, so that neither runs ahead.

use std::io::{self, Read, Write};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces under way.
const UNDER_WAY: usize = 8;
/// Bytes that are gathered to a piece.
const PIECE: usize = 256 << 10;

/// Where the thread writes.
pub(crate) struct Sending {
    to: Sender<Vec<u8>>,
    piece: Vec<u8>,
}

/// What it writes, for whoever passes it on.
pub(crate) fn sending() -> (Sending, Receiver<Vec<u8>>) {
    let (to, from) = channel(UNDER_WAY);
    (Sending { to, piece: Vec::with_capacity(PIECE) }, from)
}

impl Sending {
    fn give(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the copy any more");
        self.to.blocking_send(piece).map_err(|_| gone())
    }
}

impl Write for Sending {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&buf[..n]);
        if self.piece.len() == PIECE {
            self.give()?;
        }
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.give() }
    }
}

/// Where the thread reads.
pub(crate) struct Receiving {
    from: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
}

/// Where what comes over a network is put.
pub(crate) fn receiving() -> (Sender<io::Result<Vec<u8>>>, Receiving) {
    let (to, from) = channel(UNDER_WAY);
    (to, Receiving { from, piece: io::Cursor::new(Vec::new()) })
}

impl Read for Receiving {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.piece.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            match self.from.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece?),
                None => return Ok(0),
            }
        }
    }
}
