//! What is on disk, below the state directory: one directory per sandbox, in it one per
//! container. Files appear by rename, whole or not at all. Deleting the directory forgets the
//! thing; nothing else has to be kept in step.

use crate::runtime::{ContainerConfig, Resources, SandboxConfig};
use rustix::fs::{CWD, Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Longest record that is read back.
const MAX_RECORD: usize = 16 * 1024 * 1024;

pub const SANDBOX: &str = "sandbox.json";
pub const CONTAINER: &str = "container.json";
pub const STARTED: &str = "started.json";
pub const EXIT: &str = "exit.json";
/// A localhost seccomp profile, as it was when the container was made.
pub const SECCOMP: &str = "seccomp.json";
pub const RESOLV_CONF: &str = "resolv.conf";
pub const HOSTNAME: &str = "hostname";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxRecord {
    pub id: String,
    pub config: SandboxConfig,
    pub created_at: i64,
    pub addresses: Vec<IpAddr>,
    /// The pod init's host pid.
    pub pid: i32,
    pub cgroup: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub id: String,
    pub config: ContainerConfig,
    pub created_at: i64,
    pub cgroup: String,
    /// Updated in place; `config` keeps what it began with.
    pub resources: Resources,
    /// The pod's host name, for the environment.
    pub hostname: String,
    /// The state directory's path of this container, as kutter sees it.
    pub directory: PathBuf,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StartedRecord {
    pub started_at: i64,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExitRecord {
    /// 0: it never ran.
    pub started_at: i64,
    pub finished_at: i64,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
}

/// Names the directories of one instance.
#[derive(Debug, Clone)]
pub struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    pub fn sandbox(&self, id: &str) -> PathBuf {
        self.sandboxes().join(id)
    }

    pub fn containers(&self, sandbox: &str) -> PathBuf {
        self.sandbox(sandbox).join("containers")
    }

    pub fn container(&self, sandbox: &str, id: &str) -> PathBuf {
        self.containers(sandbox).join(id)
    }

    /// Directories on their way out.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }
}

/// Opens a directory to work below.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Writes a record below an open directory, whole or not at all.
pub fn write_record<T: Serialize>(directory: BorrowedFd<'_>, name: &str, record: &T) -> io::Result<()> {
    write_file(directory, name, &serde_json::to_vec(record)?)
}

pub fn write_file(directory: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.new");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, temporary.as_str(), flags, Mode::from_raw_mode(0o600))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    Ok(rustix::fs::renameat(directory, temporary.as_str(), directory, name)?)
}

/// Reads a record below an open directory.
pub fn read_record<T: DeserializeOwned>(directory: BorrowedFd<'_>, name: &str) -> io::Result<T> {
    Ok(serde_json::from_slice(&read_file(directory, name)?)?)
}

pub fn read_file(directory: BorrowedFd<'_>, name: &str) -> io::Result<Vec<u8>> {
    let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_open(file)
}

/// Reads the rest of an open file, up to a bound.
pub fn read_open(file: OwnedFd) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(MAX_RECORD as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_RECORD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file too long"));
    }
    Ok(bytes)
}
