//! The node's last word before a pod starts: does it fit beside the others? Pure.

use super::spec;
use crate::resources::pod_request;
use k8s_openapi::api::core::v1::Pod;
use meta::Quantity;
use std::collections::{BTreeMap, BTreeSet};
use volumes::fields::Allocatable;

/// What an admitted pod takes of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    amounts: BTreeMap<&'static str, Quantity>,
    /// Address, protocol, number.
    host_ports: BTreeSet<(String, String, i32)>,
}

/// Why a pod is refused: its status' reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub message: String,
}

impl Refusal {
    /// What the event says, as the status has it.
    pub fn rejected(reason: &str, text: &str) -> Self {
        Refusal { reason: reason.to_owned(), message: format!("Pod was rejected: {text}") }
    }
}

const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

impl Demand {
    pub fn of(pod: &Pod) -> Self {
        let amounts = RESOURCES.map(|name| (name, pod_request(pod, name))).into();
        let ports = spec::main_containers(pod).iter().chain(spec::init_containers(pod));
        let ports = ports.flat_map(|container| container.ports.iter().flatten());
        let host_ports = ports
            .filter_map(|port| {
                let number = port.host_port.filter(|number| *number > 0)?;
                let address = port.host_ip.clone().filter(|ip| !ip.is_empty() && ip != "0.0.0.0").unwrap_or_default();
                Some((address, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
            })
            .collect();
        Demand { amounts, host_ports }
    }

    fn clashes(&self, other: &Demand) -> bool {
        self.host_ports.iter().any(|(address, protocol, number)| {
            other.host_ports.iter().any(|(taken, kind, same)| {
                protocol == kind && number == same && (address == taken || address.is_empty() || taken.is_empty())
            })
        })
    }
}

/// # Errors
/// The first thing that does not fit.
pub fn check(wanted: &Demand, others: &[&Demand], allocatable: &Allocatable) -> Result<(), Refusal> {
    let pods = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let room = allocatable.get("pods").value();
    if room > 0 && pods + 1 > room {
        return Err(too_little("pods", 1, pods, room));
    }
    for name in RESOURCES {
        let wanted = wanted.amounts.get(name).copied().unwrap_or_default();
        if wanted.is_zero() {
            continue;
        }
        let used =
            others.iter().fold(Quantity::ZERO, |sum, other| sum + other.amounts.get(name).copied().unwrap_or_default());
        let capacity = allocatable.get(name);
        if used + wanted > capacity {
            let number = |amount: Quantity| if name == "cpu" { amount.milli_value() } else { amount.value() };
            return Err(too_little(name, number(wanted), number(used), number(capacity)));
        }
    }
    if others.iter().any(|other| wanted.clashes(other)) {
        let message =
            "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(Refusal { reason: "NodePorts".to_owned(), message: message.to_owned() });
    }
    Ok(())
}

fn too_little(resource: &str, wanted: i64, used: i64, capacity: i64) -> Refusal {
    Refusal {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Pod was rejected: Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {capacity}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn demand(cpu: &str, port: i32) -> Demand {
        Demand::of(
            &serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [
                {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": [{"containerPort": 1, "hostPort": port}]},
            ]}}))
            .unwrap(),
        )
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let room = Allocatable(
            [("cpu", "2"), ("memory", "1Gi"), ("pods", "3")]
                .map(|(name, amount)| (name.to_owned(), amount.parse().unwrap()))
                .into(),
        );
        let (small, big) = (demand("500m", 0), demand("1600m", 0));
        assert_eq!(check(&small, &[], &room), Ok(()));
        let refusal = check(&big, &[&small], &room).unwrap_err();
        assert_eq!(refusal.reason, "OutOfcpu");
        assert_eq!(
            refusal.message,
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000"
        );
        assert_eq!(check(&demand("0", 0), &[&small, &small, &small], &room).unwrap_err().reason, "OutOfpods");
        let open = demand("1m", 80);
        assert_eq!(check(&open, &[&open], &room).unwrap_err().reason, "NodePorts");
        assert_eq!(check(&open, &[&demand("1m", 81)], &room), Ok(()));
    }
}
