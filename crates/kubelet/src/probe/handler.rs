//! One question to a container: by command, HTTP, TCP or gRPC, with upstream's answers.

use super::{Target, grpc, http};
use crate::agent::Agent;
use crate::pod::spec;
use container::runtime::RuntimeError;
use k8s_openapi::api::core::v1::{ContainerPort, HTTPGetAction, TCPSocketAction};
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Warning(String),
    Failure(String),
    /// The question could not be put.
    Error(String),
}

/// How much of a command's output goes into an event.
const OUTPUT_LIMIT: usize = 10 << 10;

pub(super) async fn probe(agent: &Agent, target: &Target) -> Outcome {
    let probe = &target.probe;
    let seconds = probe.timeout_seconds.and_then(|value| u64::try_from(value).ok()).unwrap_or(1).max(1);
    let limit = Duration::from_secs(seconds);
    let ports = target.container.ports.as_ref();
    if let Some(exec) = &probe.exec {
        return command(agent, target, exec.command.clone().unwrap_or_default(), limit).await;
    }
    let Some(address) = target.address else {
        return Outcome::Error("the pod has no address yet".to_owned());
    };
    if let Some(get) = &probe.http_get {
        return http_get(agent, get, ports, address, limit).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        return tcp_connect(agent, tcp, ports, address, limit).await;
    }
    if let Some(call) = &probe.grpc {
        let Ok(port) = u16::try_from(call.port) else { return Outcome::Error("invalid port number".to_owned()) };
        let service = call.service.as_deref().unwrap_or("");
        return grpc::check(&agent.env, address, port, service, limit).await;
    }
    Outcome::Error(format!("missing probe handler for {}:{}", target.pod, target.container.name))
}

async fn command(agent: &Agent, target: &Target, mut command: Vec<String>, limit: Duration) -> Outcome {
    let fixed = |name: &str| target.container.env.iter().flatten().find(|var| var.name == name)?.value.clone();
    for word in &mut command {
        *word = crate::expand::expand(word, &fixed);
    }
    let shown = command.join(" ");
    match agent.runtime.exec_sync(&target.container_id, command, Some(limit)).await {
        Ok(output) if output.exit_code == 0 => Outcome::Success,
        Ok(output) => {
            let mut text = output.stdout;
            text.extend_from_slice(&output.stderr);
            text.truncate(OUTPUT_LIMIT);
            Outcome::Failure(String::from_utf8_lossy(&text).into_owned())
        }
        Err(RuntimeError::Timeout(_)) => Outcome::Failure(format!("command {shown:?} timed out")),
        Err(error) => Outcome::Error(error.to_string()),
    }
}

pub(crate) async fn http_get(
    agent: &Agent,
    get: &HTTPGetAction,
    ports: Option<&Vec<ContainerPort>>,
    address: IpAddr,
    limit: Duration,
) -> Outcome {
    let Some(port) = spec::port_number(&get.port, ports) else {
        return Outcome::Error(format!("invalid port number: {:?}", get.port));
    };
    http::get(&agent.env, &http::Request::new(get, address, port), limit).await
}

pub(crate) async fn tcp_connect(
    agent: &Agent,
    tcp: &TCPSocketAction,
    ports: Option<&Vec<ContainerPort>>,
    address: IpAddr,
    limit: Duration,
) -> Outcome {
    let Some(port) = spec::port_number(&tcp.port, ports) else {
        return Outcome::Error(format!("invalid port number: {:?}", tcp.port));
    };
    let host = tcp.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| address.to_string());
    match connect(&agent.env, &host, port, limit).await {
        Ok(_) => Outcome::Success,
        Err(text) => Outcome::Failure(text),
    }
}

/// A connection, or why there is none in the words of Go's dialer.
pub(super) async fn connect(env: &base::Env, host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match env.clock.timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {shown}: connect: {}", go_error(&error))),
        Err(_) => Err(format!("dial tcp {shown}: i/o timeout")),
    }
}

/// The kernel's error as Go prints it: lower case, without the number.
fn go_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text);
    plain.to_lowercase()
}
