//! What kutter asks of a pod init, and how it is answered.

use super::PodInit;
use super::container::{Attached, Container};
use super::log::Log;
use super::setup::SHARED_MEMORY;
use crate::launcher::{self, ExecOrder, LaunchOrder, START_PREFIX, Standard};
use crate::protocol::{self, InitReply, InitRequest, LaunchRequest, Report};
use crate::state::{self, StartedRecord};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use sys::namespace::Kinds;
use sys::process::{self, Forked, Parent};
use sys::socket;

/// Containers at once in one pod.
const MAX_CONTAINERS: usize = 256;
/// Loopback answers at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

impl PodInit {
    /// Answers one message of a connection.
    pub fn answer(&mut self, connection: u32) {
        let Some(peer) = self.connections.get(&connection) else { return };
        match protocol::receive::<InitRequest>(peer.socket.as_fd()) {
            Ok(Some((request, files))) => {
                if let Err(message) = self.handle(connection, request, files) {
                    self.reply(connection, &InitReply::Failed { message }, &[]);
                }
            }
            Ok(None) => self.close(connection),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.reply(connection, &InitReply::Failed { message: error.to_string() }, &[]),
        }
    }

    fn handle(&mut self, connection: u32, request: InitRequest, mut files: Vec<OwnedFd>) -> Result<(), String> {
        match request {
            InitRequest::Hello => match &self.broken {
                Some(why) => return Err(why.clone()),
                None => self.reply(connection, &InitReply::Hello, &[]),
            },
            InitRequest::Watch => self.watch(connection),
            InitRequest::Launch(request) => return self.launch(connection, request, files),
            InitRequest::Exec { container, command, tty, stdin, stdout, stderr } => {
                let mut given = files.into_iter();
                let mut next = |wanted: bool| if wanted { given.next() } else { None };
                let streams = Standard { stdin: next(stdin), stdout: next(stdout), stderr: next(stderr) };
                return self.exec(connection, &container, ExecOrder { command, tty, streams });
            }
            InitRequest::KillExec => self.kill_exec(connection),
            InitRequest::Attach { container } => return self.attach(connection, &container, files),
            InitRequest::InputEnded => {
                self.containers.iter_mut().for_each(|container| container.input_ended(connection));
            }
            InitRequest::Signal { container, signal } => {
                let container = self.running(&container)?;
                if signal == libc::SIGKILL {
                    container.kill_all();
                } else {
                    process::signal(container.pidfd.as_fd(), signal).map_err(|error| error.to_string())?;
                }
                self.reply(connection, &InitReply::Done, &[]);
            }
            InitRequest::ReopenLog { container } => {
                let file = files.pop().ok_or("no log file was given")?;
                self.running(&container)?.log.reopen(file);
                self.reply(connection, &InitReply::Done, &[]);
            }
            InitRequest::Connect { port } => {
                let stream = connect(port).map_err(|error| error.to_string())?;
                self.reply(connection, &InitReply::Connected, &[stream.as_fd()]);
            }
            InitRequest::Stop => {
                self.stopping = true;
                self.containers.iter().for_each(Container::kill_all);
            }
        }
        Ok(())
    }

    fn running(&mut self, id: &str) -> Result<&mut Container, String> {
        let found = self.containers.iter_mut().find(|container| container.id == id && container.end.is_none());
        found.ok_or_else(|| "container is not running".to_owned())
    }

    fn watch(&mut self, connection: u32) {
        let running: Vec<(String, io::Result<OwnedFd>)> = self
            .containers
            .iter()
            .filter(|one| one.is_running())
            .map(|one| (one.id.clone(), one.pidfd.try_clone()))
            .collect();
        for (container, pidfd) in running {
            if let Ok(pidfd) = pidfd {
                self.reply(connection, &InitReply::Running { container }, &[pidfd.as_fd()]);
            }
        }
        if let Some(peer) = self.connections.get_mut(&connection) {
            peer.watching = true;
        }
        self.reply(connection, &InitReply::Watching, &[]);
    }

    fn attach(&mut self, connection: u32, id: &str, files: Vec<OwnedFd>) -> Result<(), String> {
        let container = self.running(id)?;
        for file in &files {
            socket::set_nonblocking(file).map_err(|error| error.to_string())?;
        }
        let mut files = files.into_iter();
        let outputs = [files.next(), files.next()];
        container.attached.push(Attached { connection, outputs, behind: Vec::new(), stream: 0 });
        let input = container.terminal.as_ref().or(container.stdin.as_ref()).map(OwnedFd::try_clone);
        let input = input.transpose().map_err(|error| error.to_string())?;
        let given: Vec<BorrowedFd<'_>> = input.iter().map(AsFd::as_fd).collect();
        self.reply(connection, &InitReply::Attached, &given);
        Ok(())
    }

    /// Forks the process that becomes the container.
    fn launch(&mut self, connection: u32, request: LaunchRequest, files: Vec<OwnedFd>) -> Result<(), String> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        if self.stopping || self.containers.len() >= MAX_CONTAINERS {
            return Err("the pod takes no more containers".to_owned());
        }
        if self.containers.iter().any(|container| container.id == request.container) {
            return Err("container is running already".to_owned());
        }
        self.fork_container(connection, request, files).map_err(|error| error.to_string())
    }

    fn fork_container(&mut self, connection: u32, request: LaunchRequest, files: Vec<OwnedFd>) -> io::Result<()> {
        let mut files = files.into_iter();
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "a file is missing");
        let mount_namespace = files.next().ok_or_else(missing)?;
        let log = Log::new(files.next().ok_or_else(missing)?);
        let oom_counter = if request.files.oom_counter { files.next() } else { None };
        let kill = if request.files.kill { files.next() } else { None };
        let entries: Vec<OwnedFd> = files.collect();
        let (report, theirs) = socket::pair()?;
        let (outputs, stdin, streams) = pipes(&request)?;
        let target = request.target.as_ref().and_then(|id| self.containers.iter().find(|one| one.id == *id));
        let own_pids = !self.plan.host_pid && !self.plan.share_process_namespace && target.is_none();
        let kinds = Kinds::NONE.with_if(own_pids, Kinds::PID);
        match process::fork(kinds, Parent::Caller)? {
            Forked::Child => {
                let order = LaunchOrder {
                    container: &request.container,
                    tty: request.tty,
                    streams,
                    mount_namespace,
                    shared_memory: SHARED_MEMORY,
                    entries: &entries,
                    target: target.map(|one| one.pidfd.as_fd()),
                };
                launcher::container(self.directory.as_fd(), order, theirs)
            }
            Forked::Parent { pid, pidfd } => {
                socket::set_nonblocking(&report)?;
                self.containers.push(Container {
                    id: request.container,
                    pid,
                    pidfd,
                    asker: connection,
                    oom_counter,
                    kill,
                    entries,
                    log,
                    outputs,
                    stdin,
                    stdin_once: request.stdin_once,
                    terminal: None,
                    report: Some(report),
                    prepared: false,
                    started: StartedRecord::default(),
                    failure: None,
                    attached: Vec::new(),
                    end: None,
                });
                Ok(())
            }
        }
    }

    /// The child has something to tell, or has become the container's program.
    pub fn container_report(&mut self, index: usize) {
        let container = &mut self.containers[index];
        if container.report.is_none() {
            return;
        }
        while let Some(report) = &container.report {
            match protocol::receive::<Report>(report.as_fd()) {
                Ok(Some((Report::Forked { pid }, _))) => {
                    container.pid = pid;
                    match process::open(pid) {
                        Ok(pidfd) => container.pidfd = pidfd,
                        Err(error) => container.failure = Some(error.to_string()),
                    }
                }
                Ok(Some((Report::Terminal, mut files))) => {
                    container.terminal = files.pop();
                    container.outputs = [container.terminal.as_ref().and_then(|file| file.try_clone().ok()), None];
                    if let Some(file) = &container.terminal {
                        let _ = socket::set_nonblocking(file);
                    }
                }
                Ok(Some((Report::Prepared { uid, gid, groups }, _))) => {
                    container.started = StartedRecord { started_at: 0, uid, gid, groups };
                    container.prepared = true;
                }
                Ok(Some((Report::Failed { message }, _))) => container.failure = Some(message),
                Ok(None) => {
                    container.report = None;
                    if !container.prepared {
                        // Nothing but the kernel ends it without a word.
                        container.failure.get_or_insert_with(killed_early);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    container.failure = Some(error.to_string());
                    container.report = None;
                }
            }
        }
        if container.failure.is_some() {
            // Its end is told by `container_over`, once the process is reaped.
            return;
        }
        container.started.started_at = process::wall_clock();
        let asker = container.asker;
        let name = format!("containers/{}/{}", container.id, state::STARTED);
        let _ = state::write_record(self.directory.as_fd(), &name, &container.started);
        if let Ok(pidfd) = container.pidfd.try_clone() {
            self.reply(asker, &InitReply::Started, &[pidfd.as_fd()]);
        }
    }
}

fn killed_early() -> String {
    format!("{START_PREFIX}container init was OOM-killed (memory limit too low?): unknown")
}

type Pipes = ([Option<OwnedFd>; 2], Option<OwnedFd>, Standard);

/// The container's standard streams: our ends and its.
fn pipes(request: &LaunchRequest) -> io::Result<Pipes> {
    let mut theirs = Standard::default();
    if request.tty {
        return Ok(([None, None], None, theirs));
    }
    let new = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (stdout, their_stdout) = new()?;
    let (stderr, their_stderr) = new()?;
    (theirs.stdout, theirs.stderr) = (Some(their_stdout), Some(their_stderr));
    for ours in [&stdout, &stderr] {
        socket::set_nonblocking(ours)?;
    }
    let mut stdin = None;
    if request.stdin {
        let (their_stdin, ours) = new()?;
        theirs.stdin = Some(their_stdin);
        stdin = Some(ours);
    }
    Ok(([Some(stdout), Some(stderr)], stdin, theirs))
}

/// A connection to the pod's loopback, IPv4 first.
fn connect(port: u16) -> io::Result<TcpStream> {
    let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    TcpStream::connect_timeout(&four, CONNECT_TIMEOUT)
        .or_else(|error| TcpStream::connect_timeout(&six, CONNECT_TIMEOUT).map_err(|_| error))
}
