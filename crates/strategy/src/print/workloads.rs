//! Kinds that run pods from a template.

use super::cells::{
    NONE, UNSET, age, at_or, condition, container_images, container_names, is_deleting, label_map, len, name, number,
    seconds_between, selector, since,
};
use super::{AGE, NAME, Printer, boolean, integer, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use meta::labels::Selector;
use serde_json::Value;

const CONTAINERS: super::Column = wide("Containers");
const IMAGES: super::Column = wide("Images");
const SELECTOR: super::Column = wide("Selector");

pub const REPLICATION_CONTROLLER: Printer = Printer {
    group: "",
    kind: "ReplicationController",
    columns: &[NAME, integer("Desired"), integer("Current"), integer("Ready"), AGE, CONTAINERS, IMAGES, SELECTOR],
    cells: |object, now| replicas(object, now, label_map(&object["spec"]["selector"])),
};

pub const REPLICA_SET: Printer = Printer {
    group: "apps",
    kind: "ReplicaSet",
    columns: REPLICATION_CONTROLLER.columns,
    cells: |object, now| replicas(object, now, selector(&object["spec"]["selector"])),
};

pub const DEPLOYMENT: Printer = Printer {
    group: "apps",
    kind: "Deployment",
    columns: &[NAME, text("Ready"), text("Up-to-date"), text("Available"), AGE, CONTAINERS, IMAGES, SELECTOR],
    cells: |object, now| {
        let selector = Selector::from_json(&object["spec"]["selector"]);
        let spec = &object["spec"]["template"]["spec"];
        vec![
            name(object),
            ready_of_desired(object),
            number(object, "/status/updatedReplicas").into(),
            number(object, "/status/availableReplicas").into(),
            age(object, now),
            container_names(spec).into(),
            container_images(spec).into(),
            selector.map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string()).into(),
        ]
    },
};

pub const STATEFUL_SET: Printer = Printer {
    group: "apps",
    kind: "StatefulSet",
    columns: &[NAME, text("Ready"), AGE, CONTAINERS, IMAGES],
    cells: |object, now| {
        let spec = &object["spec"]["template"]["spec"];
        vec![
            name(object),
            ready_of_desired(object),
            age(object, now),
            container_names(spec).into(),
            container_images(spec).into(),
        ]
    },
};

pub const DAEMON_SET: Printer = Printer {
    group: "apps",
    kind: "DaemonSet",
    columns: &[
        NAME,
        integer("Desired"),
        integer("Current"),
        integer("Ready"),
        integer("Up-to-date"),
        integer("Available"),
        text("Node Selector"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let spec = &object["spec"]["template"]["spec"];
        vec![
            name(object),
            number(object, "/status/desiredNumberScheduled").into(),
            number(object, "/status/currentNumberScheduled").into(),
            number(object, "/status/numberReady").into(),
            number(object, "/status/updatedNumberScheduled").into(),
            number(object, "/status/numberAvailable").into(),
            label_map(&spec["nodeSelector"]).into(),
            age(object, now),
            container_names(spec).into(),
            container_images(spec).into(),
            selector(&object["spec"]["selector"]).into(),
        ]
    },
};

pub const JOB: Printer = Printer {
    group: "batch",
    kind: "Job",
    columns: &[NAME, text("Status"), text("Completions"), text("Duration"), AGE, CONTAINERS, IMAGES, SELECTOR],
    cells: |object, now| {
        let spec = &object["spec"]["template"]["spec"];
        vec![
            name(object),
            job_status(object).into(),
            completions(object).into(),
            duration(object, now).into(),
            age(object, now),
            container_names(spec).into(),
            container_images(spec).into(),
            selector(&object["spec"]["selector"]).into(),
        ]
    },
};

pub const CRON_JOB: Printer = Printer {
    group: "batch",
    kind: "CronJob",
    columns: &[
        NAME,
        text("Schedule"),
        text("Timezone"),
        boolean("Suspend"),
        integer("Active"),
        text("Last Schedule"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let job = &object["spec"]["jobTemplate"]["spec"];
        let last = &object["status"]["lastScheduleTime"];
        let suspend = match &object["spec"]["suspend"] {
            Value::Bool(true) => "True",
            Value::Bool(false) => "False",
            _ => UNSET,
        };
        vec![
            name(object),
            object["spec"]["schedule"].clone(),
            at_or(object, "/spec/timeZone", NONE),
            suspend.into(),
            len(object, "/status/active").into(),
            if last.is_null() { NONE.into() } else { since(last, now).into() },
            age(object, now),
            container_names(&job["template"]["spec"]).into(),
            container_images(&job["template"]["spec"]).into(),
            selector(&job["selector"]).into(),
        ]
    },
};

pub const CONTROLLER_REVISION: Printer = Printer {
    group: "apps",
    kind: "ControllerRevision",
    columns: &[NAME, text("Controller"), text("Revision"), AGE],
    cells: |object, now| {
        let owners = items(&object["metadata"], "ownerReferences");
        let controller = owners.iter().find(|owner| owner["controller"] == true).map_or(NONE.to_owned(), |owner| {
            let group =
                text_of(owner, "apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
            format!("{}{group}/{}", text_of(owner, "kind").to_lowercase(), text_of(owner, "name"))
        });
        vec![name(object), controller.into(), number(object, "/revision").into(), age(object, now)]
    },
};

fn replicas(object: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let spec = &object["spec"]["template"]["spec"];
    vec![
        name(object),
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age(object, now),
        container_names(spec).into(),
        container_images(spec).into(),
        selector.into(),
    ]
}

fn ready_of_desired(object: &Value) -> Value {
    format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into()
}

fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| condition(job, kind) == "True";
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if is_deleting(job) => "Terminating",
        () if holds("Suspended") => "Suspended",
        () if holds("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let succeeded = number(job, "/status/succeeded");
    let parallelism = number(job, "/spec/parallelism");
    match job["spec"]["completions"].as_i64() {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let time = |field: &str| text_of(&job["status"], field).parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else { return String::new() };
    super::human_duration(seconds_between(start, time("completionTime").unwrap_or(now)))
}
