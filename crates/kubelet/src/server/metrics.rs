//! `/stats/summary`, `/metrics/resource` and the basics of `/metrics/cadvisor`: what pods and the node
//! use, for `kubectl top`, autoscalers and collectors. Read when asked for, never in between.

use super::{Body, json, text};
use crate::agent::Agent;
use crate::node;
use container::runtime::{ContainerStatus, Stats};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// What each thing had used when it was last summed up, so that the next time has a rate.
#[derive(Default)]
pub(crate) struct Recent(Mutex<BTreeMap<String, (base::Timestamp, u64)>>);

impl Recent {
    /// Rates of all that is read now, by what it is called; what is not read any more is forgotten.
    fn rates(&self, now: base::Timestamp, used: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = |(name, used): (&String, &u64)| {
            let (at, before) = recent.get(name)?;
            let nanos = u128::try_from(now.duration_since(*at).as_nanos()).ok().filter(|nanos| *nanos > 0)?;
            let rate = u128::from(used.checked_sub(*before)?) * 1_000_000_000 / nanos;
            Some((name.clone(), u64::try_from(rate).unwrap_or(u64::MAX)))
        };
        let rates = used.iter().filter_map(rate).collect();
        *recent = used.into_iter().map(|(name, used)| (name, (now, used))).collect();
        rates
    }
}

struct PodStats {
    sandbox: String,
    started: i64,
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
            sandbox: sandbox.id.clone(),
            started: sandbox.created_at,
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

fn usage(now: &str, stats: &Stats, rate: Option<&u64>) -> (Value, Value) {
    let mut cpu = json!({"time": now, "usageCoreNanoSeconds": stats.cpu_usage_nanos});
    if let Some(rate) = rate {
        cpu["usageNanoCores"] = json!(rate);
    }
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

fn start_time(nanos: i64) -> String {
    let at = base::Timestamp::from_second(nanos / 1_000_000_000).unwrap_or_default();
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

/// The interface that carries the node's traffic, and what went through it.
fn node_network(now: &str) -> Option<Value> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"00000000")).then(|| fields[0].to_owned())
    };
    let name = routes.lines().skip(1).find_map(default)?;
    let counters = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = counters.lines().find_map(|line| line.trim().strip_prefix(&name)?.strip_prefix(':'))?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let at = |field: usize| numbers.get(field).copied().unwrap_or(0);
    let counted = json!({"name": name, "rxBytes": at(0), "rxErrors": at(2), "txBytes": at(8), "txErrors": at(10)});
    let mut network = counted.clone();
    network["time"] = json!(now);
    network["interfaces"] = json!([counted]);
    Some(network)
}

/// How many processes there may be and are.
fn rlimit(now: &str) -> Value {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<i64>().ok();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split_whitespace().nth(3).and_then(|tasks| tasks.split_once('/')?.1.parse::<i64>().ok());
    json!({"time": now, "maxpid": number("/proc/sys/kernel/pid_max"), "curproc": running})
}

pub(super) async fn summary(agent: &Agent) -> Response<Body> {
    let at = agent.env.clock.now();
    let now = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let pods = collect(agent).await;
    let node_cpu = node_cpu_nanos();
    let mut used = BTreeMap::from([(String::new(), node_cpu)]);
    for pod in &pods {
        used.extend(pod.whole.iter().map(|stats| (pod.sandbox.clone(), stats.cpu_usage_nanos)));
        used.extend(pod.containers.iter().map(|(status, stats)| (status.id.clone(), stats.cpu_usage_nanos)));
    }
    let rates = agent.recent.rates(at, used);
    let pods: Vec<Value> = pods.iter().map(|pod| pod_summary(&now, pod, &rates)).collect();
    let disk = crate::eviction::space(&agent.options.root_dir).unwrap_or_default();
    let total = node::meminfo("MemTotal") * 1024;
    let mut cpu = json!({"time": now, "usageCoreNanoSeconds": node_cpu});
    if let Some(rate) = rates.get("") {
        cpu["usageNanoCores"] = json!(rate);
    }
    let fs = json!({"time": now, "availableBytes": disk.available, "capacityBytes": disk.capacity, "usedBytes": disk.capacity - disk.available});
    let mut summary = json!({
        "node": {
            "nodeName": agent.options.node_name,
            "startTime": agent.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "cpu": cpu,
            "memory": {
                "time": now, "availableBytes": total - node_memory_used(),
                "usageBytes": node_memory_used(), "workingSetBytes": node_memory_used(),
                "rssBytes": node::meminfo("AnonPages") * 1024,
            },
            "fs": fs,
            "runtime": {"imageFs": fs, "containerFs": fs},
            "rlimit": rlimit(&now),
            "swap": {
                "time": now, "swapAvailableBytes": node::meminfo("SwapFree") * 1024,
                "swapUsageBytes": (node::meminfo("SwapTotal") - node::meminfo("SwapFree")) * 1024,
            },
        },
        "pods": pods,
    });
    if let Some(network) = node_network(&now) {
        summary["node"]["network"] = network;
    }
    json(&summary)
}

fn pod_summary(now: &str, pod: &PodStats, rates: &BTreeMap<String, u64>) -> Value {
    let containers = pod.containers.iter().map(|(status, stats)| {
        let (cpu, memory) = usage(now, stats, rates.get(&status.id));
        json!({
            "name": status.name, "startTime": start_time(status.started_at), "cpu": cpu, "memory": memory,
            "rootfs": {"time": now, "usedBytes": stats.rootfs_used_bytes, "inodesUsed": stats.rootfs_used_inodes},
        })
    });
    let mut summary = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": start_time(pod.started),
        "containers": containers.collect::<Vec<_>>(),
    });
    if let Some(whole) = &pod.whole {
        let (cpu, memory) = usage(now, whole, rates.get(&pod.sandbox));
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
    /// When its values were read, in milliseconds; None: it does not say.
    at: Option<i64>,
    samples: String,
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: &'static str) -> Self {
        Family { name, help, kind, at: None, samples: String::new() }
    }

    fn add(&mut self, labels: &str, value: f64) {
        // Writing to a String cannot fail.
        let _ = match self.at {
            Some(at) => writeln!(self.samples, "{}{labels} {value} {at}", self.name),
            None => writeln!(self.samples, "{}{labels} {value}", self.name),
        };
    }

    fn print(&self, out: &mut String) {
        let Family { name, help, kind, samples, .. } = self;
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
    }
}

fn seconds(nanos: u64) -> f64 {
    // A few digits of billionths are lost, which no reader misses.
    nanos as f64 / 1e9
}

pub(super) async fn resource(agent: &Agent) -> Response<Body> {
    let mut node_cpu = Family::new(
        "node_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        "counter",
    );
    let mut node_memory =
        Family::new("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", "gauge");
    let mut cpu = Family::new(
        "container_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        "counter",
    );
    let mut memory = Family::new(
        "container_memory_working_set_bytes",
        "[STABLE] Current working set of the container in bytes",
        "gauge",
    );
    let mut started = Family::new(
        "container_start_time_seconds",
        "[STABLE] Start time of the container since unix epoch in seconds",
        "gauge",
    );
    let mut pod_cpu = Family::new(
        "pod_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        "counter",
    );
    let mut pod_memory =
        Family::new("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", "gauge");
    let pods = collect(agent).await;
    let now = agent.env.clock.now().as_millisecond();
    // A start is a moment of its own.
    for family in [&mut node_cpu, &mut node_memory, &mut cpu, &mut memory, &mut pod_cpu, &mut pod_memory] {
        family.at = Some(now);
    }
    node_cpu.add("", seconds(node_cpu_nanos()));
    node_memory.add("", node_memory_used() as f64);
    for pod in pods {
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
    let mut failed = Family::new(
        "resource_scrape_error",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        "gauge",
    );
    failed.add("", 0.0);
    print(&[cpu, memory, started, node_cpu, node_memory, pod_cpu, pod_memory, failed])
}

fn print(families: &[Family]) -> Response<Body> {
    let mut out = String::new();
    families.iter().for_each(|family| family.print(&mut out));
    text(StatusCode::OK, out)
}

/// Of a container, as cAdvisor names it.
type Figure = (&'static str, &'static str, &'static str, fn(&Stats) -> f64);

const FIGURES: &[Figure] = &[
    ("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "counter", |stats| {
        seconds(stats.cpu_usage_nanos)
    }),
    (
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        "gauge",
        |stats| stats.memory_usage_bytes as f64,
    ),
    ("container_memory_working_set_bytes", "Current working set in bytes.", "gauge", |stats| {
        stats.memory_working_set_bytes as f64
    }),
    ("container_memory_rss", "Size of RSS in bytes.", "gauge", |stats| stats.memory_rss_bytes as f64),
    ("container_processes", "Number of processes running inside the container.", "gauge", |stats| stats.pids as f64),
];

/// The figures that dashboards know by cAdvisor's names.
pub(super) async fn cadvisor(agent: &Agent) -> Response<Body> {
    let pods = collect(agent).await;
    let now = agent.env.clock.now().as_millisecond();
    let mut families = Vec::new();
    for (name, help, kind, value) in FIGURES {
        let mut family = Family { at: Some(now), ..Family::new(name, help, kind) };
        for pod in &pods {
            if let Some(whole) = &pod.whole {
                family.add(&labels(pod, None), value(whole));
            }
            for (status, stats) in &pod.containers {
                family.add(&labels(pod, Some(status)), value(stats));
            }
        }
        families.push(family);
    }
    let mut started = Family::new(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        "gauge",
    );
    for pod in &pods {
        for (status, _) in &pod.containers {
            started.add(&labels(pod, Some(status)), status.started_at as f64 / 1e9);
        }
    }
    families.push(started);
    let mut cores = Family::new("machine_cpu_cores", "Number of logical CPU cores.", "gauge");
    cores.add("", agent.capacity.get("cpu").milli_value() as f64 / 1e3);
    let mut memory = Family::new("machine_memory_bytes", "Amount of memory installed on the machine.", "gauge");
    memory.add("", (node::meminfo("MemTotal") * 1024) as f64);
    families.extend([cores, memory]);
    print(&families)
}

/// A pod as a whole has no container's name.
fn labels(pod: &PodStats, status: Option<&ContainerStatus>) -> String {
    let (id, container) = status.map_or((pod.sandbox.as_str(), ""), |status| (&status.id, &status.name));
    let image = status.map_or("", |status| &status.image);
    format!(
        "{{container=\"{container}\",id=\"/kubepods/pod{}/{id}\",image=\"{image}\",name=\"{id}\",namespace=\"{}\",pod=\"{}\"}}",
        pod.uid, pod.namespace, pod.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_two_readings_of_the_same_thing() {
        let recent = Recent::default();
        let at = |seconds| base::Timestamp::from_second(seconds).unwrap();
        let used = |a: u64, b: Option<u64>| {
            let b = b.map(|b| ("b".to_owned(), b));
            BTreeMap::from_iter([("a".to_owned(), a)].into_iter().chain(b))
        };
        assert!(recent.rates(at(10), used(5_000_000_000, None)).is_empty());
        let rates = recent.rates(at(20), used(10_000_000_000, Some(7)));
        assert_eq!(rates, BTreeMap::from([("a".to_owned(), 500_000_000)]));
        // One that began again has none.
        assert_eq!(recent.rates(at(30), used(1, Some(7))), BTreeMap::from([("b".to_owned(), 0)]));
    }
}
