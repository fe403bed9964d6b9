//! `/stats/summary` and `/metrics/resource`: what pods and the node use, for `kubectl top` and
//! autoscalers.

use super::{Body, json, text};
use crate::agent::Agent;
use crate::node;
use container::runtime::{ContainerStatus, Stats};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

struct PodStats {
    namespace: String,
    name: String,
    uid: String,
    whole: Option<Stats>,
    containers: Vec<(Arc<ContainerStatus>, Stats)>,
}

async fn collect(agent: &Agent) -> Vec<PodStats> {
    let mut all = BTreeMap::new();
    for sandbox in agent.view.sandboxes().iter().filter(|sandbox| sandbox.ready) {
        let config = &sandbox.config;
        let mut containers = Vec::new();
        for status in agent.view.pod(&config.uid).running() {
            if let Ok(stats) = agent.runtime.stats(&status.id).await {
                containers.push((status.clone(), stats));
            }
        }
        let stats = PodStats {
            namespace: config.namespace.clone(),
            name: config.name.clone(),
            uid: config.uid.clone(),
            whole: agent.runtime.sandbox_stats(&sandbox.id).await.ok(),
            containers,
        };
        all.insert(config.uid.clone(), stats);
    }
    all.into_values().collect()
}

fn usage(now: &str, stats: &Stats) -> (Value, Value) {
    let cpu = json!({"time": now, "usageCoreNanoSeconds": stats.cpu_usage_nanos});
    let memory = json!({
        "time": now,
        "usageBytes": stats.memory_usage_bytes,
        "workingSetBytes": stats.memory_working_set_bytes,
        "rssBytes": stats.memory_rss_bytes,
        "pageFaults": stats.memory_page_faults,
        "majorPageFaults": stats.memory_major_page_faults,
    });
    (cpu, memory)
}

fn start_time(status: &ContainerStatus) -> String {
    let at = base::Timestamp::from_second(status.started_at / 1_000_000_000).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Processor time of the whole machine, from the first line of /proc/stat (hundredths of seconds).
fn node_cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    let all: u64 = fields.iter().take(8).sum();
    all.saturating_sub(idle) * 10_000_000
}

fn node_memory_used() -> i64 {
    (node::meminfo("MemTotal") - node::meminfo("MemAvailable")) * 1024
}

pub(super) async fn summary(agent: &Agent) -> Response<Body> {
    let now = agent.env.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let pods: Vec<Value> = collect(agent).await.iter().map(|pod| pod_summary(&now, pod)).collect();
    let (disk, free) = node::disk(&agent.options.root_dir);
    let total = node::meminfo("MemTotal") * 1024;
    json(&json!({
        "node": {
            "nodeName": agent.options.node_name,
            "startTime": agent.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "cpu": {"time": now, "usageCoreNanoSeconds": node_cpu_nanos()},
            "memory": {
                "time": now, "availableBytes": total - node_memory_used(),
                "usageBytes": node_memory_used(), "workingSetBytes": node_memory_used(),
            },
            "fs": {"time": now, "availableBytes": free, "capacityBytes": disk, "usedBytes": disk - free},
        },
        "pods": pods,
    }))
}

fn pod_summary(now: &str, pod: &PodStats) -> Value {
    let containers = pod.containers.iter().map(|(status, stats)| {
        let (cpu, memory) = usage(now, stats);
        json!({
            "name": status.name, "startTime": start_time(status), "cpu": cpu, "memory": memory,
            "rootfs": {"time": now, "usedBytes": stats.rootfs_used_bytes, "inodesUsed": stats.rootfs_used_inodes},
        })
    });
    let mut summary = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "containers": containers.collect::<Vec<_>>(),
    });
    if let Some(whole) = &pod.whole {
        let (cpu, memory) = usage(now, whole);
        summary["cpu"] = cpu;
        summary["memory"] = memory;
        summary["process_stats"] = json!({"process_count": whole.pids});
    }
    summary
}

/// One metric of the text format.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: String,
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: &'static str) -> Self {
        Family { name, help, kind, samples: String::new() }
    }

    fn add(&mut self, labels: &str, value: f64) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.samples, "{}{labels} {value}", self.name);
    }

    fn print(&self, out: &mut String) {
        let Family { name, help, kind, samples } = self;
        let _ = write!(out, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}\n{samples}");
    }
}

fn seconds(nanos: u64) -> f64 {
    // A few digits of billionths are lost, which no reader misses.
    nanos as f64 / 1e9
}

pub(super) async fn resource(agent: &Agent) -> Response<Body> {
    let mut node_cpu = Family::new(
        "node_cpu_usage_seconds_total",
        "Cumulative cpu time consumed by the node in core-seconds",
        "counter",
    );
    let mut node_memory =
        Family::new("node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge");
    let mut cpu = Family::new(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed by the container in core-seconds",
        "counter",
    );
    let mut memory =
        Family::new("container_memory_working_set_bytes", "Current working set of the container in bytes", "gauge");
    let mut started =
        Family::new("container_start_time_seconds", "Start time of the container since unix epoch in seconds", "gauge");
    let mut pod_cpu = Family::new(
        "pod_cpu_usage_seconds_total",
        "Cumulative cpu time consumed by the pod in core-seconds",
        "counter",
    );
    let mut pod_memory =
        Family::new("pod_memory_working_set_bytes", "Current working set of the pod in bytes", "gauge");
    node_cpu.add("", seconds(node_cpu_nanos()));
    node_memory.add("", node_memory_used() as f64);
    for pod in collect(agent).await {
        let of_pod = format!("{{namespace=\"{}\",pod=\"{}\"}}", pod.namespace, pod.name);
        if let Some(whole) = &pod.whole {
            pod_cpu.add(&of_pod, seconds(whole.cpu_usage_nanos));
            pod_memory.add(&of_pod, whole.memory_working_set_bytes as f64);
        }
        for (status, stats) in &pod.containers {
            let labels =
                format!("{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}", status.name, pod.namespace, pod.name);
            cpu.add(&labels, seconds(stats.cpu_usage_nanos));
            memory.add(&labels, stats.memory_working_set_bytes as f64);
            started.add(&labels, status.started_at as f64 / 1e9);
        }
    }
    let mut out = String::new();
    for family in [node_cpu, node_memory, cpu, memory, started, pod_cpu, pod_memory] {
        family.print(&mut out);
    }
    text(StatusCode::OK, out)
}
