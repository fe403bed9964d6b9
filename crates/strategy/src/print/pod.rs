//! Pod, whose one word of STATUS says the most of all tables, and PodTemplate.

use super::cells::{NONE, age, at, at_or, condition, container_images, container_names, is_deleting, label_map, name};
use super::{AGE, NAME, Printer, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::{Value, json};

pub const POD: Printer = Printer {
    group: "",
    kind: "Pod",
    columns: &[
        NAME,
        text("Ready"),
        text("Status"),
        text("Restarts"),
        AGE,
        wide("IP"),
        wide("Node"),
        wide("Nominated Node"),
        wide("Readiness Gates"),
    ],
    cells,
};

pub const POD_TEMPLATE: Printer = Printer {
    group: "",
    kind: "PodTemplate",
    columns: &[NAME, text("Containers"), text("Images"), text("Pod Labels")],
    cells: |object, _| {
        let template = &object["template"];
        vec![
            name(object),
            container_names(&template["spec"]).into(),
            container_images(&template["spec"]).into(),
            label_map(&template["metadata"]["labels"]).into(),
        ]
    },
};

/// What the row says of a pod that is over, for clients that leave such rows out.
pub(crate) fn conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match at(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let ip = items(&pod["status"], "podIPs").first().map_or("", |ip| text_of(ip, "ip"));
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            let ago = super::human_duration(super::cells::seconds_between(last, now));
            format!("{} ({ago} ago)", summary.restarts)
        }
        _ => summary.restarts.to_string(),
    };
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        if ip.is_empty() { NONE.into() } else { ip.into() },
        at_or(pod, "/spec/nodeName", NONE),
        at_or(pod, "/status/nominatedNodeName", NONE),
        readiness_gates(pod).into(),
    ]
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(&pod["spec"], "readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open = gates.iter().filter(|gate| condition(pod, text_of(gate, "conditionType")) == "True").count();
    format!("{open}/{}", gates.len())
}

/// What a pod's containers come to.
struct Summary {
    total: usize,
    ready: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    status: String,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let sidecars = items(spec, "initContainers").iter().filter(|container| is_sidecar(container)).count();
        let reason =
            if text_of(status, "reason").is_empty() { text_of(status, "phase") } else { text_of(status, "reason") };
        let mut summary = Summary {
            total: items(spec, "containers").len() + sidecars,
            ready: 0,
            restarts: 0,
            last_restart: None,
            status: reason.to_owned(),
        };
        let is_gated = items(status, "conditions").iter().any(|condition| {
            text_of(condition, "type") == "PodScheduled" && text_of(condition, "reason") == "SchedulingGated"
        });
        if is_gated {
            "SchedulingGated".clone_into(&mut summary.status);
        }
        let is_initializing = summary.add_init_containers(spec, status);
        if !is_initializing || condition(pod, "Initialized") == "True" {
            summary.add_containers(spec, status, condition(pod, "Ready") == "True");
        }
        let is_over = matches!(text_of(status, "phase"), "Succeeded" | "Failed");
        if is_deleting(pod) && text_of(status, "reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.status);
        } else if is_deleting(pod) && !is_over {
            "Terminating".clone_into(&mut summary.status);
        }
        summary
    }

    fn count(&mut self, status: &Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or_default();
        let finished = at(status, "/lastState/terminated/finishedAt").parse::<Timestamp>().ok();
        self.last_restart = self.last_restart.max(finished);
    }

    /// True while an init container keeps the others waiting.
    fn add_init_containers(&mut self, spec: &Value, status: &Value) -> bool {
        let containers = items(spec, "initContainers");
        for (position, one) in items(status, "initContainerStatuses").iter().enumerate() {
            self.count(one);
            let state = &one["state"];
            let terminated = &state["terminated"];
            if terminated.is_object() && terminated["exitCode"].as_i64().unwrap_or_default() == 0 {
                continue;
            }
            if is_sidecar_status(containers, one) && one["started"] == true {
                self.ready += usize::from(one["ready"] == true);
                continue;
            }
            let waiting = at(state, "/waiting/reason");
            self.status = if terminated.is_object() {
                format!("Init:{}", ending(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{position}/{}", containers.len())
            };
            return true;
        }
        false
    }

    fn add_containers(&mut self, spec: &Value, status: &Value, is_ready: bool) {
        // What init containers did while they ran is history now; sidecars still run.
        (self.restarts, self.last_restart) = (0, None);
        let containers = items(spec, "initContainers");
        for one in items(status, "initContainerStatuses").iter().filter(|one| is_sidecar_status(containers, one)) {
            self.count(one);
        }
        let mut has_running = false;
        for one in items(status, "containerStatuses").iter().rev() {
            self.count(one);
            let state = &one["state"];
            let waiting = at(state, "/waiting/reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.status);
            } else if state["terminated"].is_object() {
                self.status = ending(&state["terminated"]);
            } else if one["ready"] == true && state["running"].is_object() {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && has_running {
            (if is_ready { "Running" } else { "NotReady" }).clone_into(&mut self.status);
        }
    }
}

/// How a container ended, in a word.
fn ending(terminated: &Value) -> String {
    let reason = text_of(terminated, "reason");
    let number = |field: &str| terminated[field].as_i64().unwrap_or_default();
    match number("signal") {
        _ if !reason.is_empty() => reason.to_owned(),
        0 => format!("ExitCode:{}", number("exitCode")),
        signal => format!("Signal:{signal}"),
    }
}

/// An init container that goes on running beside the others.
fn is_sidecar(container: &Value) -> bool {
    text_of(container, "restartPolicy") == "Always"
}

fn is_sidecar_status(containers: &[Value], status: &Value) -> bool {
    containers.iter().any(|container| text_of(container, "name") == text_of(status, "name") && is_sidecar(container))
}
