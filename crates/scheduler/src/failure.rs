//! What a pod that fits nowhere is told, in upstream's words.

use crate::judge::Diagnosis;
use std::collections::BTreeMap;

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` and what was said
/// of making room for it.
pub fn message(diagnosis: &Diagnosis, said: &str) -> String {
    let nodes = diagnosis.nodes;
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut text = format!("0/{nodes} nodes are available:");
    match &diagnosis.before {
        Some(rejection) => text.push_str(&format!(" {}.", rejection.reasons.join(", "))),
        None => {
            let reasons = diagnosis.rejected.iter().flat_map(|(_, rejection)| rejection.reasons.iter());
            let others = diagnosis.others.iter().flat_map(|rejection| {
                let absent = nodes.saturating_sub(diagnosis.rejected.len());
                rejection.reasons.iter().flat_map(move |reason| std::iter::repeat_n(reason, absent))
            });
            let counted = counted(reasons.chain(others).map(AsRef::as_ref));
            if !counted.is_empty() {
                text.push_str(&format!(" {counted}."));
            }
        }
    }
    if !said.is_empty() {
        text.push_str(&format!(" {said}"));
    }
    text
}

/// `{count} {reason}` for each reason, sorted as texts.
pub fn counted<'r>(reasons: impl Iterator<Item = &'r str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    texts.join(", ")
}

/// Cut to what an Event's note may hold.
pub fn cut(message: &str) -> String {
    const LIMIT: usize = 1024;
    const MARK: &str = " ...";
    if message.len() <= LIMIT {
        return message.to_owned();
    }
    let end = (0..=LIMIT - MARK.len()).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{MARK}", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Rejection;
    use std::sync::Arc;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let rejected = [
            Rejection::of("node(s) were unschedulable").is_final(),
            Rejection::of("Insufficient cpu"),
            Rejection::of("node(s) were unschedulable").is_final(),
        ];
        let rejected = rejected.into_iter().map(Arc::new).enumerate().collect();
        let mut diagnosis = Diagnosis { nodes: 3, rejected, ..Diagnosis::default() };
        assert_eq!(
            message(&diagnosis, "preemption: not eligible due to preemptionPolicy=Never."),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: not eligible due \
             to preemptionPolicy=Never."
        );
        diagnosis.nodes = 5;
        diagnosis.others = Some(Rejection::of("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        assert_eq!(
            message(&diagnosis, ""),
            "0/5 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity], 2 \
             node(s) were unschedulable."
        );
        diagnosis.before = Some(Rejection::of("pod has unbound immediate PersistentVolumeClaims"));
        assert_eq!(
            message(&diagnosis, ""),
            "0/5 nodes are available: pod has unbound immediate PersistentVolumeClaims."
        );
        assert_eq!(message(&Diagnosis::default(), ""), "no nodes available to schedule pods");
    }

    #[test]
    fn long_messages_are_cut() {
        let cut = cut(&"ü".repeat(600));
        assert!(cut.len() <= 1024 && cut.ends_with("ü ..."));
    }
}
