//! Control groups: v2, v1 and both at once (hybrid), behind one face.
//!
//! Hierarchies are opened as detached mounts of our own, so that it does not matter where, or
//! whether, the host has them mounted (`ip netns exec` hides them). A path like `kutter-x/pod1` is
//! the same in every hierarchy. A controller lives either in a v1 hierarchy or in the v2 one.

pub mod devices;
mod files;
mod limits;
mod stats;

pub use limits::Limits;
pub use stats::Usage;

use files::{children, read, remove_directory, write};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no cgroup hierarchy can be opened: {0}")]
    Open(io::Error),
    #[error("cannot make cgroup {path}: {source}")]
    Create { path: String, source: io::Error },
    #[error("cannot set {file} of cgroup {path} to {value:?}: {source}")]
    Set { path: String, file: String, value: String, source: io::Error },
    #[error("cannot read cgroup {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot kill what runs in cgroup {path}: {source}")]
    Kill { path: String, source: io::Error },
    #[error("cannot remove cgroup {path}: {source}")]
    Remove { path: String, source: io::Error },
}

/// Controllers that are used where there are any.
const WANTED: [&str; 7] = ["cpu", "cpuacct", "memory", "pids", "devices", "hugetlb", "freezer"];

struct V1 {
    controllers: Vec<String>,
    root: OwnedFd,
}

struct V2 {
    controllers: Vec<String>,
    root: OwnedFd,
}

/// The hierarchies of this host.
pub struct Cgroups {
    v1: Vec<V1>,
    v2: Option<V2>,
}

/// Where a controller is.
enum Place<'a> {
    V1(BorrowedFd<'a>),
    V2(BorrowedFd<'a>),
    Nowhere,
}

impl Cgroups {
    /// Opens every hierarchy this process is in.
    pub fn open() -> Result<Self, CgroupError> {
        let mine = std::fs::read_to_string("/proc/self/cgroup").map_err(CgroupError::Open)?;
        let mut v1 = Vec::new();
        let mut v2 = None;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for line in mine.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers: Vec<String> = parts
                .next()
                .unwrap_or_default()
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            let opened = if controllers.is_empty() { open_v2() } else { open_v1(&controllers) };
            match opened {
                Ok(root) if controllers.is_empty() => {
                    let listed = read(root.as_fd(), "cgroup.controllers").unwrap_or_default();
                    v2 = Some(V2 { controllers: listed.split_whitespace().map(str::to_owned).collect(), root });
                }
                Ok(root) => v1.push(V1 { controllers, root }),
                Err(error) => last = error,
            }
        }
        if v1.is_empty() && v2.is_none() {
            return Err(CgroupError::Open(last));
        }
        Ok(Cgroups { v1, v2 })
    }

    /// True where all controllers are on v2.
    pub fn is_unified(&self) -> bool {
        self.v1.iter().all(|hierarchy| hierarchy.controllers.iter().all(|name| !WANTED.contains(&name.as_str())))
    }

    /// Hierarchies a cgroup of ours exists in: those with a wanted controller, systemd's own (so
    /// that it does not end our processes with the service that started them) and v2.
    fn used(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let v1 = self.v1.iter().filter(|hierarchy| {
            let wanted = |name: &String| WANTED.contains(&name.as_str()) || name == "name=systemd";
            hierarchy.controllers.iter().any(wanted)
        });
        v1.map(|hierarchy| hierarchy.root.as_fd()).chain(self.v2.iter().map(|hierarchy| hierarchy.root.as_fd()))
    }

    fn place(&self, controller: &str) -> Place<'_> {
        if let Some(hierarchy) = self.v1.iter().find(|one| one.controllers.iter().any(|name| name == controller)) {
            return Place::V1(hierarchy.root.as_fd());
        }
        match &self.v2 {
            Some(v2) if v2.controllers.iter().any(|name| name == controller) => Place::V2(v2.root.as_fd()),
            _ => Place::Nowhere,
        }
    }

    /// Makes the cgroup `path` and those above it.
    pub fn create(&self, path: &str) -> Result<(), CgroupError> {
        let fail = |source| CgroupError::Create { path: path.to_owned(), source };
        for root in self.used() {
            for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
                match rustix::fs::mkdirat(root, &path[..end], Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(fail(error.into())),
                }
            }
        }
        // Beside v1 hierarchies what is left to v2 is not ours to turn on for the whole host.
        let names: &[&str] =
            if self.is_unified() { &["cpu", "memory", "pids", "hugetlb", "io", "cpuset"] } else { &[] };
        self.hand_down(path, names).map_err(fail)
    }

    /// On v2 a controller works in a cgroup only when all above hand it down.
    fn hand_down(&self, path: &str, names: &[&str]) -> io::Result<()> {
        let Some(v2) = &self.v2 else { return Ok(()) };
        let names = names.iter().filter(|name| v2.controllers.iter().any(|have| have == *name));
        let wanted: Vec<String> = names.map(|name| format!("+{name}")).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for level in [""].into_iter().chain(above) {
            let file = if level.is_empty() { String::new() } else { format!("{level}/") } + "cgroup.subtree_control";
            // One at a time: one that cannot be handed down must not take the others with it.
            let have = read(v2.root.as_fd(), &file)?;
            for name in &wanted {
                if !have.split_whitespace().any(|one| one == &name[1..]) {
                    let _ = write(v2.root.as_fd(), &file, name);
                }
            }
        }
        Ok(())
    }

    /// The files through which a process enters the cgroup by writing `0`.
    pub fn entries(&self, path: &str) -> Result<Vec<OwnedFd>, CgroupError> {
        let file = format!("{path}/cgroup.procs");
        let open = |root| rustix::fs::openat(root, file.as_str(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let opened: Result<Vec<OwnedFd>, _> = self.used().map(open).collect();
        opened.map_err(|error| CgroupError::Read { path: path.to_owned(), source: error.into() })
    }

    /// The file that counts processes killed for want of memory; read with [`oom_kills`].
    pub fn oom_counter(&self, path: &str) -> Option<OwnedFd> {
        let (root, file) = match self.place("memory") {
            Place::V1(root) => (root, "memory.oom_control"),
            Place::V2(root) => (root, "memory.events"),
            Place::Nowhere => return None,
        };
        let path = format!("{path}/{file}");
        rustix::fs::openat(root, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// The file that kills all in the cgroup at once when `1` is written; not on old kernels.
    pub fn kill_file(&self, path: &str) -> Option<OwnedFd> {
        let path = format!("{path}/cgroup.kill");
        let root = self.v2.as_ref()?.root.as_fd();
        rustix::fs::openat(root, path.as_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Kills every process in the cgroup and below. Succeeds where there is none.
    pub fn kill(&self, path: &str) -> Result<(), CgroupError> {
        let fail = |source| CgroupError::Kill { path: path.to_owned(), source };
        if let Some(file) = self.kill_file(path) {
            rustix::io::write(&file, b"1").map_err(|error| fail(error.into()))?;
            return Ok(());
        }
        // Frozen, nothing can fork away meanwhile.
        let freezer = format!("{path}/freezer.state");
        if let Place::V1(root) = self.place("freezer") {
            write(root, &freezer, "FROZEN").map_err(fail)?;
        }
        let killed = self.processes(path).into_iter().try_for_each(crate::process::kill).map_err(fail);
        if let Place::V1(root) = self.place("freezer") {
            write(root, &freezer, "THAWED").map_err(fail)?;
        }
        killed
    }

    /// Numbers of all processes in the cgroup and below, from every hierarchy.
    pub fn processes(&self, path: &str) -> Vec<i32> {
        let mut found = Vec::new();
        for root in self.used() {
            collect_processes(root, path, &mut found, 0);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes the cgroup and all below it. `ResourceBusy` while processes are still ending.
    pub fn remove(&self, path: &str) -> Result<(), CgroupError> {
        for root in self.used() {
            remove_tree(root, path, 0).map_err(|source| CgroupError::Remove { path: path.to_owned(), source })?;
        }
        Ok(())
    }

    /// True when the cgroup is still there in any hierarchy.
    pub fn exists(&self, path: &str) -> bool {
        self.used().any(|root| {
            rustix::fs::accessat(root, path, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
        })
    }
}

/// Moves the calling process into the cgroup behind these entries.
pub fn enter(entries: &[OwnedFd]) -> io::Result<()> {
    for entry in entries {
        rustix::io::write(entry, b"0")?;
    }
    Ok(())
}

/// How many processes of the cgroup the kernel has killed for want of memory.
pub fn oom_kills(counter: BorrowedFd<'_>) -> u64 {
    let mut text = [0; 512];
    let read = rustix::io::pread(counter, &mut text, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..read]);
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

fn open_v1(controllers: &[String]) -> io::Result<OwnedFd> {
    let mut options: Vec<(&str, Option<&str>)> = Vec::new();
    for controller in controllers {
        match controller.strip_prefix("name=") {
            Some(name) => options.extend([("none", None), ("name", Some(name))]),
            None => options.push((controller, None)),
        }
    }
    crate::mount::new_file_system("cgroup", "cgroup", &options, crate::mount::Attributes::NONE)
}

fn open_v2() -> io::Result<OwnedFd> {
    crate::mount::new_file_system("cgroup2", "cgroup2", &[], crate::mount::Attributes::NONE)
}

/// Deepest cgroup tree that is walked.
const MAX_DEPTH: usize = 16;

fn collect_processes(root: BorrowedFd<'_>, path: &str, found: &mut Vec<i32>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Ok(list) = read(root, &format!("{path}/cgroup.procs")) {
        found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    for child in children(root, path).unwrap_or_default() {
        collect_processes(root, &format!("{path}/{child}"), found, depth + 1);
    }
}

fn remove_tree(root: BorrowedFd<'_>, path: &str, depth: usize) -> io::Result<()> {
    if depth <= MAX_DEPTH {
        for child in children(root, path)? {
            remove_tree(root, &format!("{path}/{child}"), depth + 1)?;
        }
    }
    remove_directory(root, path)
}

#[cfg(test)]
mod tests;
