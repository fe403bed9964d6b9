//! The pod init: one tiny process per pod, forked from the supervisor. Holds the pod's
//! namespaces, is parent and reaper of its containers, writes their logs and exit codes, and
//! answers kutter on a socket of its own. Outlives kutter and the supervisor.
//!
//! One thread, one poll loop, nothing that blocks: what takes time happens in forked children.

mod container;
mod exec;
mod log;
mod requests;
mod setup;

use crate::protocol::{self, InitReply, SandboxPlan};
use container::Container;
use exec::Exec;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::process;
use sys::socket;

/// Connections at once: one to watch, one per exec, attach or call under way.
const MAX_CONNECTIONS: usize = 256;

struct Connection {
    socket: OwnedFd,
    watching: bool,
}

pub struct PodInit {
    plan: SandboxPlan,
    /// The sandbox's directory.
    directory: OwnedFd,
    connections: BTreeMap<u32, Connection>,
    next_connection: u32,
    containers: Vec<Container>,
    execs: Vec<Exec>,
    /// Why the pod could not be set up.
    broken: Option<String>,
    /// Ends when the last container has.
    stopping: bool,
}

/// What a polled file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Signals,
    Listener,
    Connection(u32),
    /// A container's report, output (0, 1), or an attached client that has to catch up.
    Report(usize),
    Output(usize, usize),
    Behind(usize),
    ExecReport(usize),
}

/// Never returns: this is the whole life of the process.
pub fn run(plan: SandboxPlan, path: &Path, listener: OwnedFd, cgroup: &[OwnedFd]) -> ! {
    // Opened anew: what was opened before the fork belongs to the supervisor's mount namespace.
    let Ok(directory) = crate::state::open_directory(path) else { process::exit_now(1) };
    let _ = socket::claim(listener.as_fd());
    let entered = sys::cgroup::enter(cgroup).map_err(|error| format!("entering the cgroup: {error}"));
    let broken = entered.and_then(|()| setup::pod(&plan, &directory)).err();
    setup::close_inherited(&[&directory, &listener]);
    let mut init = PodInit {
        plan,
        directory,
        connections: BTreeMap::new(),
        next_connection: 0,
        containers: Vec::new(),
        execs: Vec::new(),
        broken,
        stopping: false,
    };
    process::exit_now(init.serve(&listener));
}

impl PodInit {
    fn serve(&mut self, listener: &OwnedFd) -> i32 {
        let Ok(signals) = process::signal_file(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP]) else {
            return 1;
        };
        let _ = socket::set_nonblocking(listener);
        loop {
            let timeout = self.timeout();
            let (tokens, ready) = self.wait(&signals, listener, timeout);
            // Output before ends: what a container wrote before it ended is read first.
            for (token, _) in tokens.iter().zip(&ready).filter(|(_, ready)| **ready) {
                match *token {
                    Token::Signals => drop(process::drain_signals(signals.as_fd())),
                    Token::Report(index) => self.container_report(index),
                    Token::Output(index, stream) => self.containers[index].copy_output(stream),
                    Token::Behind(index) => self.containers[index].catch_up(),
                    Token::ExecReport(index) => self.exec_report(index),
                    Token::Listener | Token::Connection(_) => {}
                }
            }
            self.reap();
            self.finish();
            for (token, _) in tokens.iter().zip(&ready).filter(|(_, ready)| **ready) {
                match *token {
                    Token::Listener => self.accept(listener.as_fd()),
                    Token::Connection(id) => self.answer(id),
                    _ => {}
                }
            }
            if self.stopping && self.containers.is_empty() {
                return 0;
            }
        }
    }

    /// Waits for something to do. Gives what was waited for and whether it is ready.
    fn wait<'a>(
        &'a self,
        signals: &'a OwnedFd,
        listener: &'a OwnedFd,
        timeout: Option<Timespec>,
    ) -> (Vec<Token>, Vec<bool>) {
        let mut tokens = Vec::new();
        let mut files: Vec<PollFd<'a>> = Vec::new();
        let mut add = |token: Token, file: BorrowedFd<'a>, flags: PollFlags| {
            tokens.push(token);
            files.push(PollFd::from_borrowed_fd(file, flags));
        };
        add(Token::Signals, signals.as_fd(), PollFlags::IN);
        add(Token::Listener, listener.as_fd(), PollFlags::IN);
        for (id, connection) in &self.connections {
            add(Token::Connection(*id), connection.socket.as_fd(), PollFlags::IN);
        }
        for (index, container) in self.containers.iter().enumerate() {
            container.poll(index, &mut add);
        }
        for (index, exec) in self.execs.iter().enumerate() {
            if let Some(report) = &exec.report {
                add(Token::ExecReport(index), report.as_fd(), PollFlags::IN);
            }
        }
        if rustix::event::poll(&mut files, timeout.as_ref()).is_err() {
            return (Vec::new(), Vec::new());
        }
        let ready = files.iter().map(|file| !file.revents().is_empty()).collect();
        (tokens, ready)
    }

    /// How long to wait at most: until the output of an ended container is given up.
    fn timeout(&self) -> Option<Timespec> {
        let deadline = self.containers.iter().filter_map(Container::deadline).min()?;
        let nanos = (deadline - process::monotonic_clock()).max(0);
        Some(Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 })
    }

    fn accept(&mut self, listener: BorrowedFd<'_>) {
        let Ok(connection) = socket::accept(listener) else { return };
        let trusted = socket::peer(connection.as_fd()).is_ok_and(|(uid, _)| uid == 0);
        if !trusted || self.connections.len() >= MAX_CONNECTIONS || socket::set_nonblocking(&connection).is_err() {
            return;
        }
        self.connections.insert(self.next_connection, Connection { socket: connection, watching: false });
        self.next_connection = self.next_connection.wrapping_add(1);
    }

    /// Answers a connection; one that does not read is closed, and will ask again.
    fn reply(&mut self, connection: u32, reply: &InitReply, files: &[BorrowedFd<'_>]) {
        let Some(peer) = self.connections.get(&connection) else { return };
        if protocol::send(peer.socket.as_fd(), reply, files).is_err() {
            self.close(connection);
        }
    }

    fn close(&mut self, connection: u32) {
        self.connections.remove(&connection);
        for container in &mut self.containers {
            container.detach(connection);
        }
    }

    fn reap(&mut self) {
        while let Some(ended) = process::reap() {
            if self.note_end(ended) {
                continue;
            }
            // A process whose number is still in a report, or nobody's.
            (0..self.containers.len()).for_each(|index| self.container_report(index));
            (0..self.execs.len()).for_each(|index| self.exec_report(index));
            self.note_end(ended);
        }
    }

    fn note_end(&mut self, ended: process::Ended) -> bool {
        if let Some(container) = self.containers.iter_mut().find(|one| one.pid == ended.pid) {
            container.ended(ended);
        } else if let Some(exec) = self.execs.iter_mut().find(|one| one.pid == ended.pid) {
            exec.ended = Some(ended);
        } else {
            return false;
        }
        true
    }

    /// Says goodbye to containers and execs that are through.
    fn finish(&mut self) {
        for index in (0..self.containers.len()).rev() {
            if self.containers[index].is_over() {
                let container = self.containers.swap_remove(index);
                self.container_over(container);
            }
        }
        for index in (0..self.execs.len()).rev() {
            if self.execs[index].is_over() {
                let exec = self.execs.swap_remove(index);
                let code = exec.ended.map_or(0, |ended| ended.code);
                if exec.failure.is_none() {
                    self.reply(exec.connection, &InitReply::Exited { container: exec.container, code }, &[]);
                }
            }
        }
    }

    fn container_over(&mut self, mut container: Container) {
        let (record, failure) = container.close();
        let name = format!("containers/{}/{}", container.id, crate::state::EXIT);
        // A full disk loses the record; kutter then sees the container as Unknown, as it should.
        let _ = crate::state::write_record(self.directory.as_fd(), &name, &record);
        match failure {
            Some(message) => self.reply(container.asker, &InitReply::Failed { message }, &[]),
            None => {
                let reply = InitReply::Exited { container: container.id.clone(), code: record.exit_code };
                let told: Vec<u32> = container.attached.iter().map(|client| client.connection).collect();
                let watching = self.connections.iter().filter(|(_, one)| one.watching).map(|(id, _)| *id);
                for connection in watching.chain(told).collect::<Vec<_>>() {
                    self.reply(connection, &reply, &[]);
                }
            }
        }
    }
}
