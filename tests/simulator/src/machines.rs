//! What truly runs on the nodes, whatever the API says: the judge of "never twice".
//!
//! Kubelets tell it when they start and end a pod; the player when a machine dies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A pod that runs.
struct Running {
    /// Namespace and name.
    pod: String,
    node: String,
}

/// By uid.
#[derive(Default)]
pub struct Machines(Mutex<BTreeMap<String, Running>>);

impl Machines {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node starts a pod; says what is wrong about that.
    pub fn start(&self, node: &str, pod: &str, uid: &str) -> Option<String> {
        let mut all = self.all();
        let twin = all.iter().find(|(other, one)| *other != uid && one.pod == pod);
        let wrong = twin.map(|(_, one)| format!("{pod} starts on {node} and still runs on {}", one.node));
        all.insert(uid.to_owned(), Running { pod: pod.to_owned(), node: node.to_owned() });
        wrong
    }

    /// A pod runs no longer.
    pub fn end(&self, uid: &str) {
        self.all().remove(uid);
    }

    /// A machine dies.
    pub fn lose(&self, node: &str) {
        self.all().retain(|_, one| one.node != node);
    }
}
