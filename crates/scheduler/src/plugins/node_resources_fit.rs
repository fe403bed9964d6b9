//! NodeResourcesFit: is there room; and how full should nodes be, by the profile's strategy.

use crate::config::{FitArgs, Strategy};
use crate::framework::{Case, MAX_SCORE, Normalize, Plugin, Rejection};
use crate::news::{NODE_ADD, NODE_ALLOCATABLE, News, POD_DELETE, POD_SCALE_DOWN, Subject};
use crate::node::Node;
use crate::resources::Resources;
use crate::snapshot::Snapshot;

pub const PLUGIN: Plugin =
    Plugin::local("NodeResourcesFit", filter, NODE_ADD | NODE_ALLOCATABLE | POD_DELETE | POD_SCALE_DOWN, hint).score(
        score,
        Normalize::No,
        1,
    );

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let Some(view) = node.view() else { return Ok(()) };
    let mut reasons = Vec::new();
    let mut is_final = false;
    if node.pods.len() + 1 > view.max_pods {
        reasons.push("Too many pods".into());
    }
    let (wanted, used, offered) = (&case.spec.requests, &node.requested, &view.allocatable);
    let mut check = |name: &str, wanted: i64, used: i64, offered: i64| {
        if wanted > 0 && wanted > offered - used {
            reasons.push(format!("Insufficient {name}").into());
            is_final |= wanted > offered;
        }
    };
    check("cpu", wanted.milli_cpu, used.milli_cpu, offered.milli_cpu);
    check("memory", wanted.memory, used.memory, offered.memory);
    check("ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, offered.ephemeral_storage);
    for (name, amount) in &wanted.scalar {
        if !case.args.fit.ignores(name) {
            check(name, *amount, used.amount(name), offered.amount(name));
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { is_final, ..Rejection::of_all(reasons) }) }
}

fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    let wanted = &case.spec.requests;
    match &news.subject {
        // A place among the node's pods is freed in any case; of resources it must be one asked for.
        Subject::Pod { old: Some(_), new: None } => true,
        Subject::Pod { old: Some(old), new: Some(new) } => {
            grows(wanted, &new.view.spec.requests, &old.view.spec.requests)
        }
        Subject::Node { old: None, new: Some(_) } => news.is_node_that_fits(case, filter),
        Subject::Node { old: Some(old), new: Some(new) } => {
            let more_pods = new.view.max_pods > old.view.max_pods;
            more_pods || grows(wanted, &old.view.allocatable, &new.view.allocatable)
        }
        _ => false,
    }
}

/// Whether any resource that is wanted becomes more.
fn grows(wanted: &Resources, before: &Resources, after: &Resources) -> bool {
    let plain = ["cpu", "memory", "ephemeral-storage"].into_iter();
    let mut names = plain.chain(wanted.scalar.keys().map(String::as_str));
    names.any(|name| wanted.amount(name) > 0 && after.amount(name) > before.amount(name))
}

fn score(case: &Case<'_>, node: &Node, _: &Snapshot) -> i64 {
    let Some(view) = node.view() else { return 0 };
    let args = &case.args.fit;
    let (mut total, mut weights) = (0, 0);
    for (name, weight) in &args.resources {
        let wanted = case.spec.scored.amount(name);
        let is_plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        let offered = view.allocatable.amount(name);
        if offered <= 0 || wanted == 0 && !is_plain {
            continue;
        }
        let score = args.score(wanted + node.scored.amount(name), offered);
        if args.strategy == Strategy::RequestedToCapacityRatio && score == 0 {
            continue;
        }
        total += score * weight;
        weights += weight;
    }
    match args.strategy {
        _ if weights == 0 => 0,
        Strategy::RequestedToCapacityRatio => (total as f64 / weights as f64).round() as i64,
        _ => total / weights,
    }
}

impl FitArgs {
    /// Of one resource, of which so much would be requested.
    fn score(&self, requested: i64, offered: i64) -> i64 {
        let part = |amount: i64| i64::try_from(i128::from(amount) * 100 / i128::from(offered)).unwrap_or(0);
        match self.strategy {
            Strategy::LeastAllocated if requested > offered => 0,
            Strategy::LeastAllocated => part(offered - requested),
            Strategy::MostAllocated => part(requested.min(offered)),
            Strategy::RequestedToCapacityRatio => {
                let full = if requested > offered { 100 } else { 100 - part(offered - requested) };
                self.shaped(full)
            }
        }
    }

    /// The shape's value at a utilization, straight between its points.
    fn shaped(&self, utilization: i64) -> i64 {
        let mut before: Option<(i64, i64)> = None;
        for (at, score) in &self.shape {
            if utilization <= *at {
                return match before {
                    None => *score,
                    Some((from, low)) => low + (score - low) * (utilization - from) / (at - from).max(1),
                };
            }
            before = Some((*at, *score));
        }
        before.map_or(0, |(_, score)| score).min(MAX_SCORE)
    }
}
