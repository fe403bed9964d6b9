//! How fast pods may be driven off nodes: where most of a zone is silent, it is rather the network
//! that is broken, and moving everything would make it worse.

use crate::views::NodeView;
use base::collections::HashMap;
use client::{Cache, Item};
use std::time::Duration;
use tokio::time::Instant;

/// Between two nodes of a zone that lose their pods (upstream: 0.1 nodes a second).
const PACE: Duration = Duration::from_secs(10);
/// The same where a large zone is unwell (0.01 a second); a small one is left alone.
const SLOW_PACE: Duration = Duration::from_secs(100);
const LARGE_ZONE: usize = 50;
/// A zone is unwell with this part of its nodes silent.
const UNWELL: f64 = 0.55;

/// Whether a node's pods may be driven off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Now,
    /// In its turn.
    In(Duration),
    /// The zone is unwell: not as long as it is.
    Never,
    /// No node anywhere is well: it must be the way to them that is broken.
    Nowhere,
}

/// When each zone may lose its next node.
#[derive(Default)]
pub(super) struct Limits {
    next: HashMap<String, (Instant, String)>,
}

impl Limits {
    pub fn judge(&mut self, nodes: &Cache<NodeView>, node: &Item<NodeView>, now: Instant) -> Verdict {
        if node.view.is_ready() {
            return Verdict::Never;
        }
        let all = nodes.list();
        if all.iter().all(|other| !other.view.is_ready()) {
            return Verdict::Nowhere;
        }
        let zone = zone(&node.view);
        let here: Vec<_> = all.iter().filter(|other| self::zone(&other.view) == zone).collect();
        let silent = here.iter().filter(|other| !other.view.is_ready()).count();
        let pace = match (silent > 2 && silent as f64 >= UNWELL * here.len() as f64, here.len()) {
            // A zone that is gone as a whole while others stand is gone indeed.
            (true, size) if silent == size => PACE,
            (true, size) if size > LARGE_ZONE => SLOW_PACE,
            (true, _) => return Verdict::Never,
            (false, _) => PACE,
        };
        let (due, holder) = self.next.entry(zone).or_insert_with(|| (now, String::new()));
        if *holder == node.meta.name {
            return Verdict::Now;
        }
        if *due > now {
            return Verdict::In(due.duration_since(now));
        }
        (*due, *holder) = (now + pace, node.meta.name.clone());
        Verdict::Now
    }
}

fn zone(node: &NodeView) -> String {
    format!("{}/{}", node.region, node.zone)
}
