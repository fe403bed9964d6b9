//! What a cgroup uses now.

use super::files::read;
use super::{CgroupError, Cgroups, Place};
use std::os::fd::BorrowedFd;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_nanos: u64,
    pub memory_bytes: u64,
    /// Memory less what the kernel could drop at once.
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub pids: u64,
}

impl Cgroups {
    pub fn usage(&self, path: &str) -> Result<Usage, CgroupError> {
        if !self.exists(path) {
            return Err(CgroupError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() });
        }
        let mut usage = Usage::default();
        match (self.place("cpuacct"), self.place("cpu")) {
            (Place::V1(root), _) => usage.cpu_nanos = number(root, path, "cpuacct.usage"),
            // On v2 cpu.stat is there without the controller.
            (_, Place::V2(root)) => usage.cpu_nanos = keyed(root, path, "cpu.stat", "usage_usec") * 1000,
            _ => {}
        }
        let cached = match self.place("memory") {
            Place::V1(root) => {
                usage.memory_bytes = number(root, path, "memory.usage_in_bytes");
                self.memory_details(&mut usage, root, path, ["total_rss", "total_pgfault", "total_pgmajfault"]);
                keyed(root, path, "memory.stat", "total_inactive_file")
            }
            Place::V2(root) => {
                usage.memory_bytes = number(root, path, "memory.current");
                self.memory_details(&mut usage, root, path, ["anon", "pgfault", "pgmajfault"]);
                keyed(root, path, "memory.stat", "inactive_file")
            }
            Place::Nowhere => 0,
        };
        usage.working_set_bytes = usage.memory_bytes.saturating_sub(cached);
        if let Place::V1(root) | Place::V2(root) = self.place("pids") {
            usage.pids = number(root, path, "pids.current");
        }
        Ok(usage)
    }

    fn memory_details(&self, usage: &mut Usage, root: BorrowedFd<'_>, path: &str, names: [&str; 3]) {
        let values = names.map(|name| keyed(root, path, "memory.stat", name));
        [usage.rss_bytes, usage.page_faults, usage.major_page_faults] = values;
    }
}

fn number(root: BorrowedFd<'_>, path: &str, file: &str) -> u64 {
    read(root, &format!("{path}/{file}")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn keyed(root: BorrowedFd<'_>, path: &str, file: &str, key: &str) -> u64 {
    let Ok(text) = read(root, &format!("{path}/{file}")) else { return 0 };
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok());
    value.unwrap_or(0)
}
