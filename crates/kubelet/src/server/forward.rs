//! `/portForward`: connections to ports of a pod.

use super::exec::{refused, switching};
use super::{Body, pods, text};
use crate::agent::Agent;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;
use streams::server::{Forward, Forwards};
use tokio::io::AsyncWriteExt;
use tracing::debug;

pub(super) fn answer(agent: &Arc<Agent>, namespace: &str, pod: &str, mut request: Request<Incoming>) -> Response<Body> {
    let runtime = match pods::find(agent, namespace, pod) {
        Ok((_, runtime)) => runtime,
        Err(refusal) => return *refusal,
    };
    let Some(sandbox) = runtime.sandboxes.iter().find(|sandbox| sandbox.ready) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "not found");
    };
    let upgrade = match streams::server::forward(&mut request, &agent.env) {
        Ok(upgrade) => upgrade,
        Err(why) => return refused(why),
    };
    let (worker, id) = (agent.clone(), sandbox.id.clone());
    agent.env.tasks.spawn("port forward", async move {
        match upgrade.session.await {
            Ok(forwards) => serve(&worker, &id, forwards).await,
            Err(error) => debug!(%error, "port-forward was not taken up"),
        }
    });
    switching(upgrade.response)
}

/// Every connection is a task of its own; they end when the client goes.
async fn serve(agent: &Arc<Agent>, sandbox: &str, mut forwards: Forwards) {
    while let Some(forward) = forwards.next().await {
        let (worker, id) = (agent.clone(), sandbox.to_owned());
        agent.env.tasks.spawn("forwarded connection", async move { connect(&worker, &id, forward).await });
    }
}

async fn connect(agent: &Agent, sandbox: &str, forward: Forward) {
    let Forward { port, data, error } = forward;
    let (mut from_pod, mut to_pod) = match agent.runtime.port_forward(sandbox, port).await {
        Ok(streams) => streams,
        Err(why) => {
            let text = format!("error forwarding port {port} to pod {sandbox}, uid : {why}");
            return error.report(&text).await;
        }
    };
    let (mut from_client, mut to_client) = tokio::io::split(data);
    let inward = async {
        // Either end may close at any time; the other then sees the end.
        let _ = tokio::io::copy(&mut from_client, &mut to_pod).await;
        let _ = to_pod.shutdown().await;
    };
    let outward = async {
        let _ = tokio::io::copy(&mut from_pod, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(inward, outward);
    drop(error);
}
