//! What processes use, from /proc: CPU time, and memory as PSS (pages shared by several processes
//! count once in their sum). Reads only.

use std::collections::BTreeMap;
use std::fs;

/// Ticks of /proc/PID/stat; 100 a second on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// The process that measures.
pub fn own_pid() -> u32 {
    std::process::id()
}

/// Every process below `root`, without itself. The harness is a subreaper, so that daemons which
/// leave their parent are found too.
pub fn below(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in all() {
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        let own = children.get(&pid).cloned().unwrap_or_default();
        found.extend(&own);
        left.extend(own);
    }
    found
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field, the program's name in parentheses, may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let rest: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| rest.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
    }
}

/// Seconds of CPU that the processes have used so far, in user and system mode.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| Stat::read(*pid)).map(|stat| stat.ticks).sum();
    ticks as f64 / TICKS
}

/// Bytes of memory of the processes.
pub fn pss_bytes(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| pss(*pid)).sum()
}

pub fn pss(pid: u32) -> f64 {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0.0 };
    parse_pss(&text) * 1024.0
}

fn parse_pss(rollup: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let text = "77 (a b) c) (d) S 12 77 77 0 -1 4194304 1 2 3 4 250 50 6 7 20 0 1 0 100 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.parent, stat.ticks), (12, 300));
        assert!(Stat::parse("nothing").is_none());
    }

    #[test]
    fn pss_is_in_kilobytes_and_not_one_of_its_parts() {
        let text = "00400000-7ffd r-xp\nRss:  900 kB\nPss:     640 kB\nPss_Anon:  2 kB\nPss_File: 1 kB\n";
        assert_eq!(parse_pss(text), 640.0);
        assert_eq!(parse_pss(""), 0.0);
    }

    #[test]
    fn a_child_is_found_below_and_uses_memory() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        assert!(below(own_pid()).contains(&child.id()));
        assert!(pss(child.id()) > 0.0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
