//! TaintToleration: NoSchedule and NoExecute taints keep pods away that do not tolerate them;
//! PreferNoSchedule ones make a node less welcome.

use crate::framework::{Normalize, Plugin, Rejection};
use crate::node::{Node, Taint};
use crate::pod::Candidate;
use k8s_openapi::api::core::v1::Toleration;

pub const PLUGIN: Plugin = Plugin::filter("TaintToleration", filter).score(score, Normalize::ScaleReversed, 3);

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    let keeps_away = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let mut taints = node.view.taints.iter().filter(keeps_away);
    match taints.find(|taint| !is_tolerated(pod, taint)) {
        None => Ok(()),
        Some(_) => Err(Rejection::of("node(s) had untolerated taint(s)").is_final()),
    }
}

fn score(pod: &Candidate, node: &Node) -> i64 {
    let soft = node.view.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(soft.filter(|taint| !is_tolerated(pod, taint)).count()).unwrap_or(i64::MAX)
}

fn is_tolerated(pod: &Candidate, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && text(&toleration.value) == taint.value,
        _ => false,
    }
}
