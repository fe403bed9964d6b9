//! Readiness of containers that have no readiness probe but say which ports they serve: they are
//! ready once these are listened on, or a second after their start.
//!
//! Upstream calls them ready at once, and is slow enough that servers mostly listen by then. A pod
//! here is ready within milliseconds: without this, a rolling update would send connections to a
//! server that is still starting. It only looks; it never connects, which a server could notice.

use super::{ProbeKind, Target, Verdict};
use crate::agent::Agent;
use images::ImageConfig;
use k8s_openapi::api::core::v1::Container;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use sys::net::Listeners;

/// How long a server may take before it is taken for ready as it is.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LOOKS_AT_MOST_EVERY: Duration = Duration::from_millis(32);

/// The TCP ports to wait for: those of the container, else those that its image exposes, unless
/// the container runs something else than the image does. Written as `80,443`; empty: none.
pub fn awaited_ports(container: &Container, image: &ImageConfig) -> String {
    if container.readiness_probe.is_some() {
        return String::new();
    }
    let tcp = |protocol: Option<&str>| protocol.is_none_or(|protocol| protocol.eq_ignore_ascii_case("tcp"));
    let declared = container.ports.iter().flatten().filter(|port| tcp(port.protocol.as_deref()));
    let mut ports: Vec<String> = declared.map(|port| port.container_port.to_string()).collect();
    let runs_the_image = container.command.as_ref().is_none_or(Vec::is_empty);
    if ports.is_empty() && runs_the_image {
        let exposed = image.exposed_ports.iter().filter_map(|port| match port.split_once('/') {
            Some((number, protocol)) => tcp(Some(protocol)).then_some(number),
            None => Some(port.as_str()),
        });
        ports = exposed.map(str::to_owned).collect();
    }
    ports.join(",")
}

pub(super) async fn run(agent: Arc<Agent>, target: Target, pid: Option<i32>, awaited: String) {
    let awaited: BTreeSet<u16> = awaited.split(',').filter_map(|port| port.parse().ok()).collect();
    let age = agent.env.clock.now().as_nanosecond() - i128::from(target.started_at);
    let mut left = PATIENCE.saturating_sub(Duration::from_nanos(u64::try_from(age).unwrap_or(0)));
    let mut pause = FIRST_LOOK;
    let mut listeners = pid.and_then(|pid| Listeners::of(pid).ok());
    while left > Duration::ZERO && !all_listen(listeners.as_mut(), &awaited) {
        agent.env.clock.sleep(pause).await;
        left = left.saturating_sub(pause);
        pause = (pause * 2).min(LOOKS_AT_MOST_EVERY);
    }
    if agent.probes.set(&target.container_id, ProbeKind::Readiness, Verdict::Success) {
        agent.wake(&target.pod.uid);
    }
}

/// Also true where it cannot be told: then there is nothing to wait for.
fn all_listen(listeners: Option<&mut Listeners>, awaited: &BTreeSet<u16>) -> bool {
    listeners.is_none_or(|listeners| listeners.ports().map_or(true, |open| awaited.is_subset(&open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_the_containers_or_else_the_images() {
        let cases = [
            (json!({"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}), "80"),
            (json!({"ports": [{"containerPort": 80}, {"containerPort": 90}], "command": ["x"]}), "80,90"),
            (json!({}), "8080,8443"),
            (json!({"args": ["x"]}), "8080,8443"),
            (json!({"command": ["sleep"]}), ""),
            (json!({"ports": [{"containerPort": 80}], "readinessProbe": {"exec": {"command": ["x"]}}}), ""),
        ];
        let exposed_ports = ["8080/tcp", "8443", "53/udp"].map(str::to_owned).to_vec();
        let image = ImageConfig { exposed_ports, ..ImageConfig::default() };
        for (mut given, expected) in cases {
            given["name"] = "c".into();
            let container: Container = serde_json::from_value(given).unwrap();
            assert_eq!(awaited_ports(&container, &image), expected, "{container:?}");
        }
    }
}
