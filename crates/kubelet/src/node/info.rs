//! Facts about the machine, from /proc, /sys and /etc.

use crate::eviction::{Signal, Thresholds, space};
use k8s_openapi::api::core::v1::NodeSystemInfo;
use meta::Quantity;
use meta::quantity::Format;
use std::collections::BTreeMap;
use std::path::Path;
use volumes::fields::Allocatable;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Number of a line such as `MemTotal:  16384 kB`.
pub fn meminfo(name: &str) -> i64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok()).unwrap_or(0)
}

fn cpus() -> i64 {
    let online = read("/sys/devices/system/cpu/online");
    let count = |range: &str| -> Option<i64> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<i64>().ok()? - first.parse::<i64>().ok()? + 1)
    };
    online.split(',').filter_map(count).sum::<i64>().max(1)
}

/// All that the machine has.
pub fn capacity(root: &Path, max_pods: u32) -> Allocatable {
    let disk = space(root).map_or(0, |disk| disk.capacity);
    let mut all = BTreeMap::from([
        ("cpu".to_owned(), Quantity::new(cpus(), Format::DecimalSi)),
        ("memory".to_owned(), kibibytes(meminfo("MemTotal"))),
        ("ephemeral-storage".to_owned(), kibibytes(disk / 1024)),
        ("pods".to_owned(), Quantity::new(i64::from(max_pods), Format::DecimalSi)),
    ]);
    for entry in std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(size) = name.strip_prefix("hugepages-").and_then(|name| name.strip_suffix("kB")) else { continue };
        let Ok(size) = size.parse::<i64>() else { continue };
        let count: i64 = read(&format!("/sys/kernel/mm/hugepages/{name}/nr_hugepages")).parse().unwrap_or(0);
        all.insert(format!("hugepages-{}", kibibytes(size)), kibibytes(size * count));
    }
    Allocatable(all)
}

fn kibibytes(number: i64) -> Quantity {
    Quantity::bytes(number.saturating_mul(1024))
}

/// What is left for pods: less than the thresholds would have them evicted.
pub fn allocatable(capacity: &Allocatable, thresholds: &Thresholds) -> Allocatable {
    let mut left = capacity.clone();
    for (name, amount) in &mut left.0 {
        match name.as_str() {
            "memory" => {
                let reserved = thresholds.reserved(Signal::MemoryAvailable, amount.value());
                *amount -= Quantity::bytes(reserved.min(amount.value() / 2));
            }
            // In bytes without a suffix, as upstream prints it.
            "ephemeral-storage" => {
                let bytes = amount.value();
                let reserved = thresholds.reserved(Signal::NodefsAvailable, bytes).min(bytes);
                *amount = Quantity::new(bytes - reserved, Format::DecimalSi);
            }
            _ => {}
        }
    }
    left
}

pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// As Go names the processor.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

pub fn system_info(version: &str) -> NodeSystemInfo {
    let release = read("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let uuid = read("/sys/class/dmi/id/product_uuid").to_lowercase();
    let machine = read("/etc/machine-id");
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("{}://{version}", crate::names::RUNTIME),
        kernel_version: rustix::system::uname().release().to_string_lossy().into_owned(),
        kube_proxy_version: String::new(),
        kubelet_version: format!("v1.37.0+kutter{version}"),
        operating_system: "linux".to_owned(),
        os_image: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
        system_uuid: if uuid.is_empty() { machine.clone() } else { uuid },
        machine_id: machine,
        ..NodeSystemInfo::default()
    }
}
