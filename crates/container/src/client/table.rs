//! What runs, as kutter knows it: filled from disk at the start, kept by what pod inits tell.

use crate::runtime::{ContainerState, ContainerStatus, RuntimeError, SandboxStatus};
use crate::state::{ContainerRecord, ExitRecord, SandboxRecord, StartedRecord};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Table {
    pub sandboxes: BTreeMap<String, Sandbox>,
    pub containers: BTreeMap<String, Container>,
}

#[derive(Clone)]
pub struct Sandbox {
    pub record: SandboxRecord,
    pub ready: bool,
}

#[derive(Clone)]
pub struct Container {
    pub sandbox: String,
    pub record: ContainerRecord,
    pub started: Option<StartedRecord>,
    pub exit: Option<ExitRecord>,
    pub state: ContainerState,
    pub pid: Option<i32>,
}

impl Table {
    pub fn sandbox(&self, id: &str) -> Result<&Sandbox, RuntimeError> {
        self.sandboxes.get(id).ok_or_else(|| RuntimeError::NotFound { what: "sandbox", id: id.to_owned() })
    }

    pub fn container(&self, id: &str) -> Result<&Container, RuntimeError> {
        self.containers.get(id).ok_or_else(|| RuntimeError::NotFound { what: "container", id: id.to_owned() })
    }

    /// The pod init is gone: what ran in it has ended or cannot be known.
    pub fn lose(&mut self, sandbox: &str) {
        if let Some(sandbox) = self.sandboxes.get_mut(sandbox) {
            sandbox.ready = false;
        }
        for container in self.containers.values_mut().filter(|one| one.sandbox == sandbox) {
            if container.state == ContainerState::Running {
                container.state = ContainerState::Unknown;
                container.pid = None;
            }
        }
    }
}

impl Sandbox {
    pub fn status(&self) -> SandboxStatus {
        let record = &self.record;
        let netns = !record.config.host_network && record.pid > 0 && self.ready;
        SandboxStatus {
            id: record.id.clone(),
            config: record.config.clone(),
            ready: self.ready,
            created_at: record.created_at,
            netns: netns.then(|| format!("/proc/{}/ns/net", record.pid).into()),
            addresses: record.addresses.clone(),
        }
    }
}

impl Container {
    pub fn status(&self) -> ContainerStatus {
        let config = &self.record.config;
        let exit = match (&self.exit, self.state) {
            (Some(exit), _) => exit.clone(),
            // As containerd says it of a container it lost sight of.
            (None, ContainerState::Unknown) => {
                ExitRecord { exit_code: 255, reason: "Unknown".to_owned(), ..ExitRecord::default() }
            }
            (None, _) => ExitRecord::default(),
        };
        let started = self.started.as_ref();
        let started_at = if self.exit.is_some() { exit.started_at } else { started.map_or(0, |one| one.started_at) };
        ContainerStatus {
            id: self.record.id.clone(),
            sandbox: self.sandbox.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image: config.image.clone(),
            image_ref: config.image_ref.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            state: self.state,
            created_at: self.record.created_at,
            started_at,
            finished_at: exit.finished_at,
            exit_code: exit.exit_code,
            reason: exit.reason,
            message: exit.message,
            log_path: config.log_path.clone(),
            mounts: config.mounts.clone(),
            pid: self.pid,
            resources: self.record.resources.clone(),
            user: started.map(|one| (one.uid, one.gid, one.groups.clone())),
        }
    }
}
