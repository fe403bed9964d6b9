//! Workloads: what makes pods from a template.

use super::container::write_template;
use super::events::{events, pod_counts};
use super::page::{Page, controller, items, number, or_none, plain, selector, time, titled, unset};
use super::{Subject, Written};
use crate::failure::Outcome;
use crate::print::age::human;
use base::Timestamp;
use serde_json::Value;

fn named(page: &mut Page, object: &Value) {
    page.field(0, "Name", plain(&object["metadata"]["name"]));
    page.field(0, "Namespace", plain(&object["metadata"]["namespace"]));
}

fn labelled(page: &mut Page, object: &Value) {
    page.pairs("", "Labels", &object["metadata"]["labels"]);
    page.annotations("", &object["metadata"]["annotations"]);
}

fn conditions(page: &mut Page, object: &Value) {
    if items(&object["status"]["conditions"]).next().is_none() {
        return;
    }
    page.line(0, "Conditions:\n  Type\tStatus\tReason");
    page.line(1, "----\t------\t------");
    for condition in items(&object["status"]["conditions"]) {
        let text = |field: &str| plain(&condition[field]);
        page.line(1, format!("{} \t{}\t{}", text("type"), text("status"), text("reason")));
    }
}

async fn pods_status(subject: &Subject<'_>, page: &mut Page) {
    let selector = selector(&subject.object["spec"]["selector"]);
    match pod_counts(subject, &selector).await {
        Ok([running, waiting, succeeded, failed]) => page.field(
            0,
            "Pods Status",
            format!("{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"),
        ),
        Err(why) => page.field(0, "Pods Status", format!("error in fetching pods: {why}")),
    }
}

pub fn deployment<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        let (spec, status) = (&object["spec"], &object["status"]);
        named(page, object);
        page.field(0, "CreationTimestamp", time(&object["metadata"]["creationTimestamp"]));
        labelled(page, object);
        page.field(0, "Selector", selector(&spec["selector"]));
        let count = |field: &str| number(&status[field]);
        page.field(
            0,
            "Replicas",
            format!(
                "{} desired | {} updated | {} total | {} available | {} unavailable",
                number(&spec["replicas"]),
                count("updatedReplicas"),
                count("replicas"),
                count("availableReplicas"),
                count("unavailableReplicas")
            ),
        );
        page.field(0, "StrategyType", plain(&spec["strategy"]["type"]));
        page.field(0, "MinReadySeconds", number(&spec["minReadySeconds"]));
        let rolling = &spec["strategy"]["rollingUpdate"];
        if rolling.is_object() {
            let (unavailable, surge) = (plain(&rolling["maxUnavailable"]), plain(&rolling["maxSurge"]));
            page.field(0, "RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
        }
        write_template(page, &spec["template"]);
        conditions(page, object);
        replica_sets(subject, page).await?;
        events(subject, page).await
    })
}

/// The ReplicaSets behind a Deployment: that of its template, and the others that still count.
async fn replica_sets(subject: &Subject<'_>, page: &mut Page) -> Outcome {
    let revisions = crate::commands::rollout_revisions(subject.session, subject.target, subject.object).await?;
    if revisions.is_empty() {
        return Ok(());
    }
    let mut wanted = subject.object["spec"]["template"].clone();
    let hash = |template: &mut Value| {
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove("pod-template-hash");
        }
    };
    hash(&mut wanted);
    let mut new = String::new();
    let mut old = Vec::new();
    for set in revisions {
        let mut template = set["spec"]["template"].clone();
        hash(&mut template);
        let (made, asked) = (number(&set["status"]["replicas"]), number(&set["spec"]["replicas"]));
        let text = format!("{} ({made}/{asked} replicas created)", plain(&set["metadata"]["name"]));
        if template == wanted && new.is_empty() {
            new = text;
        } else {
            old.push(text);
        }
    }
    page.field(0, "OldReplicaSets", or_none(old.join(", ")));
    page.field(0, "NewReplicaSet", or_none(new));
    Ok(())
}

/// ReplicaSets, and ReplicationControllers with their plain selectors.
pub fn replica_set<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        named(page, object);
        page.field(0, "Selector", selector(&object["spec"]["selector"]));
        labelled(page, object);
        if let Some(owner) = controller(object) {
            page.field(0, "Controlled By", owner);
        }
        let (current, desired) = (number(&object["status"]["replicas"]), number(&object["spec"]["replicas"]));
        page.field(0, "Replicas", format!("{current} current / {desired} desired"));
        pods_status(subject, page).await;
        write_template(page, &object["spec"]["template"]);
        conditions(page, object);
        events(subject, page).await
    })
}

pub fn daemon_set<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        named(page, object);
        page.field(0, "Selector", selector(&object["spec"]["selector"]));
        let node_selector = &object["spec"]["template"]["spec"]["nodeSelector"];
        page.field(0, "Node-Selector", crate::print::table::label_text(node_selector));
        labelled(page, object);
        for (label, field) in [
            ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
            ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
            ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
            ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
            ("Number of Nodes Misscheduled", "numberMisscheduled"),
        ] {
            page.line(0, format!("{label}: {}", number(&object["status"][field])));
        }
        pods_status(subject, page).await;
        write_template(page, &object["spec"]["template"]);
        events(subject, page).await
    })
}

pub fn stateful_set<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        let spec = &object["spec"];
        named(page, object);
        page.field(0, "CreationTimestamp", time(&object["metadata"]["creationTimestamp"]));
        page.field(0, "Selector", selector(&spec["selector"]));
        labelled(page, object);
        let total = number(&object["status"]["replicas"]);
        page.field(0, "Replicas", format!("{} desired | {total} total", number(&spec["replicas"])));
        page.field(0, "Update Strategy", plain(&spec["updateStrategy"]["type"]));
        let rolling = &spec["updateStrategy"]["rollingUpdate"];
        if !rolling["partition"].is_null() {
            page.field(1, "Partition", number(&rolling["partition"]));
            page.text(1, "MaxUnavailable", &rolling["maxUnavailable"]);
        }
        pods_status(subject, page).await;
        write_template(page, &spec["template"]);
        claims(page, &spec["volumeClaimTemplates"]);
        events(subject, page).await
    })
}

fn claims(page: &mut Page, templates: &Value) {
    if items(templates).next().is_none() {
        page.field(0, "Volume Claims", "<none>");
        return;
    }
    page.line(0, "Volume Claims:");
    for claim in items(templates) {
        page.field(1, "Name", plain(&claim["metadata"]["name"]));
        page.field(1, "StorageClass", plain(&claim["spec"]["storageClassName"]));
        page.pairs("  ", "Labels", &claim["metadata"]["labels"]);
        page.pairs("  ", "Annotations", &claim["metadata"]["annotations"]);
        let storage = &claim["spec"]["resources"]["requests"]["storage"];
        page.field(1, "Capacity", if storage.is_null() { "<default>".to_owned() } else { plain(storage) });
        let modes: Vec<String> = items(&claim["spec"]["accessModes"]).map(plain).collect();
        page.field(1, "Access Modes", format!("[{}]", modes.join(" ")));
    }
}

pub fn job<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        let (spec, status) = (&object["spec"], &object["status"]);
        named(page, object);
        // Without one it selects nothing, which has no text.
        let chosen = if spec["selector"].is_null() { String::new() } else { selector(&spec["selector"]) };
        page.field(0, "Selector", chosen);
        labelled(page, object);
        if let Some(owner) = controller(object) {
            page.field(0, "Controlled By", owner);
        }
        page.text(0, "Parallelism", &spec["parallelism"]);
        page.field(0, "Completions", unset(&spec["completions"]));
        page.text(0, "Completion Mode", &spec["completionMode"]);
        page.text(0, "Suspend", &spec["suspend"]);
        page.text(0, "Backoff Limit", &spec["backoffLimit"]);
        page.text(0, "TTL Seconds After Finished", &spec["ttlSecondsAfterFinished"]);
        for (label, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
            if !status[field].is_null() {
                page.field(0, label, time(&status[field]));
            }
        }
        let moment = |field: &str| status[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if let (Some(start), Some(end)) = (moment("startTime"), moment("completionTime")) {
            page.field(0, "Duration", human(end.as_second() - start.as_second()));
        }
        if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
            page.field(0, "Active Deadline Seconds", format!("{seconds}s"));
        }
        let ready = status["ready"].as_i64().map_or_else(String::new, |ready| format!(" ({ready} Ready)"));
        let count = |field: &str| number(&status[field]);
        let (active, succeeded, failed) = (count("active"), count("succeeded"), count("failed"));
        page.field(0, "Pods Statuses", format!("{active} Active{ready} / {succeeded} Succeeded / {failed} Failed"));
        if spec["completionMode"] == "Indexed" {
            page.field(0, "Completed Indexes", or_none(plain(&status["completedIndexes"])));
        }
        write_template(page, &spec["template"]);
        events(subject, page).await
    })
}

pub fn cron_job<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        let (spec, status) = (&object["spec"], &object["status"]);
        named(page, object);
        labelled(page, object);
        page.field(0, "Schedule", plain(&spec["schedule"]));
        page.field(0, "Concurrency Policy", plain(&spec["concurrencyPolicy"]));
        page.field(0, "Suspend", spec["suspend"].as_bool().map_or("<unset>", titled));
        page.field(0, "Successful Job History Limit", unset(&spec["successfulJobsHistoryLimit"]));
        page.field(0, "Failed Job History Limit", unset(&spec["failedJobsHistoryLimit"]));
        let deadline = spec["startingDeadlineSeconds"].as_i64();
        page.field(
            0,
            "Starting Deadline Seconds",
            deadline.map_or("<unset>".to_owned(), |seconds| format!("{seconds}s")),
        );
        let job = &spec["jobTemplate"]["spec"];
        let chosen = if job["selector"].is_null() { "<unset>".to_owned() } else { selector(&job["selector"]) };
        page.field(0, "Selector", chosen);
        page.field(0, "Parallelism", unset(&job["parallelism"]));
        page.field(0, "Completions", unset(&job["completions"]));
        if let Some(seconds) = job["activeDeadlineSeconds"].as_i64() {
            page.field(0, "Active Deadline Seconds", format!("{seconds}s"));
        }
        write_template(page, &job["template"]);
        let last = &status["lastScheduleTime"];
        page.field(0, "Last Schedule Time", if last.is_null() { "<unset>".to_owned() } else { time(last) });
        let active: Vec<String> = items(&status["active"]).map(|job| plain(&job["name"])).collect();
        page.field(0, "Active Jobs", or_none(active.join(", ")));
        events(subject, page).await
    })
}
