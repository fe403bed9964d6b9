//! The last steps: streams, identity, capabilities, filters, exec.

use super::seccomp::Filter;
use super::user::Identity;
use super::{LaunchError, Standard, step, tell};
use crate::protocol::Report;
use crate::state::ContainerRecord;
use rustix::fs::{CWD, Mode, OFlags};
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::{mount, process, pty, tree};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Program<'a> {
    pub args: &'a [String],
    pub env: Vec<(String, String)>,
    pub working_dir: &'a str,
    pub identity: Identity,
    pub capabilities: u64,
    pub filters: Vec<Filter>,
    pub no_new_privs: bool,
    pub apparmor: Option<&'a str>,
    pub terminal: Option<OwnedFd>,
    pub streams: Standard,
}

/// The environment as the container's author expects it.
pub fn environment(record: &ContainerRecord, identity: &Identity, tty: bool) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut default = |name: &str, value: &str| {
        if record.config.env.iter().all(|(known, _)| known != name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    };
    default("PATH", DEFAULT_PATH);
    default("HOSTNAME", &record.hostname);
    if tty {
        default("TERM", "xterm");
    }
    default("HOME", &identity.home);
    for (name, value) in &record.config.env {
        // The last one wins, as with a map.
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    env
}

/// Opens a terminal of the container's own devpts and hands its master to the pod init.
pub fn open_terminal(report: &OwnedFd, console: bool) -> Result<OwnedFd, LaunchError> {
    let (master, terminal) = pty::open().map_err(step("opening a terminal"))?;
    tell(report, &Report::Terminal, &[master.as_fd()])?;
    if console {
        let root = mount::open_path(Path::new("/")).map_err(step("opening the root"))?;
        let bound = tree::make_file(root.as_fd(), Path::new("/dev/console")).and_then(|target| {
            let copy = mount::copy(terminal.as_fd(), Path::new(""), false)?;
            mount::attach(copy.as_fd(), target.as_fd())
        });
        bound.map_err(step("making /dev/console"))?;
    }
    Ok(terminal)
}

impl Program<'_> {
    /// Becomes the program.
    pub fn run(mut self) -> Result<Infallible, LaunchError> {
        process::reset_signals();
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.connect_streams()?;
        let directory = if self.working_dir.is_empty() { "/" } else { self.working_dir };
        if let Some(profile) = self.apparmor {
            confine(profile).map_err(step(format!("apply apparmor profile {profile}")))?;
        }
        let allowed = process::permitted_capabilities().map_err(step("reading capabilities"))?;
        let capabilities = self.capabilities & allowed;
        process::limit_capabilities(capabilities).map_err(step("limiting capabilities"))?;
        // Without no_new_privs installing a filter needs a capability that is about to go.
        if !self.no_new_privs {
            self.install_filters()?;
        }
        let identity = &self.identity;
        process::become_user(identity.uid, identity.gid, &identity.groups).map_err(step("setting the user"))?;
        // What stays for another user than root is what exec gives it: nothing, unless files say so.
        process::set_capabilities(capabilities).map_err(step("setting capabilities"))?;
        let refused = |error: rustix::io::Errno| {
            LaunchError::Refused(format!("chdir to cwd ({directory:?}) set in config.json failed: {}", plain(error)))
        };
        rustix::process::chdir(directory).map_err(refused)?;
        let path = self.env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path.as_str());
        let program = find(self.args, path)?;
        let args = strings(self.args.iter().cloned())?;
        let env = strings(self.env.iter().map(|(name, value)| format!("{name}={value}")))?;
        process::close_on_exec_from(3).map_err(step("closing files"))?;
        if self.no_new_privs {
            process::forbid_new_privileges().map_err(step("setting no_new_privs"))?;
            self.install_filters()?;
        }
        let Err(error) = nix::unistd::execve(&program, &args, &env);
        let program = program.to_string_lossy();
        Err(LaunchError::Refused(format!("exec {program}: {}", describe(error.desc()))))
    }

    fn install_filters(&self) -> Result<(), LaunchError> {
        self.filters
            .iter()
            .try_for_each(|filter| process::install_filter(filter))
            .map_err(step("installing the seccomp filter"))
    }

    fn connect_streams(&mut self) -> Result<(), LaunchError> {
        let fail = || step("setting up the standard streams");
        if let Some(terminal) = &self.terminal {
            rustix::fs::fchown(terminal, Some(rustix::process::Uid::from_raw(self.identity.uid)), None)
                .map_err(io::Error::from)
                .map_err(fail())?;
            for number in 0..3 {
                process::become_standard(terminal.as_fd(), number).map_err(fail())?;
            }
            return pty::control(terminal.as_fd()).map_err(fail());
        }
        let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(io::Error::from).map_err(fail())?;
        let streams = std::mem::take(&mut self.streams);
        for (number, stream) in [streams.stdin, streams.stdout, streams.stderr].iter().enumerate() {
            if let Some(stream) = stream {
                // So that the program may open /dev/stdout again. Sockets and such may refuse.
                let _ = rustix::fs::fchown(stream, Some(rustix::process::Uid::from_raw(self.identity.uid)), None);
            }
            let stream = stream.as_ref().unwrap_or(&null);
            process::become_standard(stream.as_fd(), number as i32).map_err(fail())?;
        }
        Ok(())
    }
}

/// Asks AppArmor for a profile from exec on.
fn confine(profile: &str) -> io::Result<()> {
    let line = format!("exec {profile}");
    std::fs::write("/proc/thread-self/attr/apparmor/exec", &line)
        .or_else(|_| std::fs::write("/proc/thread-self/attr/exec", &line))
}

fn strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>, LaunchError> {
    let strings: Result<Vec<CString>, _> = texts.map(CString::new).collect();
    strings.map_err(|_| LaunchError::Refused("invalid argument: a string holds a zero byte".to_owned()))
}

/// Finds the program as Go's exec.LookPath does, with its words.
fn find(args: &[String], path: &str) -> Result<CString, LaunchError> {
    let Some(name) = args.first().filter(|name| !name.is_empty()) else {
        return Err(LaunchError::Refused("exec: no command".to_owned()));
    };
    let refused = |why: String| LaunchError::Refused(format!("exec: {name:?}: {why}"));
    let candidates: Vec<String> = if name.contains('/') {
        vec![name.clone()]
    } else {
        let directories = path.split(':').map(|directory| if directory.is_empty() { "." } else { directory });
        directories.map(|directory| format!("{directory}/{name}")).collect()
    };
    let mut why = None;
    for candidate in candidates {
        match check(&candidate) {
            Ok(()) => return CString::new(candidate).map_err(|_| refused("invalid argument".to_owned())),
            // Only a path that was given in full gets its own reason.
            Err(reason) => why = name.contains('/').then_some(reason),
        }
    }
    Err(refused(why.unwrap_or_else(|| "executable file not found in $PATH".to_owned())))
}

fn check(path: &str) -> Result<(), String> {
    use rustix::fs::{Access, AtFlags, FileType};
    let found =
        rustix::fs::statat(CWD, path, AtFlags::empty()).map_err(|error| format!("stat {path}: {}", plain(error)))?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err("is a directory".to_owned());
    }
    let may = rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS);
    if may.is_err() || found.st_mode & 0o111 == 0 { Err("permission denied".to_owned()) } else { Ok(()) }
}

/// An error in Go's words.
fn plain(error: rustix::io::Errno) -> String {
    describe(nix::errno::Errno::from_raw(error.raw_os_error()).desc())
}

fn describe(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
