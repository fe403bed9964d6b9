//! The runtime as the kubelet sees it: the CRI model (sandboxes, containers) in plain types.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    #[error("no such {what}: {id}")]
    NotFound { what: &'static str, id: String },
    /// What the user wrote cannot be run (no such command, bad user, ...): CreateContainerError or
    /// RunContainerError with this text.
    #[error("{0}")]
    Invalid(String),
    #[error("{operation}: {why}")]
    Failed { operation: &'static str, why: String },
    #[error("the supervisor does not answer: {0}")]
    Unreachable(String),
    #[error("timed out after {0:?}")]
    Timeout(Duration),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SandboxConfig {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// How often this pod's sandbox was made before.
    pub attempt: u32,
    pub hostname: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Where container logs go: `<log_directory>/<container log_path>`.
    pub log_directory: PathBuf,
    /// cgroup of the pod below the instance's root, as `burstable/pod<uid>`.
    pub cgroup_parent: String,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// One pid namespace for all containers; the pod init is its pid 1.
    pub share_process_namespace: bool,
    pub sysctls: BTreeMap<String, String>,
    /// Written to the pod's resolv.conf.
    pub resolv_conf: String,
    /// Limits of the pod's cgroup as a whole.
    pub resources: Resources,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resources {
    pub cpu_shares: Option<u64>,
    pub cpu_quota_micros: Option<i64>,
    pub cpu_period_micros: Option<u64>,
    pub memory_limit_bytes: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: i32,
    /// Page size name ("2MB") to bytes.
    pub hugepage_limits: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerConfig {
    pub name: String,
    pub attempt: u32,
    /// Lower directories of the root file system, topmost first, as `images` unpacked them.
    pub rootfs_layers: Vec<PathBuf>,
    /// The layers of each image that is mounted into it.
    #[serde(default)]
    pub mounted_images: Vec<Vec<PathBuf>>,
    /// As the user wrote it, and what it resolved to; reported in status.
    pub image: String,
    pub image_ref: String,
    /// The whole command line.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: String,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Below the sandbox's log directory: `<container>/<attempt>.log`. CRI log format.
    pub log_path: PathBuf,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    /// Name or number; `user:group` allowed; empty: root. Looked up in the image's passwd.
    pub user: String,
    pub run_as_uid: Option<u32>,
    pub run_as_gid: Option<u32>,
    pub supplemental_groups: Vec<u32>,
    /// Only the groups named here, not the image's.
    pub supplemental_groups_strict: bool,
    pub privileged: bool,
    pub read_only_rootfs: bool,
    pub no_new_privs: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub seccomp: Seccomp,
    /// Hidden and read-only parts of /proc and /sys; ProcMount Unmasked passes none.
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub apparmor_profile: Option<String>,
    pub resources: Resources,
    /// Signal number sent by `stop_container`; 0: SIGTERM.
    pub stop_signal: i32,
    /// Name of the container whose pid namespace this one joins (ephemeral containers' target).
    pub target_container: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Seccomp {
    #[default]
    RuntimeDefault,
    Unconfined,
    /// A profile in the JSON form that docker and upstream use.
    Localhost(PathBuf),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: Propagation,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Device {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    /// Some of "rwm".
    pub permissions: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SandboxStatus {
    pub id: String,
    pub config: SandboxConfig,
    pub ready: bool,
    /// Nanoseconds since 1970.
    pub created_at: i64,
    /// Where the network namespace can be entered; None with the host's network.
    pub netns: Option<PathBuf>,
    /// As given to `set_addresses`; first is the pod's IP. Kept over restarts.
    pub addresses: Vec<std::net::IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
    /// The supervisor lost sight of it (its pod init was killed).
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerStatus {
    pub id: String,
    pub sandbox: String,
    pub name: String,
    pub attempt: u32,
    pub image: String,
    pub image_ref: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub state: ContainerState,
    /// Nanoseconds since 1970; 0: not yet.
    pub created_at: i64,
    pub started_at: i64,
    pub finished_at: i64,
    /// 128 + signal after a signal's kill.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerCannotRun`.
    pub reason: String,
    pub message: String,
    pub log_path: PathBuf,
    pub mounts: Vec<Mount>,
    /// Host pid of the container's first process, while it runs.
    pub pid: Option<i32>,
    pub resources: Resources,
    pub user: Option<(u32, u32, Vec<u32>)>,
}

/// A process's streams; with a terminal only stdin and stdout.
pub struct Streams {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    /// Terminal size changes (columns, rows) go in here.
    pub resize: Option<tokio::sync::mpsc::Sender<(u16, u16)>>,
    /// Exit code; of attach: resolves when the container ends.
    pub exit: BoxFuture<'static, Result<i32, RuntimeError>>,
}

#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    pub command: Vec<String>,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    pub cpu_usage_nanos: u64,
    pub memory_usage_bytes: u64,
    pub memory_working_set_bytes: u64,
    pub memory_rss_bytes: u64,
    pub memory_page_faults: u64,
    pub memory_major_page_faults: u64,
    pub rootfs_used_bytes: u64,
    pub rootfs_used_inodes: u64,
    pub pids: u64,
}

/// Something happened to a container or sandbox; look it up for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    pub sandbox: String,
    pub container: Option<String>,
}

/// The CRI runtime service. Every call is safe to repeat.
pub trait Runtime: Send + Sync {
    fn version(&self) -> BoxFuture<'_, Result<String, RuntimeError>>;

    /// Makes the pod's namespaces and cgroup, without links; the caller's PodNetwork sets those up.
    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>>;
    fn set_addresses<'a>(
        &'a self,
        sandbox: &'a str,
        addresses: Vec<std::net::IpAddr>,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;
    /// Kills what is left in it and frees its namespaces.
    fn stop_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn remove_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>, RuntimeError>>;
    fn update_sandbox_resources<'a>(
        &'a self,
        sandbox: &'a str,
        resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<String, RuntimeError>>;
    fn start_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    /// Stop signal, then SIGKILL after `grace`; answers when it has ended.
    fn stop_container<'a>(&'a self, container: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn remove_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn containers(&self) -> BoxFuture<'_, Result<Vec<ContainerStatus>, RuntimeError>>;
    fn container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>>;
    fn update_container_resources<'a>(
        &'a self,
        container: &'a str,
        resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;
    /// The log file was moved away: write to a new one at the old path.
    fn reopen_log<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Output is cut off at 16 MiB.
    fn exec_sync<'a>(
        &'a self,
        container: &'a str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>>;
    fn exec<'a>(&'a self, container: &'a str, options: ExecOptions) -> BoxFuture<'a, Result<Streams, RuntimeError>>;
    fn attach<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Streams, RuntimeError>>;
    /// A connection to `port` on the sandbox's loopback.
    fn port_forward<'a>(&'a self, sandbox: &'a str, port: u16)
    -> BoxFuture<'a, Result<(Reader, Writer), RuntimeError>>;

    fn stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>>;
    fn sandbox_stats<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>>;
    /// Events from now on; falls behind by dropping, so list again now and then.
    fn events(&self) -> tokio::sync::broadcast::Receiver<RuntimeEvent>;
}
