//! Containers: making, starting, stopping, removing.

use super::Inner;
use super::connection::failed;
use super::table::Container;
use crate::protocol::{DeviceRule, InitReply, InitRequest, LaunchRequest, SupervisorReply, SupervisorRequest};
use crate::runtime::{ContainerConfig, ContainerState, Resources, RuntimeError, Seccomp};
use crate::state::{self, ContainerRecord};
use rustix::fs::{CWD, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a killed container may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

impl Inner {
    pub async fn create_container(&self, sandbox: &str, config: ContainerConfig) -> Result<String, RuntimeError> {
        let _one_at_a_time = self.creating.lock().await;
        let known = self.table().sandbox(sandbox)?.clone();
        let same = |one: &&Container| {
            one.sandbox == sandbox
                && one.record.config.name == config.name
                && one.record.config.attempt == config.attempt
        };
        if let Some(found) = self.table().containers.values().find(same) {
            return Ok(found.record.id.clone());
        }
        check(&config)?;
        let id = self.new_id();
        let directory = self.layout.container(sandbox, &id);
        let hostname = if known.record.config.host_network {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        } else {
            known.record.config.hostname.clone()
        };
        let record = ContainerRecord {
            id: id.clone(),
            created_at: self.now(),
            cgroup: format!("{}/{id}", known.record.cgroup),
            resources: config.resources.clone(),
            hostname,
            directory: directory.clone(),
            config,
        };
        if let Err(error) = write_container(&directory, &record) {
            self.discard(&directory);
            return Err(failed("make the container's directory")(error));
        }
        let container = Container {
            sandbox: sandbox.to_owned(),
            record,
            started: None,
            exit: None,
            state: ContainerState::Created,
            pid: None,
        };
        self.table().containers.insert(id.clone(), container);
        self.announce(sandbox, Some(&id));
        Ok(id)
    }

    pub async fn start_container(&self, id: &str) -> Result<(), RuntimeError> {
        let container = self.table().container(id)?.clone();
        match container.state {
            ContainerState::Created => {}
            ContainerState::Running => return Ok(()),
            ContainerState::Exited | ContainerState::Unknown => {
                return Err(RuntimeError::Failed { operation: "start the container", why: "it has ended".to_owned() });
            }
        }
        let config = &container.record.config;
        let prepare = SupervisorRequest::PrepareContainer {
            cgroup: container.record.cgroup.clone(),
            resources: container.record.resources.clone(),
            devices: (!config.privileged).then(|| config.devices.iter().filter_map(device).collect()),
        };
        let (reply, cgroup) = self.ask(&prepare).await?;
        let SupervisorReply::Prepared(files) = reply else {
            return Err(RuntimeError::Failed { operation: "start the container", why: "unexpected answer".to_owned() });
        };
        let launch = InitRequest::Launch(LaunchRequest {
            container: id.to_owned(),
            files,
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            tty: config.tty,
            target: self.target(&container),
        });
        self.launch(&container, &launch, cgroup).await
    }

    /// The id of the container whose processes this one is to see.
    fn target(&self, container: &Container) -> Option<String> {
        let wanted = container.record.config.target_container.as_ref()?;
        let table = self.table();
        let running = |one: &&Container| one.state == ContainerState::Running && one.sandbox == container.sandbox;
        let found = table
            .containers
            .values()
            .filter(running)
            .find(|one| one.record.config.name == *wanted || one.record.id == *wanted);
        found.map(|one| one.record.id.clone())
    }

    async fn launch(
        &self,
        container: &Container,
        launch: &InitRequest,
        cgroup: Vec<OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let (id, sandbox) = (&container.record.id, &container.sandbox);
        let log = open_log(&self.log_path(container)?).map_err(failed("open the container's log"))?;
        let mounts = rustix::fs::openat(CWD, "/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mounts = mounts.map_err(io::Error::from).map_err(failed("open the mount namespace"))?;
        let files: Vec<_> =
            [mounts.as_fd(), log.as_fd()].into_iter().chain(cgroup.iter().map(OwnedFd::as_fd)).collect();
        let connection = self.init(sandbox)?;
        match connection.call(launch, &files).await.map_err(failed("start the container"))? {
            (InitReply::Started, files) => {
                let pid = files.first().and_then(|file| sys::process::number(file.as_fd()));
                if let Some(container) = self.table().containers.get_mut(id) {
                    // It may have ended already.
                    if container.state == ContainerState::Created {
                        container.state = ContainerState::Running;
                        container.pid = pid;
                        let directory = state::open_directory(&container.record.directory).ok();
                        container.started =
                            directory.and_then(|one| state::read_record(one.as_fd(), state::STARTED).ok());
                    }
                }
                self.announce(sandbox, Some(id));
                Ok(())
            }
            (InitReply::Failed { message }, _) => {
                self.exited(sandbox, id);
                Err(RuntimeError::Invalid(message))
            }
            _ => Err(RuntimeError::Failed { operation: "start the container", why: "unexpected answer".to_owned() }),
        }
    }

    fn log_path(&self, container: &Container) -> Result<PathBuf, RuntimeError> {
        let directory = self.table().sandbox(&container.sandbox)?.record.config.log_directory.clone();
        Ok(directory.join(&container.record.config.log_path))
    }

    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), RuntimeError> {
        let container = self.table().container(id)?.clone();
        match container.state {
            ContainerState::Running => {}
            ContainerState::Exited => return Ok(()),
            // Its pod init may have ended before it could say that it was started, or that it has ended;
            // its processes may have outlived that.
            ContainerState::Created | ContainerState::Unknown => {
                return self.end_cgroup(&container.record.cgroup).await;
            }
        }
        let signal = match container.record.config.stop_signal {
            0 => libc::SIGTERM,
            signal => signal,
        };
        if !grace.is_zero() {
            self.signal(&container, signal).await?;
            if self.env.clock.timeout(grace, self.wait_until_ended(id)).await.is_ok() {
                return Ok(());
            }
        }
        self.signal(&container, libc::SIGKILL).await?;
        let ended = self.env.clock.timeout(KILL_TIMEOUT, self.wait_until_ended(id)).await;
        ended.map_err(|_| RuntimeError::Timeout(KILL_TIMEOUT))
    }

    async fn wait_until_ended(&self, id: &str) {
        self.wait_for(|table| table.containers.get(id).is_none_or(|one| one.state != ContainerState::Running)).await;
    }

    /// Sends a signal; a container that has ended meanwhile is as good.
    async fn signal(&self, container: &Container, signal: i32) -> Result<(), RuntimeError> {
        let id = &container.record.id;
        let request = InitRequest::Signal { container: id.clone(), signal };
        let answer = match self.init(&container.sandbox) {
            Ok(connection) => connection.call::<_, InitReply>(&request, &[]).await,
            Err(error) if self.has_ended(id) => {
                tracing::debug!(container = id, %error, "ended before it was signalled");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match answer {
            Ok((InitReply::Failed { message }, _)) if signal == libc::SIGKILL && !self.has_ended(id) => {
                tracing::debug!(container = id, message, "the pod does not know it any more");
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) if self.has_ended(id) => Ok(()),
            Err(error) => Err(failed("signal the container")(error)),
        }
    }

    pub async fn remove_container(self: &Arc<Self>, id: &str) -> Result<(), RuntimeError> {
        let Ok(container) = self.table().container(id).cloned() else { return Ok(()) };
        self.stop_container(id, Duration::ZERO).await?;
        self.end_cgroup(&container.record.cgroup).await?;
        self.discard(&container.record.directory);
        self.table().containers.remove(id);
        self.announce(&container.sandbox, Some(id));
        Ok(())
    }

    pub async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<(), RuntimeError> {
        let mut record = self.table().container(id)?.record.clone();
        self.ask(&SupervisorRequest::Limit { cgroup: record.cgroup.clone(), resources: resources.clone() }).await?;
        record.resources = resources;
        let fail = failed("write the container's record");
        let directory = state::open_directory(&record.directory).map_err(&fail)?;
        state::write_record(directory.as_fd(), state::CONTAINER, &record).map_err(&fail)?;
        if let Some(container) = self.table().containers.get_mut(id) {
            container.record = record;
        }
        Ok(())
    }

    pub async fn reopen_log(&self, id: &str) -> Result<(), RuntimeError> {
        let container = self.table().container(id)?.clone();
        let log = open_log(&self.log_path(&container)?).map_err(failed("open the container's log"))?;
        let request = InitRequest::ReopenLog { container: id.to_owned() };
        let connection = self.init(&container.sandbox)?;
        match connection.call(&request, &[log.as_fd()]).await.map_err(failed("reopen the log"))? {
            (InitReply::Failed { message }, _) => {
                Err(RuntimeError::Failed { operation: "reopen the log", why: message })
            }
            _ => Ok(()),
        }
    }
}

/// Refuses what could never run.
fn check(config: &ContainerConfig) -> Result<(), RuntimeError> {
    if config.args.is_empty() {
        return Err(RuntimeError::Invalid("no command specified".to_owned()));
    }
    if config.rootfs_layers.is_empty() {
        return Err(RuntimeError::Invalid("the image has no layers".to_owned()));
    }
    let relative = config.mounts.iter().find(|mount| !mount.container_path.is_absolute());
    match relative {
        Some(mount) => {
            Err(RuntimeError::Invalid(format!("mount path {} is not absolute", mount.container_path.display())))
        }
        None => Ok(()),
    }
}

fn write_container(path: &Path, record: &ContainerRecord) -> io::Result<()> {
    std::fs::create_dir(path)?;
    for name in ["root", "fs", "fs/upper", "fs/work"] {
        std::fs::create_dir(path.join(name))?;
    }
    let directory = state::open_directory(path)?;
    if let Seccomp::Localhost(profile) = &record.config.seccomp {
        let explain =
            |error| io::Error::other(format!("failed to load seccomp profile {}: {error}", profile.display()));
        let file = rustix::fs::openat(CWD, profile, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let text = state::read_open(file.map_err(io::Error::from).map_err(explain)?).map_err(explain)?;
        state::write_file(directory.as_fd(), state::SECCOMP, &text)?;
    }
    state::write_record(directory.as_fd(), state::CONTAINER, record)
}

fn open_log(path: &Path) -> io::Result<OwnedFd> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o640))?)
}

/// The cgroup's rule for a device node of the host; none for what is not one.
fn device(device: &crate::runtime::Device) -> Option<DeviceRule> {
    let found = rustix::fs::statat(CWD, &device.host_path, rustix::fs::AtFlags::empty()).ok()?;
    let character = match rustix::fs::FileType::from_raw_mode(found.st_mode) {
        rustix::fs::FileType::CharacterDevice => true,
        rustix::fs::FileType::BlockDevice => false,
        _ => return None,
    };
    let (major, minor) = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    Some(DeviceRule { character, major, minor, permissions: device.permissions.clone() })
}
