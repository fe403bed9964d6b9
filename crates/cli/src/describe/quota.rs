//! What bounds a namespace: ResourceQuotas and LimitRanges.

use super::page::{Page, items, plain};
use super::{Subject, Written};
use serde_json::Value;
use std::collections::BTreeSet;

/// What each scope of a quota means, in upstream's words.
const SCOPES: [(&str, &str); 4] = [
    (
        "Terminating",
        "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being \
         actively terminated by the system.",
    ),
    (
        "NotTerminating",
        "Matches all pods that do not have an active deadline. These pods usually include long running pods whose \
         container command is not expected to terminate.",
    ),
    (
        "BestEffort",
        "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
    ),
    (
        "NotBestEffort",
        "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed \
         quality of service.",
    ),
];

pub fn quota<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, status) = (&subject.object["metadata"], &subject.object["status"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.field(0, "Namespace", plain(&metadata["namespace"]));
        scopes(page, 0, " * ", subject.object);
        page.line(0, "Resource\tUsed\tHard");
        page.line(0, "--------\t----\t----");
        for (name, hard) in status["hard"].as_object().into_iter().flatten() {
            page.line(0, format!("{name}\t{}\t{}", plain(&status["used"][name]), plain(hard)));
        }
        Ok(())
    })
}

/// Which pods a quota is about, and what that means.
pub fn scopes(page: &mut Page, level: usize, mark: &str, quota: &Value) {
    let scopes: BTreeSet<String> = items(&quota["spec"]["scopes"]).map(plain).collect();
    if !scopes.is_empty() {
        page.field(level, "Scopes", scopes.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    for scope in &scopes {
        if let Some((_, meaning)) = SCOPES.iter().find(|(name, _)| name == scope) {
            page.line(level, format!("{mark}{meaning}"));
        }
    }
}

pub fn limit_range<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        page.field(0, "Name", plain(&subject.object["metadata"]["name"]));
        page.field(0, "Namespace", plain(&subject.object["metadata"]["namespace"]));
        limit_table(page, "", std::iter::once(subject.object));
        Ok(())
    })
}

/// What several LimitRanges allow.
pub fn limit_table<'v>(page: &mut Page, indent: &str, ranges: impl Iterator<Item = &'v Value>) {
    let columns = ["Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio"];
    page.line(0, format!("{indent}{}", columns.join("\t")));
    page.line(0, format!("{indent}{}", columns.map(|column| "-".repeat(column.len())).join("\t")));
    let fields = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for item in ranges.flat_map(|range| items(&range["spec"]["limits"])) {
        let maps = fields.iter().filter_map(|field| item[*field].as_object());
        let names: BTreeSet<&String> = maps.flat_map(|map| map.keys()).collect();
        for name in names {
            let cell = |field: &&str| match &item[*field][name] {
                Value::Null => "-".to_owned(),
                value => plain(value),
            };
            let cells: Vec<String> = fields.iter().map(cell).collect();
            page.line(0, format!("{indent}{}\t{name}\t{}", plain(&item["type"]), cells.join("\t")));
        }
    }
}
