//! Lifecycle hooks: what a container does right after its start and right before its end.

use crate::agent::Agent;
use crate::probe::{Outcome, http_get, tcp_connect};
use k8s_openapi::api::core::v1::{ContainerPort, LifecycleHandler};
use std::net::IpAddr;
use std::time::Duration;

/// A hook that is never answered must not hold a pod for ever.
const LONGEST: Duration = Duration::from_secs(3600);

/// Runs a hook to its end.
///
/// # Errors
/// Why it failed; upstream keeps this out of events, as it may hold secrets.
pub async fn run(
    agent: &Agent,
    hook: &LifecycleHandler,
    container_id: &str,
    ports: Option<&Vec<ContainerPort>>,
    address: Option<IpAddr>,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let output = agent.runtime.exec_sync(container_id, command, None).await.map_err(|error| error.to_string())?;
        return if output.exit_code == 0 {
            Ok(())
        } else {
            Err(format!("command exited with {}: {}", output.exit_code, String::from_utf8_lossy(&output.stderr)))
        };
    }
    if let Some(sleep) = &hook.sleep {
        agent.env.clock.sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    let outcome = if let Some(get) = &hook.http_get {
        let address = address.ok_or("the pod has no address")?;
        http_get(agent, get, ports, address, LONGEST).await
    } else if let Some(tcp) = &hook.tcp_socket {
        let address = address.ok_or("the pod has no address")?;
        tcp_connect(agent, tcp, ports, address, LONGEST).await
    } else {
        return Ok(());
    };
    match outcome {
        Outcome::Success | Outcome::Warning(_) => Ok(()),
        Outcome::Failure(text) | Outcome::Error(text) => Err(text),
    }
}
