//! A runtime, an image store and a network in memory, for scenarios on a paused clock.

use crate::{Observed, Signal, Signals};
use base::Env;
use container::runtime::{
    BoxFuture, ContainerConfig, ContainerState, ContainerStatus, ExecOptions, ExecOutput, Reader, Resources, Runtime,
    RuntimeError, RuntimeEvent, SandboxConfig, SandboxStatus, Stats, Streams, Writer,
};
use images::{Image, ImageConfig, ImageError, ImageService, RegistryAuth};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sys::pod_network::{PodIdentity, PodNetwork, PodNetworkError};
use tokio::sync::broadcast;

pub struct FakeRuntime {
    env: Env,
    pub state: Mutex<RuntimeState>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Default)]
pub struct RuntimeState {
    pub sandboxes: BTreeMap<String, SandboxStatus>,
    pub containers: BTreeMap<String, ContainerStatus>,
    /// What was done, in order.
    pub log: Vec<String>,
    /// Exit codes that containers of these names end with right after their start.
    pub dies: BTreeMap<String, i32>,
    /// How long containers of these names take to end.
    pub slow: BTreeMap<String, Duration>,
    /// Containers of these names cannot be stopped.
    pub stuck: BTreeSet<String>,
    /// Exit codes of commands, by their first word.
    pub commands: BTreeMap<String, i32>,
    /// What containers, and pods as a whole, of these names use.
    pub stats: BTreeMap<String, Stats>,
    count: u32,
}

impl FakeRuntime {
    pub fn new(env: &Env) -> Arc<Self> {
        Arc::new(FakeRuntime { env: env.clone(), state: Mutex::default(), events: broadcast::channel(64).0 })
    }

    fn now(&self) -> i64 {
        i64::try_from(self.env.clock.now().as_nanosecond()).unwrap()
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// The newest container of this name ends.
    pub fn finish(&self, name: &str, exit_code: i32) {
        let finished_at = self.now();
        self.change(name, |status| {
            status.state = ContainerState::Exited;
            (status.exit_code, status.finished_at) = (exit_code, finished_at);
        });
    }

    /// The newest container of this name is lost out of sight.
    pub fn lose(&self, name: &str) {
        self.change(name, |status| status.state = ContainerState::Unknown);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut ContainerStatus)) {
        let mut state = self.state.lock().unwrap();
        let newest =
            state.containers.values_mut().filter(|status| status.name == name).max_by_key(|status| status.attempt);
        let status = newest.unwrap();
        change(status);
        let event = RuntimeEvent { sandbox: status.sandbox.clone(), container: Some(status.id.clone()) };
        drop(state);
        let _ = self.events.send(event);
    }

    fn missing<T>(what: &'static str, id: &str) -> Result<T, RuntimeError> {
        Err(RuntimeError::NotFound { what, id: id.to_owned() })
    }
}

impl Runtime for FakeRuntime {
    fn version(&self) -> BoxFuture<'_, Result<String, RuntimeError>> {
        Box::pin(async { Ok("fake".to_owned()) })
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.count += 1;
            let id = format!("s{}", state.count);
            state.log.push(format!("sandbox {}/{}", config.name, config.attempt));
            let netns = Some(PathBuf::from("/proc/self/ns/net"));
            let created_at = self.now();
            let status = SandboxStatus { id: id.clone(), config, ready: true, created_at, netns, addresses: vec![] };
            state.sandboxes.insert(id, status.clone());
            Ok(status)
        })
    }

    fn set_addresses<'a>(&'a self, id: &'a str, addresses: Vec<IpAddr>) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            match self.state.lock().unwrap().sandboxes.get_mut(id) {
                Some(sandbox) => {
                    sandbox.addresses = addresses;
                    Ok(())
                }
                None => Self::missing("sandbox", id),
            }
        })
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.log.push("stop sandbox".to_owned());
            match state.sandboxes.get_mut(id) {
                Some(sandbox) => {
                    sandbox.ready = false;
                    Ok(())
                }
                None => Self::missing("sandbox", id),
            }
        })
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            self.state.lock().unwrap().sandboxes.remove(id).map(drop).map_or_else(|| Self::missing("sandbox", id), Ok)
        })
    }

    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>, RuntimeError>> {
        Box::pin(async { Ok(self.state.lock().unwrap().sandboxes.values().cloned().collect()) })
    }

    fn update_sandbox_resources<'a>(
        &'a self,
        _sandbox: &'a str,
        _resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<String, RuntimeError>> {
        Box::pin(async move {
            let now = self.now();
            let mut state = self.state.lock().unwrap();
            state.count += 1;
            let id = format!("c{}", state.count);
            state.log.push(format!("create {}/{}", config.name, config.attempt));
            let status = ContainerStatus {
                id: id.clone(),
                sandbox: sandbox.to_owned(),
                name: config.name,
                attempt: config.attempt,
                image: config.image,
                image_ref: config.image_ref,
                labels: config.labels,
                annotations: config.annotations,
                state: ContainerState::Created,
                created_at: now,
                started_at: 0,
                finished_at: 0,
                exit_code: 0,
                reason: String::new(),
                message: String::new(),
                log_path: config.log_path,
                mounts: config.mounts,
                pid: None,
                resources: config.resources,
                user: None,
            };
            state.containers.insert(id.clone(), status);
            Ok(id)
        })
    }

    fn start_container<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let now = self.now();
            let (name, dies) = {
                let mut state = self.state.lock().unwrap();
                let Some(status) = state.containers.get_mut(id) else { return Self::missing("container", id) };
                status.state = ContainerState::Running;
                status.started_at = now;
                let name = status.name.clone();
                state.log.push(format!("start {name}"));
                let dies = state.dies.get(&name).copied();
                (name, dies)
            };
            if let Some(code) = dies {
                self.finish(&name, code);
            }
            Ok(())
        })
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let (name, takes) = {
                let mut state = self.state.lock().unwrap();
                let Some(status) = state.containers.get(id).cloned() else { return Self::missing("container", id) };
                if status.state == ContainerState::Exited {
                    return Ok(());
                }
                state.log.push(format!("stop {} {}s", status.name, grace.as_secs()));
                if state.stuck.contains(&status.name) {
                    return Err(RuntimeError::Unreachable("stuck".to_owned()));
                }
                let takes = state.slow.get(&status.name).copied().unwrap_or_default();
                (status.name, takes)
            };
            self.env.clock.sleep(takes.min(grace)).await;
            self.finish(&name, if takes > grace { 137 } else { 143 });
            self.state.lock().unwrap().log.push(format!("ended {name}"));
            Ok(())
        })
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            self.state
                .lock()
                .unwrap()
                .containers
                .remove(id)
                .map(drop)
                .map_or_else(|| Self::missing("container", id), Ok)
        })
    }

    fn containers(&self) -> BoxFuture<'_, Result<Vec<ContainerStatus>, RuntimeError>> {
        Box::pin(async { Ok(self.state.lock().unwrap().containers.values().cloned().collect()) })
    }

    fn container<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        Box::pin(async move {
            self.state.lock().unwrap().containers.get(id).cloned().map_or_else(|| Self::missing("container", id), Ok)
        })
    }

    fn update_container_resources<'a>(
        &'a self,
        _container: &'a str,
        _resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn reopen_log<'a>(&'a self, _container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn exec_sync<'a>(
        &'a self,
        _container: &'a str,
        command: Vec<String>,
        _timeout: Option<Duration>,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            let word = command.first().cloned().unwrap_or_default();
            state.log.push(format!("exec {word}"));
            let exit_code = state.commands.get(&word).copied().unwrap_or(0);
            Ok(ExecOutput { stdout: b"out".to_vec(), stderr: Vec::new(), exit_code })
        })
    }

    fn exec<'a>(&'a self, id: &'a str, _options: ExecOptions) -> BoxFuture<'a, Result<Streams, RuntimeError>> {
        Box::pin(async move { Self::missing("container", id) })
    }

    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Streams, RuntimeError>> {
        Box::pin(async move { Self::missing("container", id) })
    }

    fn port_forward<'a>(&'a self, id: &'a str, _port: u16) -> BoxFuture<'a, Result<(Reader, Writer), RuntimeError>> {
        Box::pin(async move { Self::missing("sandbox", id) })
    }

    fn stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let name = &state.containers[container].name;
            Ok(state.stats.get(name).cloned().unwrap_or_default())
        })
    }

    fn sandbox_stats<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let name = &state.sandboxes[sandbox].config.name;
            Ok(state.stats.get(name).cloned().unwrap_or_default())
        })
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

/// What is left, as a test has it; of everything else there is no end.
#[derive(Default)]
pub struct FakeSignals(pub Mutex<BTreeMap<Signal, Observed>>);

impl Signals for FakeSignals {
    fn observe(&self, signal: Signal) -> Option<Observed> {
        self.0.lock().unwrap().get(&signal).copied()
    }
}

/// Every image is there, unless its name says `missing`.
pub struct FakeImages;

impl ImageService for FakeImages {
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        _auths: &'a [RegistryAuth],
    ) -> images::service::BoxFuture<'a, Result<Image, ImageError>> {
        Box::pin(async move {
            match self.present(reference).await? {
                Some(image) => Ok(image),
                None => Err(ImageError::NotFound { image: reference.to_owned() }),
            }
        })
    }

    fn present<'a>(&'a self, reference: &'a str) -> images::service::BoxFuture<'a, Result<Option<Image>, ImageError>> {
        Box::pin(async move {
            let config = ImageConfig { cmd: vec!["run".to_owned()], ..ImageConfig::default() };
            let image = Image { id: format!("sha256:{reference}"), config, ..Image::default() };
            Ok((!reference.contains("missing")).then_some(image))
        })
    }

    fn list(&self) -> images::service::BoxFuture<'_, Result<Vec<Image>, ImageError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove<'a>(&'a self, _reference: &'a str) -> images::service::BoxFuture<'a, Result<(), ImageError>> {
        Box::pin(async { Ok(()) })
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("/")
    }
}

/// One address for all: scenarios have few pods.
pub struct FakeNetwork;

impl PodNetwork for FakeNetwork {
    fn setup<'a>(
        &'a self,
        _pod: &'a PodIdentity,
        _netns: &'a Path,
    ) -> sys::pod_network::BoxFuture<'a, Result<Vec<IpAddr>, PodNetworkError>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }

    fn teardown<'a>(&'a self, _pod: &'a PodIdentity) -> sys::pod_network::BoxFuture<'a, Result<(), PodNetworkError>> {
        Box::pin(async { Ok(()) })
    }

    fn restore<'a>(
        &'a self,
        _pods: &'a [(PodIdentity, Vec<IpAddr>)],
    ) -> sys::pod_network::BoxFuture<'a, Result<(), PodNetworkError>> {
        Box::pin(async { Ok(()) })
    }

    fn ready(&self) -> Result<(), PodNetworkError> {
        Ok(())
    }
}

/// Scenarios mount nothing.
pub struct NoMounts;

impl volumes::Mounts for NoMounts {
    fn share(&self, _directory: &Path) -> Result<(), volumes::VolumeError> {
        Ok(())
    }

    fn tmpfs<'a>(
        &'a self,
        _target: &'a Path,
        _size: Option<u64>,
    ) -> volumes::BoxFuture<'a, Result<(), volumes::VolumeError>> {
        Box::pin(async { Ok(()) })
    }

    fn layers<'a>(&'a self, _: &'a [PathBuf], _: &'a Path) -> volumes::BoxFuture<'a, Result<(), volumes::VolumeError>> {
        Box::pin(async { Ok(()) })
    }

    fn bind<'a>(
        &'a self,
        _source: &'a std::os::fd::OwnedFd,
        _target: &'a Path,
    ) -> volumes::BoxFuture<'a, Result<(), volumes::VolumeError>> {
        Box::pin(async { Ok(()) })
    }

    fn unmount<'a>(&'a self, _target: &'a Path) -> volumes::BoxFuture<'a, Result<(), volumes::VolumeError>> {
        Box::pin(async { Ok(()) })
    }

    fn below<'a>(&'a self, _directory: &'a Path) -> volumes::BoxFuture<'a, Result<Vec<PathBuf>, volumes::VolumeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
