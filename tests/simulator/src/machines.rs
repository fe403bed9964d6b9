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

#[derive(Default)]
pub struct Machines {
    /// By uid.
    running: Mutex<BTreeMap<String, Running>>,
    /// Of every pod that ever had one, by uid; none is given twice.
    addresses: Mutex<BTreeMap<String, usize>>,
}

impl Machines {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod's own address.
    pub fn address(&self, uid: &str) -> String {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let next = addresses.len();
        let number = *addresses.entry(uid.to_owned()).or_insert(next);
        format!("10.{}.{}.{}", 244 + number / 62_500, number / 250 % 250, number % 250 + 1)
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
