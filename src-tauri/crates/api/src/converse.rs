//! HTTP over a stream that was accepted: the same limits for the local socket and for `serve`.

use axum::{
    body::Body,
    http::{Request, Response},
};
use futures::future::BoxFuture;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Answers a request.
pub(crate) type Handler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Connections at one time. A window holds about five.
const CONNECTIONS: usize = 256;
/// How long a client may take to say what it wants; also how long an idle connection is kept.
const HEADERS: Duration = Duration::from_secs(30);
/// How long open answers get to end when everything ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where connections come from.
pub(crate) trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// The next one.
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
    /// The address at its other end, where it has one.
    fn peer(_stream: &Self::Stream) -> Option<IpAddr> {
        None
    }
}

/// The address a request came from, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

#[cfg(unix)]
impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;
    async fn next(&self) -> std::io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;
    async fn next(&self) -> std::io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        // Small notices must not wait for company.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
    fn peer(stream: &Self::Stream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|at| at.ip())
    }
}

/// Accepts connections until `closing`, each in its own task of `tasks`.
pub(crate) async fn accept<L>(listener: L, handler: Handler, closing: CancellationToken, tasks: TaskTracker)
where
    L: Accept,
    L::Stream: AsyncRead + AsyncWrite + Unpin,
{
    accept_as(listener, |stream| async move { Some(stream) }, handler, closing, tasks).await;
}

/// The same, with a greeting (TLS) that happens in the connection's own task, so that a slow one delays nobody.
pub(crate) async fn accept_as<L, T, F>(
    listener: L,
    greet: impl Fn(L::Stream) -> F + Clone + Send + 'static,
    handler: Handler,
    closing: CancellationToken,
    tasks: TaskTracker,
) where
    L: Accept,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Option<T>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = closing.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.next() => accepted,
            () = closing.cancelled() => return,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: give others time to close some.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (greet, handler, closing) = (greet.clone(), handler.clone(), closing.clone());
        let peer = L::peer(&stream).map(Peer);
        tasks.spawn(async move {
            let _place = place;
            if let Some(stream) = greet(stream).await {
                converse(stream, peer, handler, closing).await;
            }
        });
    }
}

async fn converse<T>(stream: T, peer: Option<Peer>, handler: Handler, closing: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let answer = handler(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = closing.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // A client that goes away in the middle is nothing to worry about.
        tracing::debug!(%error, "a connection ended early");
    }
}
