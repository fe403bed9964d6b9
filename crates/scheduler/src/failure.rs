//! What a pod that fits nowhere is told, in upstream's words.

use crate::framework::Rejection;
use std::collections::BTreeMap;

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` and, where every
/// node was looked at for it, what evicting others would bring.
pub fn message(nodes: usize, rejections: &[Rejection], preemption: Option<&Preemption>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons = rejections.iter().flat_map(|rejection| rejection.reasons.iter().cloned());
    let mut text = format!("0/{nodes} nodes are available: {}.", counted(reasons));
    if let Some(preemption) = preemption {
        text.push_str(&format!(" preemption: 0/{nodes} nodes are available: {}.", counted(preemption.reasons())));
    }
    text
}

/// On how many nodes evicting pods could not help, and on how many there is nobody to evict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preemption {
    pub not_helpful: usize,
    pub no_victims: usize,
}

impl Preemption {
    fn reasons(self) -> impl Iterator<Item = String> {
        let helpless = "Preemption is not helpful for scheduling".to_owned();
        let nobody = "No preemption victims found for incoming pod".to_owned();
        std::iter::repeat_n(helpless, self.not_helpful).chain(std::iter::repeat_n(nobody, self.no_victims))
    }
}

/// `{count} {reason}` for each reason, sorted as texts.
fn counted(reasons: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let rejections = [
            Rejection::of("node(s) were unschedulable").is_final(),
            Rejection::of("Insufficient cpu"),
            Rejection::of("node(s) were unschedulable").is_final(),
        ];
        let preemption = Preemption { not_helpful: 2, no_victims: 1 };
        assert_eq!(
            message(3, &rejections, Some(&preemption)),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: 0/3 nodes are \
             available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
        );
        assert_eq!(message(0, &[], None), "no nodes available to schedule pods");
    }
}
