//! `kubectl port-forward`: ports of this machine lead to those of a pod.

use super::exec::running;
use super::logs::pod_of;
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, list};
use crate::output::{error_line, line};
use crate::print::{name_of, namespace_of};
use crate::session::{Call, Session};
use crate::shared_flags::RUNNING_TIMEOUT;
use crate::terminal::failed;
use serde_json::Value;
use std::sync::Arc;
use streams::Transport;
use streams::client::{Forwarder, forward};
use tokio::net::{TcpListener, TcpStream};

const FLAGS: &[Flag] = &[list("address", "Addresses to listen on (comma separated)."), RUNNING_TIMEOUT];

pub static COMMAND: Command = Command {
    name: "port-forward",
    usage: "port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
    short: "Forward one or more local ports to a pod",
    examples: "# Listen on ports 5000 and 6000 locally, forwarding data to/from ports 5000 and 6000 in the pod\nkubectl port-forward pod/mypod 5000 6000\n\n# Listen on port 8443 locally, forwarding to the targetPort of the service's port named \"https\" in a pod selected by the service\nkubectl port-forward service/myservice 8443:https",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let Some((word, specs)) = args.words.split_first().filter(|(_, specs)| !specs.is_empty()) else {
            return Err(Failure::usage(&session.path, "TYPE/NAME and list of ports are required for port-forward"));
        };
        let (pod, owner) = match word.split_once('/') {
            Some((kind, _)) if !["pod", "pods", "po"].contains(&kind) => {
                let targets = crate::targets::from_words(session, std::slice::from_ref(word), false).await?;
                let owner = targets[0].get(session).await?;
                (pod_of(session, word).await?.0, owner)
            }
            _ => (running(session, word).await?, Value::Null),
        };
        if pod["status"]["phase"] != "Running" {
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            let text = format!("unable to forward port because pod is not running. Current status={phase}");
            return Err(Failure::message(text));
        }
        let ports = specs.iter().map(|spec| ports(spec, &pod, &owner)).collect::<Outcome<Vec<_>>>()?;
        let path = format!("/api/v1/namespaces/{}/pods/{}/portforward", namespace_of(&pod), name_of(&pod));
        let forwarder = Arc::new(connect(session, &path).await?);
        let mut addresses = args.list("address");
        if addresses.is_empty() {
            addresses.push("localhost".to_owned());
        }
        let mut listening = 0;
        for (local, remote) in ports {
            for address in addresses.iter().flat_map(|address| resolved(address)) {
                listening += usize::from(listen(session, &address, local, remote, &forwarder).await);
            }
        }
        if listening == 0 {
            return Err(Failure::message("unable to listen on any of the requested ports"));
        }
        forwarder.gone().await;
        Err(Failure::message("lost connection to pod"))
    })
}

async fn connect(session: &Session, path: &str) -> Outcome<Forwarder> {
    let (io, request) = session.dial(Call::get(path)).await?;
    match forward(io, request, Transport::WebSocket, &session.env).await {
        Err(streams::StreamError::Refused { status, .. }) if status.as_u16() == 400 || status.as_u16() == 426 => {
            let (io, mut request) = session.dial(Call::get(path)).await?;
            *request.method_mut() = http::Method::POST;
            forward(io, request, Transport::Spdy, &session.env).await.map_err(failed)
        }
        other => other.map_err(failed),
    }
}

fn resolved(address: &str) -> Vec<String> {
    match address {
        "localhost" => vec!["127.0.0.1".to_owned(), "::1".to_owned()],
        other => vec![other.to_owned()],
    }
}

/// `8080`, `8080:80`, `:80`, and names in place of the second number; local 0 takes any.
fn ports(spec: &str, pod: &Value, owner: &Value) -> Outcome<(u16, u16)> {
    let (local, remote) = spec.split_once(':').unwrap_or((spec, spec));
    let bad = |text: &str| {
        Failure::message(format!(
            "error parsing remote port {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    };
    let target =
        if owner["kind"] == "Service" { target_port(remote, pod, owner)? } else { container_port(remote, pod) };
    let remote_port = target.ok_or_else(|| bad(remote))?;
    if remote_port == 0 {
        return Err(Failure::message("remote port must be > 0"));
    }
    let local_port = match local {
        "" => 0,
        _ if local == remote && local.parse::<u16>().is_err() => remote_port,
        text => text.parse().map_err(|_| {
            Failure::message(format!(
                "error parsing local port {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?,
    };
    Ok((local_port, remote_port))
}

fn container_port(text: &str, pod: &Value) -> Option<u16> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let containers = pod["spec"]["containers"].as_array();
    let ports = containers.into_iter().flatten().flat_map(|one| one["ports"].as_array().into_iter().flatten());
    let port = ports.into_iter().find(|port| port["name"] == text)?["containerPort"].as_u64()?;
    u16::try_from(port).ok()
}

/// A service's port leads to its target port; on a headless one it is the pod's own.
fn target_port(text: &str, pod: &Value, service: &Value) -> Outcome<Option<u16>> {
    let ports = service["spec"]["ports"].as_array();
    let number = text.parse::<u64>().ok();
    let port = ports.into_iter().flatten().find(|port| match number {
        Some(number) => port["port"].as_u64() == Some(number),
        None => port["name"] == text,
    });
    let Some(port) = port else {
        let name = name_of(service);
        return Err(Failure::message(format!("Service {name} does not have a service port {text}")));
    };
    if service["spec"]["clusterIP"] == "None" {
        return Ok(port["port"].as_u64().and_then(|number| u16::try_from(number).ok()));
    }
    Ok(match &port["targetPort"] {
        Value::String(name) => container_port(name, pod),
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        _ => port["port"].as_u64().and_then(|number| u16::try_from(number).ok()),
    })
}

/// Listens on one address; says whether that worked.
async fn listen(session: &Session, address: &str, local: u16, remote: u16, forwarder: &Arc<Forwarder>) -> bool {
    let listener = match TcpListener::bind((address, local)).await {
        Ok(listener) => listener,
        Err(why) => {
            error_line(&format!("Unable to listen on port {local}: {why}"));
            return false;
        }
    };
    let Ok(bound) = listener.local_addr() else { return false };
    line(&format!("Forwarding from {bound} -> {remote}"));
    let (forwarder, tasks) = (forwarder.clone(), session.env.tasks.clone());
    session.env.tasks.spawn("port listener", async move {
        while let Ok((stream, _)) = listener.accept().await {
            line(&format!("Handling connection for {}", bound.port()));
            let forwarder = forwarder.clone();
            tasks.spawn("forwarded connection", async move { pass(stream, remote, &forwarder).await });
        }
    });
    true
}

async fn pass(mut stream: TcpStream, remote: u16, forwarder: &Forwarder) {
    let mut forwarded = match forwarder.connect(remote).await {
        Ok(forwarded) => forwarded,
        Err(why) => return error_line(&format!("error creating forwarding stream for port {remote}: {why}")),
    };
    // Either end may break off; what the other side has to say about it comes on its own stream.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut forwarded.data).await;
    drop(forwarded.data);
    if let Some(why) = forwarded.error.await {
        error_line(&format!("an error occurred forwarding {remote}: {why}"));
    }
}
