//! What shows that nothing happened to a pod.

use super::PODS;
use anyhow::{Result, ensure};
use cluster_tests::kutter::Kutter;
use serde_json::Value;
use std::collections::BTreeMap;

/// Pods by uid, with what would change if anything happened to them.
#[derive(Default)]
pub struct Lives(BTreeMap<String, Value>);

impl Lives {
    /// Waits until so many pods run, and makes sure that those known before do so as they did.
    pub fn grow(&mut self, server: &Kutter, count: usize) -> Result<()> {
        server.kubectl().ready_pods(PODS, count);
        let now: BTreeMap<String, Value> = server.kubectl().pods(PODS).iter().map(life).collect();
        for (uid, before) in &self.0 {
            ensure!(now.get(uid) == Some(before), "a pod was disturbed: {before} became {:?}", now.get(uid));
        }
        self.0 = now;
        Ok(())
    }
}

fn life(pod: &Value) -> (String, Value) {
    let container = &pod["status"]["containerStatuses"][0];
    let life = serde_json::json!({
        "node": pod["spec"]["nodeName"], "address": pod["status"]["podIP"], "container": container["containerID"],
        "restarts": container["restartCount"], "started": container["state"]["running"]["startedAt"],
    });
    (pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), life)
}
