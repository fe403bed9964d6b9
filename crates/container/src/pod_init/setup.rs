//! Making the pod's own surroundings, once, right after the fork.

use crate::protocol::SandboxPlan;
use rustix::fs::CWD;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use sys::mount::{self, Attributes};
use sys::process;

/// What containerd and docker give every pod, before the pod's own sysctls.
const NETWORK_DEFAULTS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// The mount point of the pod's shared memory in the pod init's own, nearly empty root.
pub const SHARED_MEMORY: &str = "/shm";

/// The error is told to kutter in this form.
pub fn pod(plan: &SandboxPlan, directory: &OwnedFd) -> Result<(), String> {
    process::set_title("kutter-pod");
    let _ = rustix::process::setsid();
    let adopt = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1));
    adopt.map_err(|error| format!("becoming the reaper: {error}"))?;
    // Hosts may forbid it; the pod works without.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
    if !plan.host_network {
        let named = rustix::system::sethostname(plan.hostname.as_bytes());
        named.map_err(|error| format!("setting the host name: {error}"))?;
        sys::namespace::raise_loopback().map_err(|error| format!("raising lo: {error}"))?;
        for (name, value) in NETWORK_DEFAULTS {
            let _ = sysctl(name, value);
        }
    }
    for (name, value) in &plan.sysctls {
        sysctl(name, value).map_err(|error| format!("failed to set sysctl {name}={value}: {error}"))?;
    }
    own_root(plan, directory).map_err(|error| format!("making the pod's root: {error}"))
}

fn sysctl(name: &str, value: &str) -> io::Result<()> {
    if name.split('.').any(|part| part.is_empty() || part.contains('/')) && !name.contains('/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Names with slashes keep their dots (interface names); others have dots for slashes.
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if path.split('/').any(|part| part == "..") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    std::fs::write(format!("/proc/sys/{path}"), value)
}

/// Leaves the host's file systems behind, so that a pod never keeps one busy; takes along the
/// pod's /dev/shm.
fn own_root(plan: &SandboxPlan, directory: &OwnedFd) -> io::Result<()> {
    mount::make_all_slave()?;
    let shared = if plan.host_ipc {
        mount::copy(CWD, Path::new("/dev/shm"), false)?
    } else {
        let flags = Attributes { nosuid: true, nodev: true, noexec: true, read_only: false };
        mount::new_file_system("tmpfs", "shm", &[("mode", Some("1777")), ("size", Some("67108864"))], flags)?
    };
    let root = mount::new_file_system("tmpfs", "pod", &[("mode", Some("755"))], Attributes::NONE)?;
    mount::attach(root.as_fd(), directory.as_fd())?;
    let target = sys::tree::make_directory(root.as_fd(), Path::new(SHARED_MEMORY), 0o755)?;
    mount::attach(shared.as_fd(), target.as_fd())?;
    mount::change_root(root.as_fd())
}

/// Closes what belongs to the supervisor: its lock, its connections, its hierarchies.
pub fn close_inherited(keep: &[&OwnedFd]) {
    let mut keep: Vec<i32> = keep.iter().map(|file| file.as_raw_fd()).collect();
    keep.sort_unstable();
    process::close_all_but(&keep);
}
