//! The accept loop: one task per connection, TLS, HTTP/1.1 and HTTP/2, bounds on everything a
//! client can hold open.

use super::{Front, HttpRequest};
use auth::authn::ClientCertificate;
use base::Env;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Connections beyond this wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_000;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);
/// As upstream: requests under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// As upstream: what a client may send ahead on one request (nearly every body fits), and on all of a
/// connection together, so that bodies which wait for their turn do not hold up the others.
const BODY_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = BODY_WINDOW * MAX_STREAMS;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a connection.
pub struct Peer {
    pub address: SocketAddr,
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Serves until the environment's tasks are told to stop.
pub async fn serve(env: Env, listener: TcpListener, tls: TlsAcceptor, front: Arc<Front>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.drain.begun() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: it passes when connections end.
                warn!(%error, "cannot accept a connection");
                env.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, front, clock) = (tls.clone(), front.clone(), env.clock.clone());
        env.tasks.spawn("api connection", async move {
            let (_slot, _connected) = (slot, front.drain.connect());
            // Small answers must not wait for the client's acknowledgement.
            let _ = stream.set_nodelay(true);
            match clock.timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, address, front).await,
                Ok(Err(error)) => {
                    front.measure.handshake_errors.inc();
                    debug!(%address, %error, "TLS handshake error");
                }
                Err(_) => {
                    front.measure.handshake_errors.inc();
                    debug!(%address, "TLS handshake timed out");
                }
            }
        });
    }
}

async fn connection(stream: tokio_rustls::server::TlsStream<TcpStream>, address: SocketAddr, front: Arc<Front>) {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.and_then(|der| match ClientCertificate::new(der) {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(error) => {
            debug!(%address, %error, "cannot read a client's certificate");
            None
        }
    });
    let peer = Arc::new(Peer { address, certificate });
    let (drain, leave) = (front.drain.clone(), Arc::new(Notify::new()));
    let asked_to_leave = leave.clone();
    let service = service_fn(move |request: HttpRequest| {
        let (front, peer) = (front.clone(), peer.clone());
        let chance = front.server.settings.limits.goaway_chance;
        if chance > 0.0 && request.version() == http::Version::HTTP_2 && front.server.env.rng.chance(chance) {
            front.measure.goaways.inc();
            leave.notify_one();
        }
        async move { Ok::<_, Infallible>(front.answer(&peer, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(128 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(BODY_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = drain.begun() => None,
        () = asked_to_leave.notified() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // Takes no more requests, and answers those that are there.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%address, %error, "connection ended");
    }
}
