//! Logs for clients that ask for a WebSocket, as pages in browsers do: the node is asked in the plain
//! way, and every piece of its answer becomes a message.

use super::forward::forward;
use super::target::Target;
use crate::http::{HttpRequest, HttpResponse, Payload};
use base::Env;
use http::header;
use http_body_util::BodyExt as _;
use meta::Status;
use std::sync::Arc;
use streams::Output;
use tokio::io::AsyncWriteExt as _;
use tracing::debug;

pub async fn over_websocket(
    env: &Env,
    tls: &Arc<rustls::ClientConfig>,
    target: Target,
    mut request: HttpRequest,
) -> Result<HttpResponse, Status> {
    let upgrade = streams::server::output(&mut request).map_err(|refused| Status::bad_request(refused.message))?;
    for own in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        request.headers_mut().remove(own);
    }
    let answer = forward(env, tls, target, request).await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let session = upgrade.session;
    env.tasks.spawn("log over a websocket", async move {
        let written = async { copy(answer.into_body(), session.await.map_err(std::io::Error::other)?).await };
        if let Err(error) = written.await {
            debug!(%error, "a log's reader went away");
        }
    });
    Ok(upgrade.response.map(|()| Payload::empty()))
}

async fn copy(mut log: Payload, mut client: Output) -> std::io::Result<()> {
    while let Some(piece) = log.frame().await {
        if let Ok(bytes) = piece.map_err(std::io::Error::other)?.into_data() {
            client.write_all(&bytes).await?;
            client.flush().await?;
        }
    }
    client.shutdown().await
}
