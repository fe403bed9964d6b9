//! A command started in a running container, as its pod init sees it.

use super::PodInit;
use crate::launcher;
use crate::protocol::{self, InitReply, Report};
use std::os::fd::{AsFd, OwnedFd};
use sys::namespace::Kinds;
use sys::process::{self, Ended, Forked, Parent};
use sys::socket;

pub struct Exec {
    pub connection: u32,
    pub container: String,
    pub pid: i32,
    /// Open until the program runs.
    pub report: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    pub failure: Option<String>,
    pub ended: Option<Ended>,
}

impl Exec {
    pub fn is_over(&self) -> bool {
        self.report.is_none() && (self.ended.is_some() || self.failure.is_some())
    }
}

impl PodInit {
    /// Forks the process that becomes the command.
    pub fn exec(&mut self, connection: u32, container: &str, order: launcher::ExecOrder) -> Result<(), String> {
        let running = self.containers.iter().find(|one| one.id == container && one.is_running());
        let Some(running) = running else { return Err("container is not running".to_owned()) };
        let fail = |error: std::io::Error| error.to_string();
        let (report, theirs) = socket::pair().map_err(fail)?;
        match process::fork(Kinds::NONE, Parent::Caller).map_err(fail)? {
            Forked::Child => {
                let directory = self.directory.as_fd();
                launcher::exec(directory, container, running.pidfd.as_fd(), &running.entries, order, theirs)
            }
            Forked::Parent { pid, .. } => {
                let _ = socket::set_nonblocking(&report);
                let container = container.to_owned();
                let exec = Exec {
                    connection,
                    container,
                    pid,
                    report: Some(report),
                    terminal: None,
                    failure: None,
                    ended: None,
                };
                self.execs.push(exec);
                Ok(())
            }
        }
    }

    /// The child has something to tell, or has become the command.
    pub fn exec_report(&mut self, index: usize) {
        let exec = &mut self.execs[index];
        if exec.report.is_none() {
            return;
        }
        while let Some(report) = &exec.report {
            match protocol::receive::<Report>(report.as_fd()) {
                Ok(Some((Report::Forked { pid }, _))) => exec.pid = pid,
                Ok(Some((Report::Terminal, mut files))) => exec.terminal = files.pop(),
                Ok(Some((Report::Prepared { .. }, _))) => {}
                Ok(Some((Report::Failed { message }, _))) => exec.failure = Some(message),
                Ok(None) => exec.report = None,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    exec.failure = Some(error.to_string());
                    exec.report = None;
                }
            }
        }
        let connection = exec.connection;
        let terminal = exec.terminal.take();
        let reply = match &exec.failure {
            Some(message) => InitReply::Failed { message: message.clone() },
            None => InitReply::Started,
        };
        let files: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
        self.reply(connection, &reply, &files);
    }

    /// Kills the process group of a connection's command.
    pub fn kill_exec(&mut self, connection: u32) {
        for exec in self.execs.iter().filter(|exec| exec.connection == connection && exec.ended.is_none()) {
            let _ = process::signal_group(exec.pid, libc::SIGKILL);
        }
    }
}
