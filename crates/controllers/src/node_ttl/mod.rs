//! Tells nodes how long they may keep Secrets and ConfigMaps without asking again: the longer, the
//! more nodes there are to ask.

use crate::action::{Action, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::NodeView;
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub const DEF: Def = Def {
    name: "ttl-controller",
    identity: "ttl-controller",
    component: "ttl-controller",
    workers: 1,
    retry: RETRY,
    build,
};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// From how many nodes down to how many each time holds; the two overlap, so that one node more or
/// less does not rewrite them all.
const STEPS: [(usize, usize, i64); 6] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 10_000, 300), (9000, usize::MAX, 600)];

struct Ttl {
    nodes: Arc<Cache<NodeView>>,
    seconds: Arc<AtomicI64>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    let seconds = Arc::new(AtomicI64::new(0));
    let (all, now) = (Arc::downgrade(&nodes), seconds.clone());
    rig.on(&nodes, move |change, queue| {
        let Some(nodes) = all.upgrade() else { return };
        let before = now.load(Ordering::Relaxed);
        let after = next(before, nodes.len());
        now.store(after, Ordering::Relaxed);
        match before == after {
            true => change.new.iter().for_each(|node| queue.add(node.key.clone())),
            false => nodes.list().iter().for_each(|node| queue.add(node.key.clone())),
        }
    });
    Box::new(Ttl { nodes, seconds })
}

fn next(seconds: i64, nodes: usize) -> i64 {
    let mut at = STEPS.iter().position(|step| step.2 == seconds).unwrap_or(0);
    while nodes > STEPS[at].1 {
        at += 1;
    }
    while nodes < STEPS[at].0 {
        at -= 1;
    }
    STEPS[at].2
}

impl Room for Ttl {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let wanted = self.seconds.load(Ordering::Relaxed).to_string();
        let node = self.nodes.get_key(key).filter(|node| node.meta.annotations.get(ANNOTATION) != Some(&wanted));
        if node.is_none() {
            return Ok(Plan::nothing());
        }
        let body = json!({"metadata": {"annotations": {ANNOTATION: wanted}}});
        Ok(Plan::of(vec![Action::Patch(Patch::strategic(&resource::NODES, key, body))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Stage;

    #[test]
    fn steps_overlap() {
        let cases = [(0, 1, 0), (0, 101, 15), (15, 95, 15), (15, 89, 0), (0, 20_000, 600), (600, 500, 30)];
        for (before, nodes, wanted) in cases {
            assert_eq!(next(before, nodes), wanted, "{before} with {nodes} nodes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_are_told_once() {
        let stage = Stage::new(&DEF, &[(&resource::NODES, json!({"metadata": {"name": "n1"}}))]).await;
        stage.settle(60).await;
        assert_eq!(stage.writes(), ["patch nodes n1"]);
    }
}
