//! From a fork of the pod init to the container's program: namespaces, root file system,
//! identity, filters, exec. Straight-line code in a process of its own; the first failure ends it
//! and is told to the pod init in the words kubectl's users know.

mod capabilities;
mod devices;
mod program;
mod rootfs;
mod seccomp;
mod user;

use crate::protocol::{self, Report};
use crate::state::{self, ContainerRecord, StartedRecord};
use program::Program;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::namespace::{self, Kinds};
use sys::process::{self, Forked, Parent};

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("{what}: {source}")]
    Step { what: String, source: io::Error },
    /// In upstream's words.
    #[error("{0}")]
    Refused(String),
}

/// Names what failed.
fn step(what: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchError {
    move |source| LaunchError::Step { what: what.into(), source }
}

/// The program's standard streams; what is missing becomes /dev/null.
#[derive(Debug, Default)]
pub struct Standard {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

pub struct LaunchOrder<'a> {
    pub container: &'a str,
    pub tty: bool,
    pub streams: Standard,
    /// Kutter's: what the host has mounted, as kutter sees it now.
    pub mount_namespace: OwnedFd,
    /// Where the pod init has the pod's /dev/shm.
    pub shared_memory: &'a str,
    pub entries: &'a [OwnedFd],
    pub target: Option<BorrowedFd<'a>>,
}

pub struct ExecOrder {
    pub command: Vec<String>,
    pub tty: bool,
    pub streams: Standard,
}

/// What containerd and runc put before the reason why a container did not start.
pub const START_PREFIX: &str = "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
                            runc create failed: unable to start container process: ";

/// Becomes the container's program, or ends.
pub fn container(directory: BorrowedFd<'_>, order: LaunchOrder<'_>, report: OwnedFd) -> ! {
    let Err(error) = launch(directory, order, &report);
    fail(&report, format!("{START_PREFIX}{error}: unknown"))
}

/// Becomes a command in a running container, or ends.
pub fn exec(
    directory: BorrowedFd<'_>,
    container: &str,
    target: BorrowedFd<'_>,
    entries: &[OwnedFd],
    order: ExecOrder,
    report: OwnedFd,
) -> ! {
    let Err(error) = join(directory, container, target, entries, order, &report);
    let prefix = "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: \
                  unable to start container process: ";
    fail(&report, format!("{prefix}{error}: unknown"))
}

fn fail(report: &OwnedFd, mut message: String) -> ! {
    let mut end = message.len().min(4096);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    let _ = protocol::send(report.as_fd(), &Report::Failed { message }, &[]);
    process::exit_now(128)
}

fn tell(report: &OwnedFd, what: &Report, files: &[BorrowedFd<'_>]) -> Result<(), LaunchError> {
    protocol::send(report.as_fd(), what, files).map_err(step("telling the pod init"))
}

/// Goes on in a new child of the pod init, inside the pid namespace that was joined; the pod init
/// knows its number before it runs on.
fn step_inside(report: &OwnedFd) -> Result<(), LaunchError> {
    let (gate, held) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from).map_err(step("pipe"))?;
    match process::fork(Kinds::NONE, Parent::CallersParent).map_err(step("forking"))? {
        Forked::Parent { pid, .. } => {
            tell(report, &Report::Forked { pid }, &[])?;
            process::exit_now(0)
        }
        Forked::Child => {
            drop(held);
            let _ = rustix::io::read(&gate, &mut [0; 1]);
            Ok(())
        }
    }
}

fn record(directory: BorrowedFd<'_>, container: &str) -> Result<ContainerRecord, LaunchError> {
    let name = format!("containers/{container}/{}", state::CONTAINER);
    state::read_record(directory, &name).map_err(step("reading the container's configuration"))
}

/// The container's filters, compiled from what was kept when it was made.
fn filters(
    directory: BorrowedFd<'_>,
    record: &ContainerRecord,
    capabilities: u64,
) -> Result<Vec<seccomp::Filter>, LaunchError> {
    use crate::runtime::Seccomp;
    if record.config.privileged {
        return Ok(Vec::new());
    }
    match &record.config.seccomp {
        Seccomp::Unconfined => Ok(Vec::new()),
        Seccomp::RuntimeDefault => seccomp::runtime_default(capabilities).map_err(LaunchError::Refused),
        Seccomp::Localhost(_) => {
            let name = format!("containers/{}/{}", record.id, state::SECCOMP);
            let profile = state::read_file(directory, &name).map_err(step("reading the seccomp profile"))?;
            seccomp::profile(&profile, capabilities).map_err(LaunchError::Refused)
        }
    }
}

fn launch(directory: BorrowedFd<'_>, order: LaunchOrder<'_>, report: &OwnedFd) -> Result<Infallible, LaunchError> {
    let record = record(directory, order.container)?;
    let config = &record.config;
    let capabilities = capabilities::wanted(config).map_err(LaunchError::Refused)?;
    let filters = filters(directory, &record, capabilities)?;
    sys::cgroup::enter(order.entries).map_err(step("entering the cgroup"))?;
    if let Some(target) = order.target {
        namespace::join(target, Kinds::PID).map_err(step("joining the target's pid namespace"))?;
        step_inside(report)?;
    }
    let _ = rustix::process::setsid();
    let shared_memory = sys::mount::copy(rustix::fs::CWD, Path::new(order.shared_memory), false);
    let shared_memory = shared_memory.map_err(step("taking the pod's /dev/shm"))?;
    namespace::join(order.mount_namespace.as_fd(), Kinds::MOUNT).map_err(step("joining the host's mounts"))?;
    // Fails without CAP_SYS_RESOURCE when it would go down; the container runs all the same.
    let _ = std::fs::write("/proc/self/oom_score_adj", config.resources.oom_score_adj.to_string());
    namespace::leave(Kinds::MOUNT.with(Kinds::CGROUP)).map_err(step("unsharing mounts"))?;
    rootfs::build(&record, &shared_memory)?;
    let identity = user::resolve(config).map_err(LaunchError::Refused)?;
    rootfs::close(&record)?;
    let terminal = if order.tty { Some(program::open_terminal(report, true)?) } else { None };
    let StartedRecord { uid, gid, groups, .. } = identity.started();
    tell(report, &Report::Prepared { uid, gid, groups }, &[])?;
    let program = Program {
        args: &config.args,
        env: program::environment(&record, &identity, order.tty),
        working_dir: &config.working_dir,
        identity,
        capabilities,
        filters,
        no_new_privs: config.no_new_privs,
        apparmor: config.apparmor_profile.as_deref(),
        terminal,
        streams: order.streams,
    };
    program.run()
}

fn join(
    directory: BorrowedFd<'_>,
    container: &str,
    target: BorrowedFd<'_>,
    entries: &[OwnedFd],
    order: ExecOrder,
    report: &OwnedFd,
) -> Result<Infallible, LaunchError> {
    let record = record(directory, container)?;
    let started = format!("containers/{container}/{}", state::STARTED);
    let started: StartedRecord =
        state::read_record(directory, &started).map_err(step("reading the container's user"))?;
    let capabilities = capabilities::wanted(&record.config).map_err(LaunchError::Refused)?;
    let filters = filters(directory, &record, capabilities)?;
    sys::cgroup::enter(entries).map_err(step("entering the cgroup"))?;
    let kinds = Kinds::MOUNT.with(Kinds::PID).with(Kinds::NET).with(Kinds::IPC).with(Kinds::UTS).with(Kinds::CGROUP);
    namespace::join(target, kinds).map_err(step("joining the container"))?;
    step_inside(report)?;
    let _ = rustix::process::setsid();
    let terminal = if order.tty { Some(program::open_terminal(report, false)?) } else { None };
    let identity = user::of(&started);
    let program = Program {
        args: &order.command,
        env: program::environment(&record, &identity, order.tty),
        working_dir: &record.config.working_dir,
        identity,
        capabilities,
        filters,
        no_new_privs: record.config.no_new_privs,
        apparmor: record.config.apparmor_profile.as_deref(),
        terminal,
        streams: order.streams,
    };
    program.run()
}
