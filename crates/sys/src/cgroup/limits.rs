//! Limits of a cgroup, written in the words of the version its controller lives in.

use super::files::write;
use super::{CgroupError, Cgroups, Place};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

/// What a cgroup may use. None: as it is; numbers below zero: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_shares: Option<u64>,
    pub cpu_quota_micros: Option<i64>,
    pub cpu_period_micros: Option<u64>,
    pub memory_bytes: Option<i64>,
    pub pids: Option<i64>,
    /// Page size name ("2MB") to bytes.
    pub huge_pages: BTreeMap<String, u64>,
}

const DEFAULT_PERIOD_MICROS: u64 = 100_000;

impl Cgroups {
    /// Sets what `limits` names. Where a controller does not exist on this host its limits are
    /// left out: the caller has been told by [`Cgroups::missing`].
    pub fn limit(&self, path: &str, limits: &Limits) -> Result<(), CgroupError> {
        self.limit_cpu(path, limits)?;
        self.limit_memory(path, limits)?;
        if let Some(pids) = limits.pids {
            match self.place("pids") {
                Place::V1(root) | Place::V2(root) => set(root, path, "pids.max", &or_max(pids))?,
                Place::Nowhere => {}
            }
        }
        for (size, bytes) in &limits.huge_pages {
            let result = match self.place("hugetlb") {
                Place::V1(root) => set(root, path, &format!("hugetlb.{size}.limit_in_bytes"), &bytes.to_string()),
                Place::V2(root) => {
                    // Where this fails the file below is missing, which says it better.
                    let _ = self.hand_down(path, &["hugetlb"]);
                    set(root, path, &format!("hugetlb.{size}.max"), &bytes.to_string())
                }
                Place::Nowhere => Ok(()),
            };
            // A page size the host does not have needs no limit of none.
            if *bytes > 0 {
                result?;
            }
        }
        Ok(())
    }

    /// Controllers this host lacks, of those that limits need.
    pub fn missing(&self) -> Vec<&'static str> {
        let needed = ["cpu", "memory", "pids"];
        needed.into_iter().filter(|name| matches!(self.place(name), Place::Nowhere)).collect()
    }

    fn limit_cpu(&self, path: &str, limits: &Limits) -> Result<(), CgroupError> {
        let period = limits.cpu_period_micros.unwrap_or(DEFAULT_PERIOD_MICROS);
        match self.place("cpu") {
            Place::V1(root) => {
                if let Some(shares) = limits.cpu_shares {
                    set(root, path, "cpu.shares", &shares.max(2).to_string())?;
                }
                if let Some(quota) = limits.cpu_quota_micros {
                    let quota = if quota > 0 { quota } else { -1 };
                    set(root, path, "cpu.cfs_period_us", &period.to_string())?;
                    set(root, path, "cpu.cfs_quota_us", &quota.to_string())?;
                }
            }
            Place::V2(root) => {
                if let Some(shares) = limits.cpu_shares {
                    set(root, path, "cpu.weight", &weight(shares).to_string())?;
                }
                if let Some(quota) = limits.cpu_quota_micros {
                    let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
                    set(root, path, "cpu.max", &format!("{quota} {period}"))?;
                }
            }
            Place::Nowhere => {}
        }
        Ok(())
    }

    fn limit_memory(&self, path: &str, limits: &Limits) -> Result<(), CgroupError> {
        let Some(bytes) = limits.memory_bytes else { return Ok(()) };
        match self.place("memory") {
            Place::V1(root) => {
                let value = if bytes > 0 { bytes } else { -1 }.to_string();
                // With swap accounting, memory plus swap must never be below memory: raising has
                // to begin with the sum, lowering with memory. Without it the file is missing.
                let sum = "memory.memsw.limit_in_bytes";
                let first = set(root, path, "memory.limit_in_bytes", &value);
                let _ = set(root, path, sum, &value);
                if first.is_err() {
                    set(root, path, "memory.limit_in_bytes", &value)?;
                }
            }
            Place::V2(root) => {
                set(root, path, "memory.max", &or_max(bytes))?;
                if bytes > 0 {
                    // The kernel may have been built without swap.
                    let _ = set(root, path, "memory.swap.max", "0");
                }
            }
            Place::Nowhere => {}
        }
        Ok(())
    }
}

fn or_max(value: i64) -> String {
    if value > 0 { value.to_string() } else { "max".to_owned() }
}

/// v1's shares (2 to 262144) on v2's scale (1 to 10000).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn set(root: BorrowedFd<'_>, path: &str, file: &str, value: &str) -> Result<(), CgroupError> {
    write(root, &format!("{path}/{file}"), value).map_err(|source: io::Error| CgroupError::Set {
        path: path.to_owned(),
        file: file.to_owned(),
        value: value.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_become_weights() {
        for (shares, weight) in [(0, 1), (2, 1), (102, 4), (1024, 39), (2048, 79), (262_144, 10_000), (1 << 40, 10_000)]
        {
            assert_eq!(super::weight(shares), weight, "{shares} shares");
        }
    }
}
