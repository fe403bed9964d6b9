//! The supervisor: one small single-threaded process per node that forks pod inits and makes
//! cgroups. It outlives kutter, keeps nothing in memory that is not elsewhere, and may be killed
//! or replaced at any time: pods do not notice. Never runs containers itself (pod inits do).
//!
//! It exists because forking a large threaded process is slow and dangerous, and because pod
//! inits forked from it (not executed anew) share nearly all of their memory with it.

use crate::pod_init;
use crate::protocol::{
    self, CgroupFiles, DeviceRule, INIT_SOCKET, SUPERVISOR_SOCKET, SandboxPlan, SupervisorReply, SupervisorRequest,
};
use crate::runtime::{Resources, Stats};
use crate::state::{self, Layout};
use rustix::event::{PollFd, PollFlags};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use sys::cgroup::devices::Rule;
use sys::cgroup::{CgroupError, Cgroups, Limits};
use sys::namespace::Kinds;
use sys::process::{self, Forked, Parent};
use sys::socket;

/// First argument that makes the binary a supervisor; state directory and instance id follow.
pub const SUPERVISOR_ARGUMENT: &str = "kutter-supervisor";
/// Connections at once; kutter needs one.
const MAX_CONNECTIONS: usize = 64;

/// Becomes the supervisor if the arguments say so. Must come before anything else in `main`:
/// the process may not have threads yet.
pub fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1).is_none_or(|first| first != SUPERVISOR_ARGUMENT) {
        return None;
    }
    let [state, instance] = args.get(2..4)? else { return Some(ExitCode::from(2)) };
    match run(PathBuf::from(state), &instance.to_string_lossy()) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{SUPERVISOR_ARGUMENT}: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Moves this process, which must have one thread yet, to the mount namespace of the living
/// supervisor, if there is one in another. Then a kutter that is started in a new mount namespace
/// each time (`ip netns exec`) still finds the volumes it mounted before. True when it moved.
pub fn join_mounts(state_dir: &Path) -> io::Result<bool> {
    let connected = match state::open_directory(state_dir) {
        Ok(directory) => socket::connect(directory.as_fd(), SUPERVISOR_SOCKET),
        Err(error) => Err(error),
    };
    let connection = match connected {
        // No supervisor, no mounts.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(false);
        }
        connected => connected?,
    };
    let (uid, pid) = socket::peer(connection.as_fd())?;
    if uid != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let kept = std::fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
    if kept.metadata()?.ino() == std::fs::metadata("/proc/self/ns/mnt")?.ino() {
        return Ok(false);
    }
    sys::namespace::join(kept.as_fd(), Kinds::MOUNT)?;
    Ok(true)
}

struct Supervisor {
    layout: Layout,
    cgroups: Cgroups,
    connections: Vec<OwnedFd>,
    /// Set by Quit.
    done: bool,
}

/// Listens, then goes on in a process that belongs to nobody: when this function returns in the
/// first process, connections are accepted already.
fn run(root: PathBuf, instance: &str) -> io::Result<()> {
    process::declare_single_threaded()?;
    let directory = state::open_directory(&root)?;
    let Some(_lock) = take_lock(directory.as_fd())? else {
        // Another one was faster, which is as good.
        return Ok(());
    };
    let cgroups = Cgroups::open().map_err(io::Error::other)?;
    // Out of the service that started kutter: its end must not be ours.
    let own = format!("kutter-{instance}/supervisor");
    let entries = cgroups.create(&own).and_then(|()| cgroups.entries(&own));
    let entered = sys::cgroup::enter(&entries.map_err(io::Error::other)?);
    entered.map_err(|error| io::Error::new(error.kind(), format!("cannot enter cgroup {own}: {error}")))?;
    let listener = socket::listen(directory.as_fd(), SUPERVISOR_SOCKET)?;
    if let Forked::Parent { .. } = process::fork(Kinds::NONE, Parent::Caller)? {
        return Ok(());
    }
    socket::claim(listener.as_fd())?;
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    process::set_title(SUPERVISOR_ARGUMENT);
    let supervisor = Supervisor { layout: Layout { root }, cgroups, connections: Vec::new(), done: false };
    supervisor.serve(&listener)
}

/// One supervisor per state directory: the lock lives as long as the process.
fn take_lock(directory: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    use rustix::fs::{FlockOperation, Mode, OFlags};
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(directory, "supervisor.lock", flags, Mode::from_raw_mode(0o600))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Supervisor {
    fn serve(mut self, listener: &OwnedFd) -> io::Result<()> {
        let signals = process::signal_file(&[libc::SIGCHLD, libc::SIGTERM])?;
        while !self.done {
            let mut polled: Vec<PollFd<'_>> = [signals.as_fd(), listener.as_fd()]
                .into_iter()
                .chain(self.connections.iter().map(OwnedFd::as_fd))
                .map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN))
                .collect();
            match rustix::event::poll(&mut polled, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
            if ready[0] && process::drain_signals(signals.as_fd()) == Some(libc::SIGTERM) {
                break;
            }
            while process::reap().is_some() {}
            // From the back, so that closing one does not move those still to be looked at.
            for index in (0..self.connections.len()).rev() {
                if ready[index + 2] && !self.answer(index) {
                    self.connections.swap_remove(index);
                }
            }
            if ready[1] {
                self.accept(listener.as_fd());
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: BorrowedFd<'_>) {
        let Ok(connection) = socket::accept(listener) else { return };
        let own = rustix::process::geteuid().as_raw();
        let trusted = socket::peer(connection.as_fd()).is_ok_and(|(uid, _)| uid == own);
        if trusted && self.connections.len() < MAX_CONNECTIONS {
            self.connections.push(connection);
        }
    }

    /// Handles one request; false when the connection is to be closed.
    fn answer(&mut self, index: usize) -> bool {
        let request = protocol::receive::<SupervisorRequest>(self.connections[index].as_fd());
        let request = match request {
            Ok(Some((request, _))) => request,
            Ok(None) => return false,
            Err(error) => return self.reply(index, &SupervisorReply::Failed { message: error.to_string() }, &[]),
        };
        let mut files = Vec::new();
        let reply = self.handle(request, &mut files).unwrap_or_else(|error| match error {
            CgroupError::Remove { source, .. } if source.raw_os_error() == Some(libc::EBUSY) => SupervisorReply::Busy,
            error => SupervisorReply::Failed { message: error.to_string() },
        });
        self.reply(index, &reply, &files)
    }

    fn reply(&self, index: usize, reply: &SupervisorReply, files: &[OwnedFd]) -> bool {
        let files: Vec<BorrowedFd<'_>> = files.iter().map(OwnedFd::as_fd).collect();
        protocol::send(self.connections[index].as_fd(), reply, &files).is_ok()
    }

    fn handle(&mut self, request: SupervisorRequest, files: &mut Vec<OwnedFd>) -> Result<SupervisorReply, CgroupError> {
        match request {
            SupervisorRequest::Hello => return Ok(SupervisorReply::Hello { build: build().to_owned() }),
            SupervisorRequest::RunSandbox(plan) => return self.run_sandbox(plan),
            SupervisorRequest::PrepareContainer { cgroup, resources, devices } => {
                return self.prepare_container(&cgroup, &resources, devices, files);
            }
            SupervisorRequest::Limit { cgroup, resources } => self.cgroups.limit(&cgroup, &limits(&resources))?,
            SupervisorRequest::Kill { cgroup } => {
                if self.cgroups.exists(&cgroup) {
                    self.cgroups.kill(&cgroup)?;
                }
            }
            SupervisorRequest::Remove { cgroup } => self.cgroups.remove(&cgroup)?,
            SupervisorRequest::Usage { cgroup } => return Ok(SupervisorReply::Usage(self.usage(&cgroup)?)),
            SupervisorRequest::Quit => self.done = true,
        }
        Ok(SupervisorReply::Done)
    }

    fn run_sandbox(&mut self, plan: SandboxPlan) -> Result<SupervisorReply, CgroupError> {
        if let Some(pid) = self.living_init(&plan.id) {
            return Ok(SupervisorReply::Sandbox { pid });
        }
        self.cgroups.create(&plan.cgroup)?;
        self.cgroups.limit(&plan.cgroup, &limits(&plan.resources))?;
        self.cgroups.create(&plan.init_cgroup)?;
        let entries = self.cgroups.entries(&plan.init_cgroup)?;
        Ok(match self.fork_init(plan, entries) {
            Ok(pid) => SupervisorReply::Sandbox { pid },
            Err(error) => SupervisorReply::Failed { message: format!("cannot start the pod: {error}") },
        })
    }

    /// The pod init that a supervisor started for the same request and did not live to tell of. This one
    /// has come to the lock only when that init had let go of it, and answered in its own name.
    fn living_init(&self, id: &str) -> Option<i32> {
        let directory = state::open_directory(&self.layout.sandbox(id)).ok()?;
        let connection = socket::connect(directory.as_fd(), INIT_SOCKET).ok()?;
        let (uid, pid) = socket::peer(connection.as_fd()).ok()?;
        let is_own = u32::try_from(pid) == Ok(std::process::id());
        (uid == rustix::process::geteuid().as_raw() && !is_own).then_some(pid)
    }

    fn fork_init(&mut self, plan: SandboxPlan, entries: Vec<OwnedFd>) -> io::Result<i32> {
        let path = self.layout.sandbox(&plan.id);
        let directory = state::open_directory(&path)?;
        // Bound before the fork, so that kutter can connect as soon as it has the answer.
        let listener = socket::listen(directory.as_fd(), INIT_SOCKET)?;
        let kinds = Kinds::NONE
            .with_if(!plan.host_network, Kinds::NET.with(Kinds::UTS))
            .with_if(!plan.host_ipc, Kinds::IPC)
            .with_if(plan.share_process_namespace && !plan.host_pid, Kinds::PID)
            .with(Kinds::MOUNT);
        match process::fork(kinds, Parent::Caller)? {
            Forked::Parent { pid, .. } => Ok(pid),
            Forked::Child => pod_init::run(plan, &path, listener, &entries),
        }
    }

    fn prepare_container(
        &mut self,
        cgroup: &str,
        resources: &Resources,
        devices: Option<Vec<DeviceRule>>,
        files: &mut Vec<OwnedFd>,
    ) -> Result<SupervisorReply, CgroupError> {
        self.cgroups.create(cgroup)?;
        self.cgroups.limit(cgroup, &limits(resources))?;
        if let Some(devices) = devices {
            let rules: Vec<Rule> = default_devices().into_iter().chain(devices.iter().map(device_rule)).collect();
            self.cgroups.allow_devices(cgroup, &rules)?;
        }
        let oom = self.cgroups.oom_counter(cgroup);
        let kill = self.cgroups.kill_file(cgroup);
        let reply = CgroupFiles { oom_counter: oom.is_some(), kill: kill.is_some() };
        files.extend(oom);
        files.extend(kill);
        files.extend(self.cgroups.entries(cgroup)?);
        Ok(SupervisorReply::Prepared(reply))
    }

    fn usage(&self, cgroup: &str) -> Result<Stats, CgroupError> {
        let usage = self.cgroups.usage(cgroup)?;
        Ok(Stats {
            cpu_usage_nanos: usage.cpu_nanos,
            memory_usage_bytes: usage.memory_bytes,
            memory_working_set_bytes: usage.working_set_bytes,
            memory_rss_bytes: usage.rss_bytes,
            memory_page_faults: usage.page_faults,
            memory_major_page_faults: usage.major_page_faults,
            rootfs_used_bytes: 0,
            rootfs_used_inodes: 0,
            pids: usage.pids,
        })
    }
}

/// Which program this is; another one's supervisor is replaced.
pub fn build() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn limits(resources: &Resources) -> Limits {
    Limits {
        cpu_shares: resources.cpu_shares,
        cpu_quota_micros: resources.cpu_quota_micros,
        cpu_period_micros: resources.cpu_period_micros,
        memory_bytes: resources.memory_limit_bytes,
        pids: resources.pids_limit,
        huge_pages: resources.hugepage_limits.clone(),
    }
}

/// What every container may use: making any node (it cannot open it), the standard nodes,
/// terminals.
fn default_devices() -> Vec<Rule> {
    let make = |character| Rule { character, major: None, minor: None, read: false, write: false, make: true };
    let standard = [(1, Some(3)), (1, Some(5)), (1, Some(7)), (1, Some(8)), (1, Some(9)), (5, Some(0)), (5, Some(1))];
    let terminals = [(5, Some(2)), (136, None)];
    let nodes = standard.into_iter().chain(terminals).map(|(major, minor)| Rule::character(major, minor));
    [make(true), make(false)].into_iter().chain(nodes).collect()
}

fn device_rule(device: &DeviceRule) -> Rule {
    let has = |letter| device.permissions.contains(letter);
    Rule {
        character: device.character,
        major: Some(device.major),
        minor: Some(device.minor),
        read: has('r'),
        write: has('w'),
        make: has('m'),
    }
}
