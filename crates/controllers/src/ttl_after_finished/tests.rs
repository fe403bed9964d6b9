//! Jobs that are over, and the clock.

use super::*;
use crate::testing::Stage;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn jobs_go_some_time_after_their_end() {
    let jobs = resource::JOBS;
    let job = |name: &str, keep: Option<i64>, end: &str| {
        let condition = json!({"type": end, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        json!({
            "metadata": {"namespace": "ns", "name": name}, "spec": {"ttlSecondsAfterFinished": keep},
            "status": {"conditions": [condition]},
        })
    };
    let objects = [
        (&jobs, job("at-once", Some(0), "Complete")),
        (&jobs, job("later", Some(60), "Failed")),
        (&jobs, job("never", None, "Complete")),
        (&jobs, job("running", Some(0), "Suspended")),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    let left = || -> Vec<String> {
        let standing = stage.api.all(&jobs);
        let there = standing.iter().filter(|job| job["metadata"]["deletionTimestamp"].is_null());
        there.map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(left(), ["later", "never", "running"]);
    stage.settle(50).await;
    assert_eq!(left().len(), 3);
    stage.settle(12).await;
    assert_eq!(left(), ["never", "running"]);
}
