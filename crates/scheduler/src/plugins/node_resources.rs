//! NodeResourcesFit and NodeResourcesBalancedAllocation: is there room, and how evenly would the
//! node be filled.

use crate::framework::{MAX_SCORE, Normalize, Plugin, Rejection};
use crate::node::Node;
use crate::pod::Candidate;

pub const FIT: Plugin = Plugin::filter("NodeResourcesFit", filter).score(least_allocated, Normalize::No, 1);

pub const BALANCED: Plugin = Plugin {
    name: "NodeResourcesBalancedAllocation",
    filter: None,
    score: Some(balanced),
    normalize: Normalize::No,
    weight: 1,
};

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    let (wanted, used, offered) = (&pod.view.requests, &node.requested, &node.view.allocatable);
    let mut reasons = Vec::new();
    let mut is_final = false;
    if node.pods.len() + 1 > node.view.max_pods {
        reasons.push("Too many pods".to_owned());
    }
    let scalar =
        |amounts: &std::collections::BTreeMap<String, i64>, name: &str| amounts.get(name).copied().unwrap_or(0);
    let plain = [
        ("cpu", wanted.milli_cpu, used.milli_cpu, offered.milli_cpu),
        ("memory", wanted.memory, used.memory, offered.memory),
        ("ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, offered.ephemeral_storage),
    ];
    let extended = wanted
        .scalar
        .iter()
        .map(|(name, amount)| (name.as_str(), *amount, scalar(&used.scalar, name), scalar(&offered.scalar, name)));
    for (name, wanted, used, offered) in plain.into_iter().chain(extended) {
        if wanted > 0 && wanted > offered - used {
            reasons.push(format!("Insufficient {name}"));
            is_final |= wanted > offered;
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, is_final }) }
}

/// The emptier the better, over cpu and memory alike.
fn least_allocated(pod: &Candidate, node: &Node) -> i64 {
    let offered = &node.view.allocatable;
    let free = |wanted: i64, used: i64, offered: i64| {
        if offered <= 0 || wanted + used > offered { 0 } else { (offered - used - wanted) * MAX_SCORE / offered }
    };
    let cpu = free(pod.view.scored.milli_cpu, node.scored.milli_cpu, offered.milli_cpu);
    // In MiB: the product must not overflow.
    let memory = free(pod.view.scored.memory >> 20, node.scored.memory >> 20, offered.memory >> 20);
    (cpu + memory) / 2
}

/// The closer the filled parts of cpu and memory are to each other the better.
fn balanced(pod: &Candidate, node: &Node) -> i64 {
    let part = |wanted: i64, used: i64, offered: i64| {
        if offered <= 0 { 1.0 } else { ((wanted + used) as f64 / offered as f64).min(1.0) }
    };
    let offered = &node.view.allocatable;
    let cpu = part(pod.view.requests.milli_cpu, node.requested.milli_cpu, offered.milli_cpu);
    let memory = part(pod.view.requests.memory, node.requested.memory, offered.memory);
    ((1.0 - ((cpu - memory) / 2.0).abs()) * MAX_SCORE as f64) as i64
}
