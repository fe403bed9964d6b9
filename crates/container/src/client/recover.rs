//! Finding what runs after a start of kutter, and following each pod init from then on.

use super::Inner;
use super::connection::{Connection, failed};
use super::table::{Container, Sandbox};
use crate::protocol::{INIT_SOCKET, InitReply, InitRequest};
use crate::runtime::{ContainerState, RuntimeError};
use crate::state::{self, ContainerRecord, ExitRecord, SandboxRecord, StartedRecord};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// A pod init answers within milliseconds unless the host is on its knees.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Ids of running containers and their host pids.
type Running = BTreeMap<String, Option<i32>>;

impl Inner {
    /// Reads the state directory and asks every pod init what runs.
    pub async fn recover(self: &Arc<Self>) -> Result<(), RuntimeError> {
        self.empty_trash();
        for entry in std::fs::read_dir(self.layout.sandboxes()).map_err(failed("read the state directory"))?.flatten() {
            let path = entry.path();
            let record = state::open_directory(&path)
                .and_then(|directory| state::read_record::<SandboxRecord>(directory.as_fd(), state::SANDBOX));
            match record {
                Ok(record) => self.recover_sandbox(record).await,
                Err(error) => {
                    // Kutter ended while making it: nothing has run in it.
                    warn!(path = %path.display(), %error, "removing a sandbox that was never finished");
                    self.discard(&path);
                }
            }
        }
        Ok(())
    }

    async fn recover_sandbox(self: &Arc<Self>, record: SandboxRecord) {
        let id = record.id.clone();
        let containers = std::fs::read_dir(self.layout.containers(&id)).into_iter().flatten().flatten();
        {
            let mut table = self.table();
            for entry in containers {
                match read_container(&id, &entry.path()) {
                    Ok(container) => drop(table.containers.insert(container.record.id.clone(), container)),
                    Err(error) => warn!(path = %entry.path().display(), %error, "a container cannot be read"),
                }
            }
            table.sandboxes.insert(id.clone(), Sandbox { record, ready: false });
        }
        if let Err(error) = self.follow(&id).await {
            debug!(sandbox = id, %error, "the pod has ended");
        }
    }

    /// Connects to a pod init, learns what runs, and goes on listening in a task.
    pub async fn follow(self: &Arc<Self>, sandbox: &str) -> Result<(), RuntimeError> {
        let (connection, running) = self.greet_init(sandbox).await?;
        self.take_over(sandbox, &running);
        let (inner, sandbox) = (self.clone(), sandbox.to_owned());
        self.env.tasks.spawn("pod watch", async move { inner.listen(&sandbox, connection).await });
        Ok(())
    }

    /// A watching connection to a pod init, and its running containers with their pids.
    async fn greet_init(&self, sandbox: &str) -> Result<(Connection, Running), RuntimeError> {
        let connection = self.init(sandbox)?;
        let greeting = async {
            match connection.call(&InitRequest::Hello, &[]).await?.0 {
                InitReply::Failed { message } => return Ok(Err(message)),
                _ => connection.send(&InitRequest::Watch, &[]).await?,
            }
            let mut running = BTreeMap::new();
            loop {
                match connection.receive::<InitReply>().await? {
                    (InitReply::Running { container }, files) => {
                        running.insert(container, files.first().and_then(|file| sys::process::number(file.as_fd())));
                    }
                    (InitReply::Watching, _) => return Ok(Ok(running)),
                    _ => {}
                }
            }
        };
        let greeted: std::io::Result<Result<Running, String>> =
            match self.env.clock.timeout(ANSWER_TIMEOUT, greeting).await {
                Ok(greeted) => greeted,
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            };
        let running = greeted.map_err(failed("reach the pod"))?.map_err(RuntimeError::Invalid)?;
        Ok((connection, running))
    }

    fn take_over(&self, sandbox: &str, running: &Running) {
        let mut table = self.table();
        for (id, pid) in running {
            if let Some(container) = table.containers.get_mut(id) {
                container.state = ContainerState::Running;
                container.pid = *pid;
                container.exit = None;
            }
        }
        if let Some(sandbox) = table.sandboxes.get_mut(sandbox) {
            sandbox.ready = true;
        }
    }

    async fn listen(&self, sandbox: &str, mut connection: Connection) {
        loop {
            while let Ok((reply, _)) = connection.receive::<InitReply>().await {
                if let InitReply::Exited { container, .. } = reply {
                    self.exited(sandbox, &container);
                }
            }
            // The pod has ended, or has closed on us because we were too slow.
            let again = self.greet_init(sandbox).await;
            let known = again.as_ref().map(|(_, running)| running.clone()).unwrap_or_default();
            // What ended meanwhile has its record on disk.
            for container in self.running_in(sandbox).iter().filter(|id| !known.contains_key(*id)) {
                self.exited(sandbox, container);
            }
            match again {
                Ok((next, _)) => connection = next,
                Err(_) => break,
            }
        }
        self.table().lose(sandbox);
        self.announce(sandbox, None);
    }

    fn running_in(&self, sandbox: &str) -> Vec<String> {
        let table = self.table();
        let of = table.containers.values().filter(|one| one.sandbox == sandbox);
        of.filter(|one| one.state == ContainerState::Running).map(|one| one.record.id.clone()).collect()
    }

    /// A container has ended: its record says how.
    pub fn exited(&self, sandbox: &str, id: &str) {
        let read = read_container(sandbox, &self.layout.container(sandbox, id));
        if let Some(container) = self.table().containers.get_mut(id) {
            let (started, exit) = read.map(|read| (read.started, read.exit)).unwrap_or_default();
            container.started = started.or(container.started.take());
            container.pid = None;
            container.state = if exit.is_some() { ContainerState::Exited } else { ContainerState::Unknown };
            container.exit = exit;
        }
        self.announce(sandbox, Some(id));
    }

    /// A new connection to a pod init.
    pub fn init(&self, sandbox: &str) -> Result<Connection, RuntimeError> {
        Connection::open(&self.layout.sandbox(sandbox), INIT_SOCKET).map_err(failed("reach the pod"))
    }

    /// Takes a directory out of sight at once and deletes it in time.
    pub fn discard(&self, path: &Path) {
        let grave = self.layout.trash().join(self.new_id());
        if std::fs::rename(path, &grave).is_ok() {
            drop(self.env.tasks.spawn_blocking(move || std::fs::remove_dir_all(grave)));
        }
    }

    fn empty_trash(&self) {
        for entry in std::fs::read_dir(self.layout.trash()).into_iter().flatten().flatten() {
            drop(self.env.tasks.spawn_blocking(move || std::fs::remove_dir_all(entry.path())));
        }
    }
}

fn read_container(sandbox: &str, path: &Path) -> std::io::Result<Container> {
    let directory = state::open_directory(path)?;
    let record: ContainerRecord = state::read_record(directory.as_fd(), state::CONTAINER)?;
    let started = state::read_record::<StartedRecord>(directory.as_fd(), state::STARTED).ok();
    let exit = state::read_record::<ExitRecord>(directory.as_fd(), state::EXIT).ok();
    let state = match (&started, &exit) {
        (_, Some(_)) => ContainerState::Exited,
        // Corrected at once if its pod init still has it.
        (Some(_), None) => ContainerState::Unknown,
        (None, None) => ContainerState::Created,
    };
    Ok(Container { sandbox: sandbox.to_owned(), record, started, exit, state, pid: None })
}
