//! NodeMetrics and PodMetrics, as metrics-server shows them.

use super::cells::{at, name};
use super::{NAME, Printer, formatted};
use crate::Column;
use crate::tree::items;
use meta::quantity::{Format, Quantity};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    NAME,
    formatted("cpu", "string", 0, "quantity"),
    formatted("memory", "string", 0, "quantity"),
    formatted("Window", "string", 0, "duration"),
];

pub const NODE: Printer = Printer {
    group: "metrics.k8s.io",
    kind: "NodeMetrics",
    columns: COLUMNS,
    cells: |node, _| {
        let used = |resource: &str| at(node, &format!("/usage/{resource}")).into();
        vec![name(node), used("cpu"), used("memory"), at(node, "/window").into()]
    },
};

pub const POD: Printer = Printer {
    group: "metrics.k8s.io",
    kind: "PodMetrics",
    columns: COLUMNS,
    cells: |pod, _| {
        let (cpu, memory) = (sum(pod, "cpu", Format::DecimalSi), sum(pod, "memory", Format::BinarySi));
        vec![name(pod), cpu, memory, at(pod, "/window").into()]
    },
};

/// Of all containers.
fn sum(pod: &Value, resource: &str, format: Format) -> Value {
    let mut sum = Quantity::new(0, format);
    for container in items(pod, "containers") {
        if let Ok(used) = Quantity::parse(at(container, &format!("/usage/{resource}"))) {
            sum += used;
        }
    }
    sum.to_string().into()
}
