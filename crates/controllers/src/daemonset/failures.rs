//! How long a node's failed pods are left alone before they are replaced, in memory.

use base::Timestamp;
use client::Key;
use jiff::SignedDuration;
use std::collections::BTreeMap;

const FIRST: SignedDuration = SignedDuration::from_secs(1);
const LONGEST: SignedDuration = SignedDuration::from_secs(15 * 60);

/// By set and node: when a pod there was last replaced, and how long the next has to wait.
#[derive(Default)]
pub(super) struct Failures(BTreeMap<Key, BTreeMap<String, (Timestamp, SignedDuration)>>);

impl Failures {
    /// Whether a failed pod may be replaced now, which is noted then; if not, how long it has to wait.
    pub fn may_replace(&mut self, set: &Key, node: &str, now: Timestamp) -> Result<(), SignedDuration> {
        let nodes = self.0.entry(set.clone()).or_default();
        let delay = match nodes.get(node) {
            None => FIRST,
            Some((last, delay)) => {
                let passed = now.duration_since(*last);
                // Of a clock that was set back nobody knows how long it has been.
                if (SignedDuration::ZERO..*delay).contains(&passed) {
                    return Err(*delay - passed);
                }
                // Quiet for long enough: it starts anew.
                if passed > LONGEST * 2 { FIRST } else { (*delay * 2).min(LONGEST) }
            }
        };
        nodes.insert(node.to_owned(), (now, delay));
        Ok(())
    }

    /// Forgets a set that is gone.
    pub fn forget(&mut self, set: &Key) {
        self.0.remove(set);
    }

    /// Forgets nodes that are gone.
    pub fn keep_nodes(&mut self, set: &Key, is_there: impl Fn(&str) -> bool) {
        if let Some(nodes) = self.0.get_mut(set) {
            nodes.retain(|node, _| is_there(node));
        }
    }
}
