//! What a run was made on: for the head of its tables. Reads only.

use crate::bench::checkout;
use crate::process::output;
use std::fs;
use std::process::Command;

pub fn describe() -> String {
    let commit = output(Command::new("git").args(["log", "-1", "--format=%h"]).current_dir(checkout()));
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field("/proc/meminfo", "MemTotal:");
    let gigabytes = memory.parse::<f64>().unwrap_or(0.0) / f64::from(1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "Commit {}; {cores} × {model}, {gigabytes:.0} GB, Linux {}; load averages before the run {}.",
        commit.unwrap_or_default().trim(),
        kernel.trim(),
        load.join(" "),
    )
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("").to_owned()
}
