//! Sandboxes: making, addressing, stopping, removing.

use super::Inner;
use super::connection::failed;
use super::table::Sandbox;
use crate::protocol::{InitRequest, SandboxPlan, SupervisorReply, SupervisorRequest};
use crate::runtime::{ContainerState, Resources, RuntimeError, SandboxConfig, SandboxStatus};
use crate::state::{self, SandboxRecord};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// How long a killed pod may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl Inner {
    pub async fn run_sandbox(self: &Arc<Self>, config: SandboxConfig) -> Result<SandboxStatus, RuntimeError> {
        let id = {
            let _one_at_a_time = self.creating.lock().await;
            let same =
                |one: &&Sandbox| one.record.config.uid == config.uid && one.record.config.attempt == config.attempt;
            if let Some(found) = self.table().sandboxes.values().find(same) {
                if found.ready {
                    return Ok(found.status());
                }
                return Err(RuntimeError::Failed {
                    operation: "run the sandbox",
                    why: format!("attempt {} of pod {} has ended", config.attempt, config.uid),
                });
            }
            self.record_sandbox(config)?
        };
        match self.start_sandbox(&id).await {
            Ok(status) => Ok(status),
            Err(error) => {
                let _ = self.stop_sandbox(&id).await;
                let _ = self.remove_sandbox(&id).await;
                Err(error)
            }
        }
    }

    /// Writes down a new sandbox, before anything runs in it.
    fn record_sandbox(&self, config: SandboxConfig) -> Result<String, RuntimeError> {
        let id = self.new_id();
        let fail = failed("make the sandbox's directory");
        if config.cgroup_parent.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(RuntimeError::Invalid(format!("invalid cgroup parent {:?}", config.cgroup_parent)));
        }
        let cgroup = format!("kutter-{}/{}", self.options.instance, config.cgroup_parent);
        let record =
            SandboxRecord { id: id.clone(), config, created_at: self.now(), addresses: Vec::new(), pid: 0, cgroup };
        std::fs::create_dir_all(self.layout.containers(&id)).map_err(&fail)?;
        let directory = state::open_directory(&self.layout.sandbox(&id)).map_err(&fail)?;
        let hostname = format!("{}\n", record.config.hostname);
        // Readable by all users of the pod.
        for (name, text) in [(state::RESOLV_CONF, &record.config.resolv_conf), (state::HOSTNAME, &hostname)] {
            state::write_file(directory.as_fd(), name, text.as_bytes()).map_err(&fail)?;
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::chmodat(&directory, name, mode, rustix::fs::AtFlags::empty())
                .map_err(|error| fail(error.into()))?;
        }
        state::write_record(directory.as_fd(), state::SANDBOX, &record).map_err(&fail)?;
        self.table().sandboxes.insert(id.clone(), Sandbox { record, ready: false });
        Ok(id)
    }

    async fn start_sandbox(self: &Arc<Self>, id: &str) -> Result<SandboxStatus, RuntimeError> {
        let mut record = self.table().sandbox(id)?.record.clone();
        let config = &record.config;
        let plan = SandboxPlan {
            id: id.to_owned(),
            cgroup: record.cgroup.clone(),
            init_cgroup: init_cgroup(&record),
            hostname: config.hostname.clone(),
            host_network: config.host_network,
            host_pid: config.host_pid,
            host_ipc: config.host_ipc,
            share_process_namespace: config.share_process_namespace,
            sysctls: config.sysctls.clone(),
            resources: config.resources.clone(),
        };
        let (reply, _) = self.ask(&SupervisorRequest::RunSandbox(plan)).await?;
        let SupervisorReply::Sandbox { pid } = reply else {
            return Err(RuntimeError::Failed { operation: "run the sandbox", why: "unexpected answer".to_owned() });
        };
        record.pid = pid;
        self.save_sandbox(record)?;
        self.follow(id).await?;
        let status = self.table().sandbox(id)?.status();
        self.announce(id, None);
        Ok(status)
    }

    fn save_sandbox(&self, record: SandboxRecord) -> Result<(), RuntimeError> {
        let fail = failed("write the sandbox's record");
        let directory = state::open_directory(&self.layout.sandbox(&record.id)).map_err(&fail)?;
        state::write_record(directory.as_fd(), state::SANDBOX, &record).map_err(&fail)?;
        if let Some(sandbox) = self.table().sandboxes.get_mut(&record.id) {
            sandbox.record = record;
        }
        Ok(())
    }

    pub fn set_addresses(&self, sandbox: &str, addresses: Vec<IpAddr>) -> Result<(), RuntimeError> {
        let mut record = self.table().sandbox(sandbox)?.record.clone();
        record.addresses = addresses;
        self.save_sandbox(record)
    }

    pub async fn update_sandbox_resources(&self, sandbox: &str, resources: Resources) -> Result<(), RuntimeError> {
        let mut record = self.table().sandbox(sandbox)?.record.clone();
        self.ask(&SupervisorRequest::Limit { cgroup: record.cgroup.clone(), resources: resources.clone() }).await?;
        record.config.resources = resources;
        self.save_sandbox(record)
    }

    pub async fn stop_sandbox(&self, sandbox: &str) -> Result<(), RuntimeError> {
        let record = self.table().sandbox(sandbox)?.record.clone();
        if let Ok(connection) = self.init(sandbox) {
            let stop = async {
                connection.send(&InitRequest::Stop, &[]).await?;
                while connection.receive::<crate::protocol::InitReply>().await.is_ok() {}
                std::io::Result::Ok(())
            };
            // Whether it obeyed shows below.
            let _ = self.env.clock.timeout(STOP_TIMEOUT, stop).await;
        }
        self.remove_cgroups(sandbox, &record).await?;
        let _ = self
            .env
            .clock
            .timeout(
                STOP_TIMEOUT,
                self.wait_for(|table| table.sandboxes.get(sandbox).is_none_or(|sandbox| !sandbox.ready)),
            )
            .await;
        self.table().lose(sandbox);
        self.announce(sandbox, None);
        Ok(())
    }

    /// Kills what a sandbox left and removes its cgroups. The pod's own stays as long as another
    /// sandbox of the pod lives in it.
    async fn remove_cgroups(&self, sandbox: &str, record: &SandboxRecord) -> Result<(), RuntimeError> {
        let (mut cgroups, shared) = {
            let table = self.table();
            let own = table.containers.values().filter(|one| one.sandbox == sandbox);
            let other = |one: &&Sandbox| one.record.id != sandbox && one.record.cgroup == record.cgroup && one.ready;
            let own: Vec<String> = own.map(|one| one.record.cgroup.clone()).collect();
            (own, table.sandboxes.values().any(|one| other(&one)))
        };
        cgroups.push(if shared { init_cgroup(record) } else { record.cgroup.clone() });
        for cgroup in cgroups {
            self.end_cgroup(&cgroup).await?;
        }
        Ok(())
    }

    pub async fn remove_sandbox(self: &Arc<Self>, sandbox: &str) -> Result<(), RuntimeError> {
        let known = match self.table().sandboxes.get(sandbox) {
            Some(known) => known.clone(),
            None => return Ok(()),
        };
        if known.ready {
            self.stop_sandbox(sandbox).await?;
        }
        let containers: Vec<String> = {
            let table = self.table();
            table.containers.values().filter(|one| one.sandbox == sandbox).map(|one| one.record.id.clone()).collect()
        };
        for container in containers {
            self.remove_container(&container).await?;
        }
        self.discard(&self.layout.sandbox(sandbox));
        self.table().sandboxes.remove(sandbox);
        self.announce(sandbox, None);
        Ok(())
    }

    /// Waits until the table is as wanted.
    pub async fn wait_for(&self, wanted: impl Fn(&super::table::Table) -> bool) {
        let mut changes = self.changed.subscribe();
        while !wanted(&self.table()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// True when the container does not run, or is not known.
    pub fn has_ended(&self, container: &str) -> bool {
        self.table().containers.get(container).is_none_or(|one| one.state != ContainerState::Running)
    }
}

/// Of the pod init alone; a pod that is made anew has one per attempt.
fn init_cgroup(record: &SandboxRecord) -> String {
    format!("{}/init-{}", record.cgroup, record.id)
}
