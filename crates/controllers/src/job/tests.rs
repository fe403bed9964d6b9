//! Index sets and policies as tables; whole jobs with a pretended node.

use super::indexes::Indexes;
use super::policy::Verdict;
use super::*;
use crate::testing::Stage;
use serde_json::json;

const JOBS: meta::GroupVersionResource = resource::JOBS;
const PODS: meta::GroupVersionResource = resource::PODS;

fn job(spec: &Value) -> Value {
    let mut job = json!({
        "metadata": {"namespace": "ns", "name": "j", "generation": 1, "uid": "job-j"},
        "spec": {
            "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
            "podReplacementPolicy": "TerminatingOrFailed", "selector": {"matchLabels": {"job": "j"}},
            "template": {
                "metadata": {"labels": {"job": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

async fn stage(spec: &Value) -> Stage {
    Stage::new(&DEF, &[(&JOBS, job(spec))]).await
}

fn index_of(pod: &Value) -> i64 {
    pod["metadata"]["annotations"][pod::INDEX].as_str().and_then(|text| text.parse().ok()).unwrap_or(-1)
}

/// Has every running pod end as `end` says (None: it runs on), and removes what nothing holds.
fn pods_end(stage: &Stage, end: impl Fn(&Value) -> Option<i64>) {
    let now = meta::time::format(stage.env.clock.now());
    for mut pod in stage.api.all(&PODS) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let finalizers = pod["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if pod["metadata"]["deletionTimestamp"].is_string() && !finalizers {
            stage.api.remove(&PODS, "ns", &name);
        } else if pod["status"]["phase"].is_null() {
            pod["spec"]["nodeName"] = json!("n1");
            pod["status"] = json!({"phase": "Running"});
            stage.api.put(&PODS, pod);
        } else if pod["status"]["phase"] == "Running"
            && let Some(code) = end(&pod)
        {
            let phase = if code == 0 { "Succeeded" } else { "Failed" };
            let ended = json!({"terminated": {"exitCode": code, "finishedAt": now}});
            pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": "c", "state": ended}]});
            stage.api.put(&PODS, pod);
        }
    }
}

async fn run(stage: &Stage, seconds: usize, end: impl Fn(&Value) -> Option<i64>) {
    for _ in 0..seconds {
        pods_end(stage, &end);
        stage.settle(1).await;
    }
}

fn status(stage: &Stage) -> Value {
    stage.api.get(&JOBS, "ns", "j").unwrap()["status"].clone()
}

/// Type and reason of each condition that is true.
fn told(stage: &Stage) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = status(stage)["conditions"].as_array().cloned().unwrap_or_default();
    let standing = list.iter().filter(|one| one["status"] == "True");
    standing.map(|one| (text(&one["type"]), text(&one["reason"]))).collect()
}

fn ends(herald: &str, end: &str, reason: &str) -> Vec<(String, String)> {
    [herald, end].map(|kind| (kind.to_owned(), reason.to_owned())).to_vec()
}

#[test]
fn indexes_read_and_print_as_ranges() {
    for (text, completions, printed, total) in [
        ("", 5, "", 0),
        ("1", 5, "1", 1),
        ("0-2,4", 5, "0-2,4", 4),
        ("0,1", 5, "0,1", 2),
        ("3-9", 5, "3,4", 2),
        ("7", 5, "", 0),
        ("x,2", 5, "2", 1),
    ] {
        let indexes = Indexes::parse(text, completions);
        assert_eq!((indexes.to_string().as_str(), indexes.total()), (printed, total), "{text}");
    }
    let some = Indexes::parse("0-2,6", 10).with([3, 8, 1]);
    assert_eq!(some.to_string(), "0-3,6,8");
    assert!(some.contains(2) && some.contains(8) && !some.contains(5) && !some.contains(9));
    assert_eq!(some.first_missing(3, 10), [4, 5, 7]);
    assert_eq!(some.common(&Indexes::parse("2-7", 10)), 3);
}

#[test]
fn the_first_rule_that_matches_judges_a_failed_pod() {
    let policy = json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
        {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}},
        {"action": "FailJob", "onPodConditions": [{"type": "Lost", "status": "True"}]},
    ]});
    let policy: FailurePolicy = serde_json::from_value(policy).unwrap();
    let exit = |name: &str, code: i64| json!({"containerStatuses": [{"name": name, "state": {"terminated": {"exitCode": code}}}]});
    let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True"}]});
    let fails = |text: &str| Verdict::FailsJob(text.to_owned());
    for (status, verdict) in [
        (condition("DisruptionTarget"), Verdict::Ignored),
        (exit("c", 42), fails("Container c for pod ns/p failed with exit code 42 matching FailJob rule at index 1")),
        (exit("d", 42), Verdict::FailsIndex),
        (exit("c", 1), Verdict::Counts),
        (exit("c", 0), Verdict::Counts),
        (condition("Lost"), fails("Pod ns/p has condition Lost matching FailJob rule at index 3")),
    ] {
        assert_eq!(policy.judge("ns", "p", &status), verdict, "{status}");
    }
}

#[test]
fn waits_double_up_to_ten_minutes() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (failures, seconds) in
        [(0, None), (1, Some(10)), (2, Some(20)), (6, Some(320)), (7, Some(600)), (60, Some(600))]
    {
        let left = Record { failures, last: Some(now) }.left(now);
        assert_eq!(left.map(|left| left.as_secs()), seconds, "{failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_to_its_completions_and_counts_each_pod_once() {
    let stage = stage(&json!({"parallelism": 3, "completions": 8})).await;
    assert_eq!(stage.api.all(&PODS).len(), 3);
    let pod = stage.api.all(&PODS)[0].clone();
    assert_eq!(pod["metadata"]["finalizers"], json!([JOB_TRACKING]));
    assert_eq!((&status(&stage)["active"], &status(&stage)["ready"]), (&json!(3), &json!(0)));
    assert_eq!(status(&stage)["startTime"], "2026-01-01T00:00:00Z");
    for _ in 0..30 {
        pods_end(&stage, |_| Some(0));
        assert!(stage.api.all(&PODS).iter().filter(|pod| pod["status"]["phase"] != "Succeeded").count() <= 3);
        stage.settle(1).await;
    }
    assert_eq!(stage.api.all(&PODS).len(), 8);
    let end = status(&stage);
    assert_eq!((&end["succeeded"], &end["active"], &end["failed"]), (&json!(8), &json!(0), &Value::Null));
    assert_eq!(end["uncountedTerminatedPods"], json!({}));
    assert_eq!(told(&stage), ends("SuccessCriteriaMet", "Complete", "CompletionsReached"));
    assert!(end["completionTime"].is_string());
    assert!(stage.events().contains(&"Completed Job completed".to_owned()));
    assert!(stage.api.all(&PODS).iter().all(|pod| pod["metadata"]["finalizers"] == json!([])));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "an idle cluster makes no writes");
}

#[tokio::test(start_paused = true)]
async fn without_completions_one_success_is_enough() {
    let stage = stage(&json!({"parallelism": 2, "completions": null})).await;
    run(&stage, 2, |_| None).await;
    let first = stage.api.all(&PODS)[0]["metadata"]["name"].clone();
    run(&stage, 3, |pod| (pod["metadata"]["name"] == first).then_some(0)).await;
    assert_eq!((stage.api.all(&PODS).len(), told(&stage).len()), (2, 0));
    run(&stage, 3, |_| Some(0)).await;
    assert_eq!((stage.api.all(&PODS).len(), &status(&stage)["succeeded"]), (2, &json!(2)));
    assert_eq!(told(&stage).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_later_until_the_limit() {
    let stage = stage(&json!({"backoffLimit": 2})).await;
    let mut made = Vec::new();
    for second in 0..60 {
        if stage.api.all(&PODS).len() > made.len() {
            made.push(second);
        }
        pods_end(&stage, |_| Some(1));
        stage.settle(1).await;
    }
    assert_eq!(made.len(), 3, "{made:?}");
    assert!((10..14).contains(&(made[1] - made[0])) && (20..24).contains(&(made[2] - made[1])), "{made:?}");
    assert_eq!(told(&stage), ends("FailureTarget", "Failed", "BackoffLimitExceeded"));
    assert_eq!(status(&stage)["failed"], 3);
    assert!(stage.events().contains(&"BackoffLimitExceeded Job has reached the specified backoff limit".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn each_index_is_done_once() {
    let stage = stage(&json!({"parallelism": 2, "completions": 4, "completionMode": "Indexed"})).await;
    let pod = stage.api.all(&PODS)[0].clone();
    assert_eq!((index_of(&pod), &pod["spec"]["hostname"]), (0, &json!("j-0")));
    assert!(pod["metadata"]["name"].as_str().unwrap().starts_with("j-0-"));
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    // The second index fails once.
    let failed = std::cell::Cell::new(false);
    run(&stage, 60, |pod| match index_of(pod) {
        1 if !failed.replace(true) => Some(1),
        _ => Some(0),
    })
    .await;
    assert_eq!(stage.api.all(&PODS).len(), 5);
    let end = status(&stage);
    assert_eq!((&end["completedIndexes"], &end["succeeded"], &end["failed"]), (&json!("0-3"), &json!(4), &json!(1)));
    assert_eq!(told(&stage), ends("SuccessCriteriaMet", "Complete", "CompletionsReached"));
}

#[tokio::test(start_paused = true)]
async fn indexes_fail_by_themselves() {
    let spec = json!({
        "parallelism": 4, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
        "backoffLimit": i32::MAX,
    });
    let stage = stage(&spec).await;
    run(&stage, 60, |pod| Some(i64::from(index_of(pod) % 2 == 1))).await;
    let end = status(&stage);
    assert_eq!((&end["completedIndexes"], &end["failedIndexes"]), (&json!("0,2"), &json!("1,3")));
    assert_eq!((&end["succeeded"], &end["failed"]), (&json!(2), &json!(4)));
    assert_eq!(told(&stage), ends("FailureTarget", "Failed", "FailedIndexes"));
    let counts: Vec<_> = stage
        .api
        .all(&PODS)
        .iter()
        .filter(|pod| index_of(pod) == 1)
        .map(|pod| pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"].clone())
        .collect();
    assert_eq!(counts.len(), 2);
    assert!(counts.contains(&json!("0")) && counts.contains(&json!("1")), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn too_many_failed_indexes_end_a_job() {
    let spec = json!({
        "parallelism": 2, "completions": 9, "completionMode": "Indexed", "backoffLimitPerIndex": 0,
        "maxFailedIndexes": 2, "backoffLimit": i32::MAX,
    });
    let stage = stage(&spec).await;
    run(&stage, 30, |_| Some(1)).await;
    assert_eq!(told(&stage), ends("FailureTarget", "Failed", "MaxFailedIndexesExceeded"));
    assert!(stage.api.all(&PODS).len() <= 5);
}

#[tokio::test(start_paused = true)]
async fn enough_successes_make_an_end_of_the_rest() {
    let spec = json!({
        "parallelism": 3, "completions": 3, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "2"}]},
    });
    let stage = stage(&spec).await;
    run(&stage, 20, |pod| (index_of(pod) == 2).then_some(0)).await;
    assert_eq!(told(&stage), ends("SuccessCriteriaMet", "Complete", "SuccessPolicy"));
    assert_eq!(status(&stage)["completedIndexes"], "2");
    assert_eq!(stage.api.all(&PODS).len(), 1, "the others are ended");
}

#[tokio::test(start_paused = true)]
async fn a_policy_fails_the_job_at_once_or_looks_away() {
    let policy = json!({"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]});
    let spec = json!({"parallelism": 2, "completions": 4, "backoffLimit": 0, "podFailurePolicy": policy, "podReplacementPolicy": "Failed"});
    let stage = stage(&spec).await;
    run(&stage, 5, |_| Some(7)).await;
    assert!(told(&stage).is_empty());
    assert!(stage.api.all(&PODS).len() >= 4);
    run(&stage, 60, |_| Some(42)).await;
    assert_eq!(told(&stage), ends("FailureTarget", "Failed", "PodFailurePolicy"));
    let message = status(&stage)["conditions"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("failed with exit code 42 matching FailJob rule at index 0"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_job_that_runs_for_ever() {
    let stage = stage(&json!({"activeDeadlineSeconds": 10})).await;
    run(&stage, 8, |_| None).await;
    assert!(told(&stage).is_empty());
    run(&stage, 8, |_| None).await;
    assert_eq!(told(&stage), ends("FailureTarget", "Failed", "DeadlineExceeded"));
    assert!(stage.api.all(&PODS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_rests() {
    let stage = stage(&json!({"suspend": true, "parallelism": 2, "completions": 2})).await;
    assert!(stage.api.all(&PODS).is_empty() && status(&stage)["startTime"].is_null());
    assert_eq!(told(&stage), [("Suspended".to_owned(), "JobSuspended".to_owned())]);
    let suspend = |suspend: bool| stage.edit(&JOBS, "ns", "j", |job| job["spec"]["suspend"] = json!(suspend));
    suspend(false);
    run(&stage, 3, |_| None).await;
    assert_eq!((stage.api.all(&PODS).len(), told(&stage).len()), (2, 0));
    assert!(status(&stage)["startTime"].is_string());
    suspend(true);
    run(&stage, 3, |_| None).await;
    assert!(stage.api.all(&PODS).is_empty());
    assert_eq!(status(&stage)["failed"], Value::Null, "pods that the job ends itself are no failures");
    suspend(false);
    run(&stage, 30, |_| Some(0)).await;
    assert_eq!(status(&stage)["succeeded"], 2);
    assert!(stage.events().contains(&"Resumed Job resumed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn pods_on_their_way_out_hold_their_place_where_asked() {
    for (policy, most) in [("Failed", 1), ("TerminatingOrFailed", 2)] {
        let stage = stage(&json!({"podReplacementPolicy": policy, "backoffLimit": 9})).await;
        run(&stage, 2, |_| None).await;
        let name = stage.api.all(&PODS)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        stage.edit(&PODS, "ns", &name, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:02Z"));
        stage.settle(20).await;
        assert_eq!(stage.api.all(&PODS).len(), most, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_job_that_is_gone_are_let_go() {
    let stage = stage(&json!({"parallelism": 2, "completions": 2})).await;
    run(&stage, 2, |_| None).await;
    stage.api.remove(&JOBS, "ns", "j");
    stage.settle(2).await;
    assert!(stage.api.all(&PODS).iter().all(|pod| pod["metadata"]["finalizers"] == json!([])));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_manages_is_left_alone() {
    let stage = stage(&json!({"managedBy": "example.com/manager"})).await;
    assert!(stage.writes().is_empty() && stage.api.all(&PODS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn orphans_are_adopted_and_strays_released() {
    let pod = |name: &str, label: &str| json!({"metadata": {"namespace": "ns", "name": name, "labels": {"job": label}}, "status": {"phase": "Running"}});
    let mut stray = pod("stray", "other");
    stray["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "job-j", "controller": true}]);
    stray["metadata"]["finalizers"] = json!([JOB_TRACKING]);
    let spec = json!({"parallelism": 1, "completions": 2});
    let stage = Stage::new(&DEF, &[(&JOBS, job(&spec)), (&PODS, pod("orphan", "j")), (&PODS, stray)]).await;
    let orphan = stage.api.get(&PODS, "ns", "orphan").unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"][0]["uid"], "job-j");
    assert_eq!(orphan["metadata"]["finalizers"], json!([JOB_TRACKING]));
    assert_eq!(stage.api.get(&PODS, "ns", "stray").unwrap()["metadata"]["finalizers"], json!([]));
    assert_eq!(stage.api.all(&PODS).len(), 2);
}
