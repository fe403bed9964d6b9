//! One running container as its pod init sees it: process, output, log, attached clients.

use super::Token;
use super::log::Log;
use crate::state::{ExitRecord, StartedRecord};
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::process::{self, Ended};

/// Read at once from a container's output.
const CHUNK: usize = 16 * 1024;
/// How long output is awaited from processes that outlive the container's first.
const DRAIN_NANOS: i64 = 500_000_000;

pub struct Container {
    pub id: String,
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The connection that asked for the start.
    pub asker: u32,
    pub oom_counter: Option<OwnedFd>,
    pub kill: Option<OwnedFd>,
    pub entries: Vec<OwnedFd>,
    pub log: Log,
    pub outputs: [Option<OwnedFd>; 2],
    pub stdin: Option<OwnedFd>,
    pub stdin_once: bool,
    pub terminal: Option<OwnedFd>,
    /// Open until the program runs.
    pub report: Option<OwnedFd>,
    /// All was set up; only exec is left.
    pub prepared: bool,
    pub started: StartedRecord,
    pub failure: Option<String>,
    pub attached: Vec<Attached>,
    pub end: Option<(Ended, i64)>,
}

/// A client that gets a copy of the output. When it does not keep up the output waits, so that
/// nothing is lost; when it is gone its files are closed.
pub struct Attached {
    pub connection: u32,
    pub outputs: [Option<OwnedFd>; 2],
    pub behind: Vec<u8>,
    pub stream: usize,
}

impl Container {
    pub fn is_running(&self) -> bool {
        self.report.is_none() && self.failure.is_none() && self.end.is_none()
    }

    pub fn poll<'a>(&'a self, index: usize, add: &mut dyn FnMut(Token, BorrowedFd<'a>, PollFlags)) {
        if let Some(report) = &self.report {
            add(Token::Report(index), report.as_fd(), PollFlags::IN);
        }
        let behind = self.attached.iter().find(|client| !client.behind.is_empty());
        if let Some(client) = behind {
            if let Some(file) = &client.outputs[client.stream] {
                add(Token::Behind(index), file.as_fd(), PollFlags::OUT);
            }
            return;
        }
        for (stream, file) in self.outputs.iter().enumerate() {
            if let Some(file) = file {
                add(Token::Output(index, stream), file.as_fd(), PollFlags::IN);
            }
        }
    }

    /// Reads what there is, logs it and copies it to attached clients.
    pub fn copy_output(&mut self, stream: usize) {
        let mut chunk = [0; CHUNK];
        let Some(file) = &self.outputs[stream] else { return };
        match rustix::io::read(file, &mut chunk) {
            Ok(0) | Err(rustix::io::Errno::IO) => {
                self.log.end(stream);
                self.outputs[stream] = None;
                for client in &mut self.attached {
                    client.outputs[stream] = None;
                }
            }
            Ok(read) => {
                self.log.write(stream, &chunk[..read]);
                for client in &mut self.attached {
                    client.behind.extend_from_slice(&chunk[..read]);
                    client.stream = stream;
                    client.write();
                }
            }
            Err(_) => {}
        }
    }

    /// Writes on to clients that were behind.
    pub fn catch_up(&mut self) {
        for client in &mut self.attached {
            client.write();
        }
    }

    /// A client's connection has closed.
    pub fn detach(&mut self, connection: u32) {
        self.input_ended(connection);
        self.attached.retain(|client| client.connection != connection);
    }

    /// An attached client writes no more: with `stdin_once` nobody else will either.
    pub fn input_ended(&mut self, connection: u32) {
        if self.stdin_once && self.attached.iter().any(|client| client.connection == connection) {
            self.stdin = None;
        }
    }

    pub fn ended(&mut self, ended: Ended) {
        self.end = Some((ended, process::monotonic_clock() + DRAIN_NANOS));
        // With a pid namespace of its own all is dead by now; without, this ends the rest.
        self.kill_all();
    }

    /// Kills every process of the container.
    pub fn kill_all(&self) {
        let _ = process::signal(self.pidfd.as_fd(), libc::SIGKILL);
        match &self.kill {
            Some(file) => drop(rustix::io::write(file, b"1")),
            None => self.kill_listed(),
        }
    }

    /// Where the kernel has no cgroup.kill.
    fn kill_listed(&self) {
        let mut list = [0; 4096];
        let Some(procs) = self.entries.first() else { return };
        let read = rustix::io::pread(procs, &mut list, 0).unwrap_or(0);
        for pid in String::from_utf8_lossy(&list[..read]).lines().filter_map(|line| line.parse::<i32>().ok()) {
            let _ = process::kill(pid);
        }
    }

    /// When the output of an ended container is given up.
    pub fn deadline(&self) -> Option<i64> {
        self.end.map(|(_, deadline)| deadline)
    }

    pub fn is_over(&self) -> bool {
        let Some((_, deadline)) = self.end else { return false };
        let drained = self.outputs.iter().all(Option::is_none);
        self.report.is_none() && (drained || process::monotonic_clock() >= deadline)
    }

    /// The last words: the record for the disk, and why it never ran, if so.
    pub fn close(&mut self) -> (ExitRecord, Option<String>) {
        for stream in 0..2 {
            self.log.end(stream);
        }
        let finished_at = process::wall_clock();
        if let Some(message) = self.failure.take() {
            let record = ExitRecord {
                started_at: 0,
                finished_at,
                exit_code: 128,
                reason: "StartError".to_owned(),
                message: message.clone(),
            };
            return (record, Some(message));
        }
        let code = self.end.map_or(0, |(ended, _)| ended.code);
        let starved = self.oom_counter.as_ref().is_some_and(|file| sys::cgroup::oom_kills(file.as_fd()) > 0);
        let reason = match (starved, code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        let record = ExitRecord {
            started_at: self.started.started_at,
            finished_at,
            exit_code: code,
            reason: reason.to_owned(),
            message: String::new(),
        };
        (record, None)
    }
}

impl Attached {
    fn write(&mut self) {
        let Some(file) = &self.outputs[self.stream] else {
            self.behind.clear();
            return;
        };
        match rustix::io::write(file, &self.behind) {
            Ok(written) => drop(self.behind.drain(..written)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => {
                self.outputs[self.stream] = None;
                self.behind.clear();
            }
        }
    }
}
