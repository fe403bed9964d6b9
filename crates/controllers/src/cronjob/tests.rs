//! What is due as a table; CronJobs against the fake server.

use super::due::{Due, Timetable};
use super::*;
use crate::testing::Stage;
use serde_json::json;

const CRON_JOBS: meta::GroupVersionResource = resource::CRON_JOBS;
const JOBS: meta::GroupVersionResource = resource::JOBS;

fn cron_job(spec: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "namespace": "ns", "name": "tick", "uid": "cron-tick", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": false,
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": []}}}},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

async fn stage(spec: &Value) -> Stage {
    Stage::new(&DEF, &[(&CRON_JOBS, cron_job(spec))]).await
}

fn names(stage: &Stage) -> Vec<String> {
    stage.api.all(&JOBS).iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn status(stage: &Stage) -> Value {
    stage.api.get(&CRON_JOBS, "ns", "tick").unwrap()["status"].clone()
}

fn end_all(stage: &Stage, end: &str) {
    let now = meta::time::format(stage.env.clock.now());
    for mut job in stage.api.all(&JOBS).into_iter().filter(|job| job["status"].is_null()) {
        let condition = json!({"type": end, "status": "True", "lastTransitionTime": now});
        job["status"] = json!({"startTime": now, "completionTime": now, "conditions": [condition]});
        stage.api.put(&JOBS, job);
    }
}

/// 2026-01-01T00:00 is this many minutes after the epoch.
const MINUTE: i64 = 29_453_760;

#[test]
fn the_latest_time_that_came_is_due() {
    // Schedule, deadline, last time, now; the time that is due and whether too many were missed, the
    // seconds to the next.
    type Case = (&'static str, Option<i64>, Option<&'static str>, &'static str, Option<(&'static str, bool)>, u64);
    let cases: &[Case] = &[
        ("0 * * * *", None, None, "2026-01-01T00:30:00Z", None, 1800),
        ("0 * * * *", None, None, "2026-01-01T01:00:00Z", Some(("2026-01-01T01:00:00Z", false)), 3600),
        ("0 * * * *", None, Some("2026-01-01T01:00:00Z"), "2026-01-01T01:30:00Z", None, 1800),
        ("0 * * * *", None, None, "2026-01-01T05:10:00Z", Some(("2026-01-01T05:00:00Z", false)), 3000),
        ("* * * * *", None, None, "2026-01-01T05:10:30Z", Some(("2026-01-01T05:10:00Z", true)), 30),
        ("* * * * *", Some(300), None, "2026-01-01T05:10:30Z", Some(("2026-01-01T05:10:00Z", false)), 30),
        ("0 0 31 2 *", None, None, "2026-01-01T05:10:30Z", None, 0),
    ];
    for (schedule, deadline, last, now, due, wait) in cases {
        let mut object = cron_job(&json!({"schedule": schedule, "startingDeadlineSeconds": deadline}));
        object["status"]["lastScheduleTime"] = json!(last);
        let cron_job: CronJob = serde_json::from_value(object).unwrap();
        let timetable = Timetable { schedule: cron::Schedule::parse(schedule).unwrap(), zone: jiff::tz::TimeZone::UTC };
        let now: Timestamp = now.parse().unwrap();
        let expected = due.map(|(at, too_many)| Due { at: at.parse().unwrap(), too_many });
        assert_eq!(timetable.due(&cron_job, now), expected, "{schedule} at {now}");
        let left = timetable.wait(&cron_job, now).map_or(0, |left| left.as_secs());
        assert_eq!(left, *wait, "{schedule} at {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_each_minute_and_old_ones_cleared_away() {
    let stage = stage(&json!({})).await;
    assert!(names(&stage).is_empty());
    stage.settle(60).await;
    assert_eq!(names(&stage), [format!("tick-{}", MINUTE + 1)]);
    let job = &stage.api.all(&JOBS)[0];
    assert_eq!(
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"],
        "2026-01-01T00:01:00Z"
    );
    assert_eq!(
        (&job["metadata"]["labels"]["a"], &job["metadata"]["ownerReferences"][0]["uid"]),
        (&json!("b"), &json!("cron-tick"))
    );
    assert_eq!(status(&stage)["active"][0]["name"], job["metadata"]["name"]);
    assert_eq!(status(&stage)["lastScheduleTime"], "2026-01-01T00:01:00Z");
    for _ in 0..5 {
        end_all(&stage, "Complete");
        stage.settle(60).await;
    }
    end_all(&stage, "Failed");
    stage.settle(5).await;
    let left: Vec<String> = (4..=6).map(|minute| format!("tick-{}", MINUTE + minute)).collect();
    assert_eq!(names(&stage)[1..], left[..]);
    assert_eq!(status(&stage)["active"], json!([]));
    assert!(status(&stage)["lastSuccessfulTime"].is_string());
    let events = stage.events();
    for told in [
        "SuccessfulCreate Created job tick-",
        "SawCompletedJob Saw completed job: tick-",
        "SuccessfulDelete Deleted job tick-",
    ] {
        assert!(events.iter().any(|event| event.starts_with(told)), "{told}: {events:?}");
    }
    assert!(!events.iter().any(|event| event.starts_with("UnexpectedJob")), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_forward_is_noticed() {
    let stage = stage(&json!({"schedule": "0 3 * * *"})).await;
    stage.env.clock.jump(jiff::SignedDuration::from_hours(3));
    stage.settle(65).await;
    assert_eq!(names(&stage), [format!("tick-{}", MINUTE + 180)]);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_still_run_are_joined_awaited_or_replaced() {
    for (policy, running) in [("Allow", vec![1, 2, 3]), ("Forbid", vec![1]), ("Replace", vec![3])] {
        let stage = stage(&json!({"concurrencyPolicy": policy})).await;
        stage.settle(185).await;
        let expected: Vec<String> = running.iter().map(|minute| format!("tick-{}", MINUTE + minute)).collect();
        assert_eq!(names(&stage), expected, "{policy}");
        assert_eq!(status(&stage)["active"].as_array().unwrap().len(), running.len(), "{policy}");
        let told = stage.events().iter().any(|event| event.starts_with("JobAlreadyActive"));
        assert_eq!(told, policy == "Forbid");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_told_and_left() {
    for (spec, event) in [
        (json!({"suspend": true}), ""),
        (
            json!({"schedule": "x"}),
            "UnparseableSchedule unparseable schedule: \"x\" : expected exactly 5 fields, found 1: [x]",
        ),
        (
            json!({"timeZone": "Mars/Olympus"}),
            "UnknownTimeZone invalid timeZone: \"Mars/Olympus\": unknown time zone Mars/Olympus",
        ),
    ] {
        let stage = stage(&spec).await;
        stage.settle(200).await;
        assert!(names(&stage).is_empty());
        assert_eq!(stage.events().first().map_or("", String::as_str), event);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_made_before_a_crash_is_not_made_again() {
    let owner =
        json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "cron-tick", "controller": true}]);
    let name = format!("tick-{}", MINUTE + 1);
    let annotations = json!({"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T00:01:00Z"});
    let job =
        json!({"metadata": {"namespace": "ns", "name": name, "ownerReferences": owner, "annotations": annotations}});
    let stage = Stage::new(&DEF, &[(&CRON_JOBS, cron_job(&json!({}))), (&JOBS, job)]).await;
    stage.settle(65).await;
    assert_eq!(names(&stage).len(), 1);
    assert_eq!(status(&stage)["active"][0]["name"], name);
    assert_eq!(status(&stage)["lastScheduleTime"], "2026-01-01T00:01:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_went_missing_is_taken_off_the_list() {
    let stage = stage(&json!({})).await;
    stage.settle(61).await;
    stage.api.remove(&JOBS, "ns", &names(&stage)[0]);
    stage.settle(2).await;
    assert_eq!(status(&stage)["active"], json!([]));
    assert!(stage.events().iter().any(|event| event.starts_with("MissingJob Active job went missing: tick-")));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_replaced_stays_listed_and_alone() {
    let stage = stage(&json!({"concurrencyPolicy": "Replace"})).await;
    stage.settle(65).await;
    let first = names(&stage);
    assert_eq!(first.len(), 1);
    let error: client::Error = meta::Status::internal("not now").into();
    stage.refuse("delete jobs", error);
    stage.settle(200).await;
    assert_eq!(names(&stage), first);
    assert_eq!(status(&stage)["active"][0]["name"], json!(first[0]));
}
