//! One small GET of our own to an aggregated server.

use super::Aggregator;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

/// For all of it: upstream gives a server five seconds to show that it lives.
const TIME: Duration = Duration::from_secs(5);
const MAX_DOCUMENT: usize = 8 << 20;

impl Aggregator {
    /// Answers with the status and body, or with why there is none.
    pub(super) async fn fetch(
        &self,
        tls: Arc<ClientConfig>,
        (host, port): (&str, u16),
        server_name: &str,
        path: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        match self.env.clock.timeout(TIME, self.exchange(tls, (host, port), server_name, path)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("context deadline exceeded".to_owned()),
        }
    }

    async fn exchange(
        &self,
        tls: Arc<ClientConfig>,
        (host, port): (&str, u16),
        server_name: &str,
        path: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let refused = |why: String| format!("dial tcp {address}: {why}");
        let stream = TcpStream::connect(&address).await.map_err(|error| refused(error.to_string()))?;
        let name = ServerName::try_from(server_name.to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        self.env.tasks.spawn("look at an aggregated server", async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection to an aggregated server ended");
            }
        });
        let request = Request::get(path)
            .header(header::HOST, server_name)
            .header(header::ACCEPT, "application/json")
            .header("x-remote-user", "system:kube-aggregator")
            .header("x-remote-group", auth::names::MASTERS)
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}
