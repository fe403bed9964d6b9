//! The kubelet's own HTTPS API (port 10250): logs, exec, attach and port-forward for the API server,
//! figures for metrics collectors.

mod access;
mod authenticate;
mod exec;
mod forward;
mod logs;
mod metrics;
mod pods;
mod route;

pub(crate) use metrics::Recent;

use crate::KubeletError;
use crate::agent::Agent;
use authenticate::Gate;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use route::Peer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

#[derive(Clone)]
pub struct ServerOptions {
    pub listen: SocketAddr,
    /// With the node's certificate; asks clients for theirs and checks them against the client CA,
    /// but lets in those that show none (they need a token).
    pub tls: Arc<rustls::ServerConfig>,
}

const CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(crate) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

pub(crate) async fn start(agent: &Arc<Agent>, options: ServerOptions) -> Result<SocketAddr, KubeletError> {
    let failed = |error: std::io::Error| KubeletError::Listen { address: options.listen, why: error.to_string() };
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut tls = (*options.tls).clone();
    // Streams are upgrades, which HTTP/2 does not have.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = Arc::new(Server {
        gate: Gate::new(agent.clone()),
        acceptor: TlsAcceptor::from(Arc::new(tls)),
        agent: agent.clone(),
    });
    agent.env.tasks.spawn("kubelet API", server.accept(listener));
    Ok(address)
}

struct Server {
    agent: Arc<Agent>,
    gate: Gate,
    acceptor: TlsAcceptor,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // Never closed.
            let Ok(place) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    self.agent.env.tasks.spawn("kubelet API connection", async move {
                        server.serve(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "the kubelet API cannot accept a connection");
                    self.agent.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // A lost setting costs a little speed only.
        let _ = stream.set_nodelay(true);
        let stream = match self.agent.env.clock.timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
            Err(_) => return,
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = Arc::new(Peer { user: certificate.and_then(authenticate::user_of) });
        let server = self.clone();
        let service = service_fn(move |request| {
            let (server, peer) = (server.clone(), peer.clone());
            async move {
                Ok::<_, std::convert::Infallible>(route::answer(&server.agent, &server.gate, &peer, request).await)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(60))
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            debug!(%error, "a kubelet API connection ended");
        }
    }
}

pub(crate) fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

/// Plain text, as upstream's kubelet answers errors.
pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    full(status, "text/plain; charset=utf-8", message.into())
}

pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    full(StatusCode::OK, "application/json", value.to_string())
}
