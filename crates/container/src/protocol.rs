//! What the processes say to each other: one JSON message per packet, each with the version of
//! the protocol, files beside it. Pod inits outlive upgrades of kutter, so a message's meaning
//! never changes; new ones are added and the version goes up.

use crate::runtime::{Resources, Stats};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::socket;

/// The newest version known here. A message carries the version that brought it, so that older
/// pod inits go on understanding the older messages of a newer kutter.
pub const VERSION: u32 = 1;

pub const SUPERVISOR_SOCKET: &str = "supervisor.sock";
pub const INIT_SOCKET: &str = "init.sock";

#[derive(Debug, Serialize, Deserialize)]
pub enum SupervisorRequest {
    Hello,
    RunSandbox(SandboxPlan),
    /// Makes a container's cgroup. Answered with the files of [`CgroupFiles`].
    PrepareContainer {
        cgroup: String,
        resources: Resources,
        devices: Option<Vec<DeviceRule>>,
    },
    Limit {
        cgroup: String,
        resources: Resources,
    },
    Kill {
        cgroup: String,
    },
    Remove {
        cgroup: String,
    },
    Usage {
        cgroup: String,
    },
    /// End, leaving all pods as they are.
    Quit,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum SupervisorReply {
    Hello {
        build: String,
    },
    Sandbox {
        pid: i32,
    },
    Prepared(CgroupFiles),
    Usage(Stats),
    Done,
    /// Processes are still ending; try again.
    Busy,
    Failed {
        message: String,
    },
}

/// What a pod init is told about its pod when it is forked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SandboxPlan {
    pub id: String,
    /// The pod's cgroup, which its sandboxes' containers share.
    pub cgroup: String,
    /// The pod init's own, below it.
    pub init_cgroup: String,
    pub hostname: String,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    pub share_process_namespace: bool,
    pub sysctls: BTreeMap<String, String>,
    pub resources: Resources,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceRule {
    pub character: bool,
    pub major: u32,
    pub minor: u32,
    pub permissions: String,
}

/// Which files of a cgroup follow, in this order; the rest are entries.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct CgroupFiles {
    pub oom_counter: bool,
    pub kill: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum InitRequest {
    Hello,
    /// Answered with `Running` per running container, `Watching`, then `Exited` as they end.
    Watch,
    /// Files: the mount namespace to start from, the log, the cgroup's.
    Launch(LaunchRequest),
    /// Files: the given streams of stdin, stdout, stderr. `Exited` follows `Started`.
    Exec {
        container: String,
        command: Vec<String>,
        tty: bool,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    /// Of an exec's connection: kill its process group.
    KillExec,
    /// Files: where to copy stdout and stderr to. `Exited` follows `Attached`.
    Attach {
        container: String,
    },
    /// Of an attached client's connection: it has no more input. A container that takes input once
    /// sees the end of it. Not answered; older pod inits answer `Failed`, which changes nothing.
    InputEnded,
    Signal {
        container: String,
        signal: i32,
    },
    /// Files: the new log.
    ReopenLog {
        container: String,
    },
    Connect {
        port: u16,
    },
    /// Kill everything and end. The connection closes when that is done.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LaunchRequest {
    pub container: String,
    pub files: CgroupFiles,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    /// The container whose pid namespace is to be joined.
    pub target: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum InitReply {
    Hello,
    /// With the process as a pidfd.
    Running {
        container: String,
    },
    Watching,
    /// With the process as a pidfd; of an exec with a terminal, with the terminal's master.
    Started,
    /// With the terminal's master or the write end of stdin, if the container has one.
    Attached,
    Exited {
        container: String,
        code: i32,
    },
    /// With the connected socket.
    Connected,
    Done,
    Failed {
        message: String,
    },
}

/// What a forked child tells its pod init before it becomes the program. End of file means that
/// the program runs.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The process that will be the program, where it is not the forked one.
    Forked {
        pid: i32,
    },
    /// With the terminal's master.
    Terminal,
    Prepared {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
    Failed {
        message: String,
    },
}

pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&(VERSION, message))?)
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let (version, message): (u32, &RawValue) = serde_json::from_slice(bytes)?;
    if version > VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("protocol version {version} is not known")));
    }
    Ok(serde_json::from_str(message.get())?)
}

/// Sends one message on a blocking (or sufficiently empty) socket.
pub fn send<T: Serialize>(connection: BorrowedFd<'_>, message: &T, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket::send(connection, &encode(message)?, files)
}

/// Receives one message; None when the peer has closed.
pub fn receive<T: DeserializeOwned>(connection: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let packet = socket::receive(connection)?;
    if packet.bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some((decode(&packet.bytes)?, packet.files)))
}
