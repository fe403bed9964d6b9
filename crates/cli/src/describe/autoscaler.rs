//! HorizontalPodAutoscalers.

use super::events::events;
use super::page::{Page, items, number, plain, time, unset};
use super::{Subject, Written};
use serde_json::Value;

pub fn autoscaler<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (spec, status) = (&subject.object["spec"], &subject.object["status"]);
        page.head(subject.object);
        page.field(0, "CreationTimestamp", time(&subject.object["metadata"]["creationTimestamp"]));
        let target = &spec["scaleTargetRef"];
        page.field(0, "Reference", format!("{}/{}", plain(&target["kind"]), plain(&target["name"])));
        page.field(0, "Metrics", "( current / target )");
        for (at, metric) in items(&spec["metrics"]).enumerate() {
            let kind = plain(&metric["type"]);
            let field = kind.get(..1).map(|first| first.to_lowercase() + &kind[1..]).unwrap_or_default();
            let current = &status["currentMetrics"][at][&field]["current"];
            page.line(1, self::metric(&kind, &metric[&field], current));
        }
        page.field(0, "Min replicas", unset(&spec["minReplicas"]));
        page.field(0, "Max replicas", number(&spec["maxReplicas"]));
        if spec["behavior"].is_object() {
            page.line(0, "Behavior:");
            direction(page, "Scale Up", &spec["behavior"]["scaleUp"]);
            direction(page, "Scale Down", &spec["behavior"]["scaleDown"]);
        }
        let counts =
            format!("{} current / {} desired", number(&status["currentReplicas"]), number(&status["desiredReplicas"]));
        page.field(0, &format!("{} pods", plain(&target["kind"])), counts);
        conditions(page, &status["conditions"]);
        events(subject, page).await
    })
}

/// What a metric is called, what it is, and what it is to be.
fn metric(kind: &str, source: &Value, current: &Value) -> String {
    let target = &source["target"];
    let is_average = !target["averageValue"].is_null();
    let name = plain(&source["metric"]["name"]);
    let object =
        || format!("{}/{}", plain(&source["describedObject"]["kind"]), plain(&source["describedObject"]["name"]));
    let what = match kind {
        "Pods" => format!("{name:?} on pods"),
        "Object" if target["type"] == "AverageValue" => format!("{name:?} on {} (target average value)", object()),
        "Object" => format!("{name:?} on {} (target value)", object()),
        "External" if is_average => format!("{name:?} (target average value)"),
        "External" => format!("{name:?} (target value)"),
        _ => {
            let container = match kind {
                "ContainerResource" => format!(" of container {:?}", plain(&source["container"])),
                _ => String::new(),
            };
            let ratio = if is_average { "" } else { "  (as a percentage of request)" };
            format!("resource {}{container} on pods{ratio}", plain(&source["name"]))
        }
    };
    let is_ratio = matches!(kind, "Resource" | "ContainerResource") && !is_average;
    let (now, wanted) = match (is_ratio, is_average) {
        (true, _) => {
            let now = match &current["averageUtilization"] {
                Value::Null => "<unknown>".to_owned(),
                percent => format!("{}% ({})", number(percent), plain(&current["averageValue"])),
            };
            let wanted = &target["averageUtilization"];
            (now, if wanted.is_null() { "<auto>".to_owned() } else { format!("{}%", number(wanted)) })
        }
        (false, true) => (known(&current["averageValue"]), plain(&target["averageValue"])),
        (false, false) => (known(&current["value"]), plain(&target["value"])),
    };
    format!("{what}:\t{now} / {wanted}")
}

fn known(value: &Value) -> String {
    if value.is_null() { "<unknown>".to_owned() } else { plain(value) }
}

fn direction(page: &mut Page, title: &str, rules: &Value) {
    if rules.is_null() {
        return;
    }
    page.line(1, format!("{title}:"));
    if !rules["stabilizationWindowSeconds"].is_null() {
        page.line(2, format!("Stabilization Window: {} seconds", number(&rules["stabilizationWindowSeconds"])));
    }
    if items(&rules["policies"]).next().is_none() {
        return;
    }
    page.line(2, format!("Select Policy: {}", rules["selectPolicy"].as_str().unwrap_or("Max")));
    page.line(2, "Policies:");
    for policy in items(&rules["policies"]) {
        let (value, period) = (number(&policy["value"]), number(&policy["periodSeconds"]));
        page.line(3, format!("- Type: {}\tValue: {value}\tPeriod: {period} seconds", plain(&policy["type"])));
    }
}

fn conditions(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tReason\tMessage");
    page.line(1, "----\t------\t------\t-------");
    for condition in items(list) {
        let cells = ["type", "status", "reason", "message"].map(|field| plain(&condition[field]));
        page.line(1, cells.join("\t"));
    }
}
