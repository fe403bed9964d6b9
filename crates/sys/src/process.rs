//! Processes: forking a single-threaded process, waiting, signals, identity, capabilities.

use crate::namespace::Kinds;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static SINGLE_THREADED: AtomicBool = AtomicBool::new(false);

/// Says that this process has one thread and will never start another. [`fork`] asks for it: a
/// child of a threaded process may inherit locks that nobody will release.
pub fn declare_single_threaded() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("this process has {threads} threads, expected one")));
    }
    SINGLE_THREADED.store(true, Ordering::Relaxed);
    Ok(())
}

pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// Whose child a forked process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    Caller,
    /// The caller's own parent (`CLONE_PARENT`): the caller is about to end.
    CallersParent,
}

/// The argument of clone3(2).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks this process into new namespaces. Only after [`declare_single_threaded`].
pub fn fork(kinds: Kinds, parent: Parent) -> io::Result<Forked> {
    if !SINGLE_THREADED.load(Ordering::Relaxed) {
        return Err(io::Error::other("fork of a process that may have threads"));
    }
    let mut pidfd: RawFd = -1;
    let (parent_flag, exit_signal) = match parent {
        Parent::Caller => (0, libc::SIGCHLD as u64),
        Parent::CallersParent => (libc::CLONE_PARENT as u64, 0),
    };
    let arguments = CloneArguments {
        flags: kinds.bits() as u64 | libc::CLONE_PIDFD as u64 | parent_flag,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal,
        ..CloneArguments::default()
    };
    // SAFETY: without CLONE_VM and a stack this is fork: the child goes on with a copy of all
    // memory. The process has a single thread (checked above), so no lock is held by another and
    // the copy is consistent. The kernel writes the pidfd through a valid pointer.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&arguments), size_of::<CloneArguments>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub pid: i32,
    /// 128 + signal after a signal's kill.
    pub code: i32,
    pub signal: Option<i32>,
}

/// The next child that has ended, if any has. Sees children that send no signal, too.
pub fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: waitpid writes the status through a valid pointer.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (pid > 0).then(|| describe(pid, status))
}

/// Waits for one child.
pub fn wait(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes the status through a valid pointer.
        let result = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        if result == pid {
            return Ok(describe(pid, status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn describe(pid: i32, status: i32) -> Ended {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        Ended { pid, code: 128 + signal, signal: Some(signal) }
    } else {
        Ended { pid, code: libc::WEXITSTATUS(status), signal: None }
    }
}

/// Sends a signal to the process behind a pidfd; one that has ended already is no error.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo is allowed; the descriptor is open.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, nothing, 0) };
    gone_is_fine(result == 0)
}

/// Sends a signal to a whole process group; one that has ended already is no error.
pub fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a group of ours"));
    }
    // SAFETY: kill takes no pointers.
    gone_is_fine(unsafe { libc::kill(-group, signal) } == 0)
}

/// Sends SIGKILL to a process by number.
pub fn kill(pid: i32) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a process of ours"));
    }
    // SAFETY: kill takes no pointers.
    gone_is_fine(unsafe { libc::kill(pid, libc::SIGKILL) } == 0)
}

fn gone_is_fine(done: bool) -> io::Result<()> {
    let error = io::Error::last_os_error();
    if done || error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

/// A pidfd of a process by number. The caller makes sure that the number is still the one meant.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// The number, in this process's pid namespace, of the process behind a pidfd; None once it ended.
pub fn number(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Blocks the signals in `signals` and makes them readable from a file.
pub fn signal_file(signals: &[i32]) -> io::Result<OwnedFd> {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    for number in signals {
        set.add(Signal::try_from(*number)?);
    }
    set.thread_block()?;
    let flags = nix::sys::signalfd::SfdFlags::SFD_CLOEXEC | nix::sys::signalfd::SfdFlags::SFD_NONBLOCK;
    let file = nix::sys::signalfd::SignalFd::with_flags(&set, flags)?;
    // SAFETY: the descriptor is taken out of its owner, which is forgotten, not closed.
    let owned = unsafe { OwnedFd::from_raw_fd(file.as_raw_fd()) };
    std::mem::forget(file);
    Ok(owned)
}

/// Reads pending signals away; gives the last one's number.
pub fn drain_signals(file: BorrowedFd<'_>) -> Option<i32> {
    let mut last = None;
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    while matches!(rustix::io::read(file, &mut record), Ok(read) if read == record.len()) {
        let mut number = [0; 4];
        number.copy_from_slice(&record[..4]);
        last = Some(u32::from_ne_bytes(number) as i32);
    }
    last
}

/// Gives every signal its default action and blocks none: how a new program expects to start.
pub fn reset_signals() {
    for number in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; failures (SIGKILL, SIGSTOP, the C library's own)
        // change nothing.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// Marks every file from `first` on to be closed by exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, flags: u32) -> io::Result<()> {
    // SAFETY: close_range takes no pointers; with the CLOEXEC flag nothing is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `file` descriptor number `target` (0, 1 or 2), kept over exec.
pub fn become_standard(file: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    if !(0..=2).contains(&target) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only the three standard descriptors are replaced, which no OwnedFd owns.
    let result = if file.as_raw_fd() == target {
        unsafe { libc::fcntl(target, libc::F_SETFD, 0) }
    } else {
        unsafe { libc::dup2(file.as_raw_fd(), target) }
    };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The wall clock, in nanoseconds since 1970. For processes without an `Env`.
pub fn wall_clock() -> i64 {
    clock(libc::CLOCK_REALTIME)
}

/// A clock that only goes forward, in nanoseconds.
pub fn monotonic_clock() -> i64 {
    clock(libc::CLOCK_MONOTONIC)
}

fn clock(which: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes through a valid pointer; these clocks always exist.
    unsafe { libc::clock_gettime(which, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Names this process for `ps -o comm` and `top`: 15 bytes.
pub fn set_title(title: &str) {
    let mut name = title.as_bytes().to_vec();
    name.truncate(15);
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Switches groups, group and user for good. Keeps permitted capabilities, so that the caller
/// still can set the wanted ones.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_keep_capabilities(true)?;
    rustix::thread::set_thread_groups(&groups)?;
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(rustix::thread::set_keep_capabilities(false)?)
}

/// Takes every capability that is not in `keep` (a bit per number) out of the bounding set.
pub fn limit_capabilities(keep: u64) -> io::Result<()> {
    for number in 0..64 {
        // SAFETY: this prctl takes plain numbers.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        if result < 0 {
            break;
        }
        if result == 1 && keep & (1 << number) == 0 {
            // SAFETY: as above.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Capabilities this process may have at all.
pub fn permitted_capabilities() -> io::Result<u64> {
    Ok(rustix::thread::capabilities(None)?.permitted.bits())
}

/// Sets effective and permitted capabilities; inheritable ones become none.
pub fn set_capabilities(wanted: u64) -> io::Result<()> {
    let wanted = rustix::thread::CapabilitySet::from_bits_retain(wanted);
    let sets = rustix::thread::CapabilitySets {
        effective: wanted,
        permitted: wanted,
        inheritable: rustix::thread::CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Never again gain privileges by exec.
pub fn forbid_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// One instruction of a classic BPF program, as the kernel lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FilterInstruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

/// Installs a system call filter for this process and its children. Unlike most wrappers it does
/// not set no_new_privs: without it the caller needs CAP_SYS_ADMIN.
pub fn install_filter(program: &[FilterInstruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const FilterInstruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: program.as_ptr() };
    // SAFETY: the structure is the kernel's sock_fprog, and pointer and length describe a live slice.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, std::ptr::from_ref(&program)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process at once, without unwinding or running anybody's exit handlers: for a forked
/// child that shares them with its parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Closes every file but the standard three and those in `keep` (sorted). For a forked child that
/// lets go of its parent's things: owners of closed files must never be used or dropped.
pub fn close_all_but(keep: &[RawFd]) {
    let mut first = 3_u32;
    for number in keep.iter().filter_map(|number| u32::try_from(*number).ok()).filter(|number| *number >= 3) {
        if number > first {
            close_range_between(first, number - 1);
        }
        first = number + 1;
    }
    close_range_between(first, u32::MAX);
}

fn close_range_between(first: u32, last: u32) {
    // SAFETY: close_range takes no pointers. What is closed belongs to owners that the caller
    // promises to leave alone.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}
