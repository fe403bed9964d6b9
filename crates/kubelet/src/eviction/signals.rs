//! What can run short, and how much of it is left.

use crate::node::meminfo;
use meta::Quantity;
use meta::quantity::Format;
use std::path::{Path, PathBuf};

/// In the order in which upstream's flag lists them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    MemoryAvailable,
    NodefsAvailable,
    NodefsInodesFree,
    ImagefsAvailable,
    ImagefsInodesFree,
    PidAvailable,
}

impl Signal {
    const ALL: [(Signal, &'static str); 6] = [
        (Signal::MemoryAvailable, "memory.available"),
        (Signal::NodefsAvailable, "nodefs.available"),
        (Signal::NodefsInodesFree, "nodefs.inodesFree"),
        (Signal::ImagefsAvailable, "imagefs.available"),
        (Signal::ImagefsInodesFree, "imagefs.inodesFree"),
        (Signal::PidAvailable, "pid.available"),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(signal, _)| *signal)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| *name)
    }

    /// What pods take of it, as upstream's messages call it.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory",
            Signal::NodefsAvailable | Signal::ImagefsAvailable => "ephemeral-storage",
            Signal::NodefsInodesFree | Signal::ImagefsInodesFree => "inodes",
            Signal::PidAvailable => "pids",
        }
    }

    /// A number of its own units as upstream prints it.
    pub(crate) fn quantity(self, number: i64) -> Quantity {
        let is_bytes = matches!(self.resource(), "memory" | "ephemeral-storage");
        if is_bytes { Quantity::bytes(number) } else { Quantity::new(number, Format::DecimalSi) }
    }

    /// The condition of the node that says so.
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "MemoryPressure",
            Signal::PidAvailable => "PIDPressure",
            _ => "DiskPressure",
        }
    }
}

/// Tells how much is left.
pub trait Signals: Send + Sync {
    /// None: nobody can say, or there is no bound.
    fn observe(&self, signal: Signal) -> Option<Observed>;
}

/// This machine's own.
pub(crate) struct Machine {
    pub root_dir: PathBuf,
    pub images: PathBuf,
}

impl Signals for Machine {
    fn observe(&self, signal: Signal) -> Option<Observed> {
        let (root_dir, images) = (self.root_dir.as_path(), self.images.as_path());
        let found = match signal {
            Signal::MemoryAvailable => {
                let bytes = |name: &str| meminfo(name).saturating_mul(1024);
                Observed { available: bytes("MemAvailable"), capacity: bytes("MemTotal") }
            }
            Signal::NodefsAvailable => space(root_dir)?,
            Signal::NodefsInodesFree => inodes(root_dir)?,
            Signal::ImagefsAvailable => space(images)?,
            Signal::ImagefsInodesFree => inodes(images)?,
            Signal::PidAvailable => processes()?,
        };
        (found.capacity > 0).then_some(found)
    }
}

/// Bytes, inodes or processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    pub available: i64,
    pub capacity: i64,
}

/// Size of the file system that `path` is on, and how much of it is free, in bytes.
pub fn space(path: &Path) -> Option<Observed> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    Some(Observed { available: bytes(stat.f_bavail), capacity: bytes(stat.f_blocks) })
}

fn inodes(path: &Path) -> Option<Observed> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(Observed { available: count(stat.f_favail), capacity: count(stat.f_files) })
}

/// The smaller of the kernel's two bounds, and the tasks that there are.
fn processes() -> Option<Observed> {
    let bound = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok();
    let capacity: i64 = bound("pid_max")?;
    let capacity = bound("threads-max").map_or(capacity, |threads: i64| threads.min(capacity));
    // `0.20 0.18 0.12 1/80 11206`: running and all tasks are the fourth word.
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let tasks: i64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Observed { available: capacity - tasks, capacity })
}
