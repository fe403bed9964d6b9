//! `/portForward`: connections to ports of a pod.

use super::exec::{refused, switching};
use super::route::Query;
use super::{Body, pods, text};
use crate::agent::Agent;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use streams::server::{Forward, Forwards};
use tokio::io::AsyncWriteExt;
use tracing::debug;

pub(super) fn answer(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    query: &Query,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let runtime = match pods::find(agent, namespace, pod) {
        Ok((_, runtime)) => runtime,
        Err(refusal) => return *refusal,
    };
    let Some(sandbox) = runtime.sandboxes.iter().find(|sandbox| sandbox.ready) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "not found");
    };
    let upgrade = match streams::server::forward(&mut request, ports(query), &agent.env) {
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

/// What a client still sends after the pod has said all gets so long.
const LAST_INPUT: Duration = Duration::from_secs(1);

/// The ports that a query names, for clients whose protocol does not.
fn ports(query: &Query) -> Result<Vec<u16>, String> {
    let given: Vec<&String> = query.iter().filter(|(name, _)| name == "port").map(|(_, value)| value).collect();
    if given.is_empty() {
        return Err("query parameter \"port\" is required".to_owned());
    }
    let mut ports = Vec::new();
    for text in given {
        if text.is_empty() {
            return Err("query parameter \"port\" cannot be empty".to_owned());
        }
        for part in text.split(',') {
            match part.parse() {
                Ok(0) => return Err(format!("port {text:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(error) => return Err(format!("unable to parse {text:?} as a port: {error}")),
            }
        }
    }
    Ok(ports)
}

/// Every connection is a task of its own; they end when the client goes.
async fn serve(agent: &Arc<Agent>, sandbox: &str, mut forwards: Forwards) {
    while let Some(forward) = forwards.next().await {
        let (worker, id) = (agent.clone(), sandbox.to_owned());
        agent.env.tasks.spawn("forwarded connection", async move { connect(&worker, &id, forward).await });
    }
}

async fn connect(agent: &Agent, sandbox: &str, forward: Forward) {
    let Forward { port, input: mut from_client, output: mut to_client, error } = forward;
    let (mut from_pod, mut to_pod) = match agent.runtime.port_forward(sandbox, port).await {
        Ok(streams) => streams,
        Err(why) => {
            let text = format!("error forwarding port {port} to pod {sandbox}, uid : {why}");
            return error.report(&text).await;
        }
    };
    let inward = async {
        // Either end may close at any time; the other then sees the end.
        let _ = tokio::io::copy(&mut from_client, &mut to_pod).await;
        let _ = to_pod.shutdown().await;
    };
    let outward = async {
        let _ = tokio::io::copy(&mut from_pod, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let mut inward = std::pin::pin!(inward);
    let mut outward = std::pin::pin!(outward);
    tokio::select! {
        // Over channels no client can say that it is through.
        () = &mut outward => {
            let _ = agent.env.clock.timeout(LAST_INPUT, inward).await;
        }
        () = &mut inward => outward.await,
    }
    drop(error);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_query() {
        let ask =
            |values: &[&str]| ports(&values.iter().map(|value| ("port".to_owned(), (*value).to_owned())).collect());
        assert_eq!(ask(&["80"]), Ok(vec![80]));
        assert_eq!(ask(&["80,81", "82"]), Ok(vec![80, 81, 82]));
        assert_eq!(ask(&[]).unwrap_err(), "query parameter \"port\" is required");
        assert_eq!(ask(&[""]).unwrap_err(), "query parameter \"port\" cannot be empty");
        assert_eq!(ask(&["0"]).unwrap_err(), "port \"0\" must be > 0");
        assert!(ask(&["70000"]).unwrap_err().starts_with("unable to parse \"70000\" as a port"));
    }
}
