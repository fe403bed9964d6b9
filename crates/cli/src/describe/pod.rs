//! Pods.

use super::container::{Known, containers, resources, spread, tolerations};
use super::events::events;
use super::page::{Page, controller, items, number, plain, time};
use super::volume::volumes;
use super::{Subject, Written};
use crate::print::age::since;
use serde_json::Value;

pub fn pod<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let pod = subject.object;
        let (spec, status) = (&pod["spec"], &pod["status"]);
        head(subject, page);
        for (label, list, statuses) in [
            ("Init Containers", "initContainers", "initContainerStatuses"),
            ("Containers", "containers", "containerStatuses"),
            ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
        ] {
            if list == "containers" || items(&spec[list]).next().is_some() {
                let known = Known { pod, statuses: &status[statuses] };
                containers(page, label, &spec[list], Some(&known), "");
            }
        }
        gates(page, pod);
        if items(&status["conditions"]).next().is_some() {
            page.line(0, "Conditions:\n  Type\tStatus");
            for condition in items(&status["conditions"]) {
                page.line(1, format!("{} \t{} ", plain(&condition["type"]), plain(&condition["status"])));
            }
        }
        volumes(page, &spec["volumes"], "");
        page.field(0, "QoS Class", plain(&status["qosClass"]));
        page.pairs("", "Node-Selectors", &spec["nodeSelector"]);
        tolerations(page, "", &spec["tolerations"]);
        spread(page, "", &spec["topologySpreadConstraints"]);
        events(subject, page).await
    })
}

fn head(subject: &Subject<'_>, page: &mut Page) {
    let pod = subject.object;
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    page.field(0, "Name", plain(&metadata["name"]));
    page.field(0, "Namespace", plain(&metadata["namespace"]));
    page.text(0, "Priority", &spec["priority"]);
    page.text(0, "Priority Class Name", &spec["priorityClassName"]);
    page.text(0, "Runtime Class Name", &spec["runtimeClassName"]);
    page.text(0, "Service Account", &spec["serviceAccountName"]);
    match spec["nodeName"].as_str().filter(|name| !name.is_empty()) {
        Some(node) => page.field(0, "Node", format!("{node}/{}", plain(&status["hostIP"]))),
        None => page.field(0, "Node", "<none>"),
    }
    if !status["startTime"].is_null() {
        page.field(0, "Start Time", time(&status["startTime"]));
    }
    page.pairs("", "Labels", &metadata["labels"]);
    page.annotations("", &metadata["annotations"]);
    let phase = plain(&status["phase"]);
    match metadata["deletionTimestamp"].as_str() {
        Some(deleted) if !["Failed", "Succeeded"].contains(&phase.as_str()) => {
            let age = since(deleted, subject.session.env.clock.now());
            page.field(0, "Status", format!("Terminating (lasts {age})"));
            let grace = number(&metadata["deletionGracePeriodSeconds"]);
            page.field(0, "Termination Grace Period", format!("{grace}s"));
        }
        _ => page.field(0, "Status", phase),
    }
    page.text(0, "Reason", &status["reason"]);
    page.text(0, "Message", &status["message"]);
    let profile = &spec["securityContext"]["seccompProfile"];
    page.text(0, "SeccompProfile", &profile["type"]);
    if profile["type"] == "Localhost" {
        page.text(0, "LocalhostProfile", &profile["localhostProfile"]);
    }
    page.field(0, "IP", plain(&status["podIP"]));
    if items(&status["podIPs"]).next().is_none() {
        page.field(0, "IPs", "<none>");
    } else {
        page.line(0, "IPs:");
        items(&status["podIPs"]).for_each(|address| page.field(1, "IP", plain(&address["ip"])));
    }
    if let Some(owner) = controller(pod) {
        page.field(0, "Controlled By", owner);
    }
    page.text(0, "NominatedNodeName", &status["nominatedNodeName"]);
    if spec["resources"].is_object() {
        page.line(0, "Resources:");
        resources(page, 1, &spec["resources"]);
    }
}

fn gates(page: &mut Page, pod: &Value) {
    if items(&pod["spec"]["readinessGates"]).next().is_none() {
        return;
    }
    page.line(0, "Readiness Gates:\n  Type\tStatus");
    for gate in items(&pod["spec"]["readinessGates"]) {
        let kind = plain(&gate["conditionType"]);
        let condition = meta::conditions::find(&pod["status"]["conditions"], &kind);
        let status = condition.map_or("<none>".to_owned(), |condition| plain(&condition["status"]));
        page.line(1, format!("{kind} \t{status} "));
    }
}
