//! Kutter's side of the runtime: the trait, the table of what runs, the ways to supervisor and
//! pod inits. Called by the kubelet; owns nothing that is lost when kutter ends.

mod connection;
mod containers;
pub mod in_use;
mod link;
mod recover;
mod sandboxes;
pub mod shutdown;
pub(crate) mod stats;
mod streams;
mod table;

use crate::runtime::{
    BoxFuture, ContainerConfig, ContainerStatus, ExecOptions, ExecOutput, Reader, Resources, Runtime, RuntimeError,
    RuntimeEvent, SandboxConfig, SandboxStatus, Stats, Streams, Writer,
};
use crate::state::Layout;
use connection::{Connection, failed};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::Table;

/// Events kept for a slow reader.
const EVENTS: usize = 1024;

#[derive(Clone)]
pub struct SupervisorOptions {
    /// What is executed with [`SUPERVISOR_ARGUMENT`](crate::SUPERVISOR_ARGUMENT): this program.
    pub executable: PathBuf,
    pub state_dir: PathBuf,
    /// Names cgroups, so that two kutters never touch each other's: `kutter-<instance>`.
    pub instance: String,
}

/// The embedded runtime.
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    options: SupervisorOptions,
    layout: Layout,
    env: base::Env,
    table: Mutex<Table>,
    /// Goes up with every change of the table.
    changed: tokio::sync::watch::Sender<u64>,
    events: tokio::sync::broadcast::Sender<RuntimeEvent>,
    link: tokio::sync::Mutex<Option<Connection>>,
    /// One at a time per node: making sandboxes and containers looks whether they exist first.
    creating: tokio::sync::Mutex<()>,
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, sandbox: &str, container: Option<&str>) {
        self.changed.send_modify(|generation| *generation += 1);
        let event = RuntimeEvent { sandbox: sandbox.to_owned(), container: container.map(str::to_owned) };
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    /// 64 hexadecimal digits.
    fn new_id(&self) -> String {
        (0..4).map(|_| format!("{:016x}", self.env.rng.u64(..))).collect()
    }

    fn now(&self) -> i64 {
        i64::try_from(self.env.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }
}

impl Supervisor {
    /// Finds what runs already and reaches, or starts, the supervisor.
    pub async fn start(options: SupervisorOptions, env: base::Env) -> Result<Arc<Supervisor>, RuntimeError> {
        let layout = Layout { root: options.state_dir.clone() };
        for directory in [layout.sandboxes(), layout.trash()] {
            std::fs::create_dir_all(&directory).map_err(failed("make the state directory"))?;
        }
        std::fs::write(layout.root.join(shutdown::INSTANCE), &options.instance)
            .map_err(failed("write the state directory"))?;
        let inner = Arc::new(Inner {
            options,
            layout,
            env,
            table: Mutex::default(),
            changed: tokio::sync::watch::Sender::new(0),
            events: tokio::sync::broadcast::Sender::new(EVENTS),
            link: tokio::sync::Mutex::new(None),
            creating: tokio::sync::Mutex::new(()),
        });
        inner.recover().await?;
        let connection = inner.reach().await?;
        *inner.link.lock().await = Some(connection);
        inner.env.tasks.spawn("supervisor watch", inner.clone().keep());
        Ok(Arc::new(Supervisor { inner }))
    }
}

impl Runtime for Supervisor {
    fn version(&self) -> BoxFuture<'_, Result<String, RuntimeError>> {
        Box::pin(async { Ok(crate::supervisor::build().to_owned()) })
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>> {
        Box::pin(self.inner.run_sandbox(config))
    }

    fn set_addresses<'a>(
        &'a self,
        sandbox: &'a str,
        addresses: Vec<IpAddr>,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move { self.inner.set_addresses(sandbox, addresses) })
    }

    fn stop_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.stop_sandbox(sandbox))
    }

    fn remove_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.remove_sandbox(sandbox))
    }

    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>, RuntimeError>> {
        Box::pin(async { Ok(self.inner.table().sandboxes.values().map(table::Sandbox::status).collect()) })
    }

    fn update_sandbox_resources<'a>(
        &'a self,
        sandbox: &'a str,
        resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.update_sandbox_resources(sandbox, resources))
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<String, RuntimeError>> {
        Box::pin(self.inner.create_container(sandbox, config))
    }

    fn start_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.start_container(container))
    }

    fn stop_container<'a>(&'a self, container: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.stop_container(container, grace))
    }

    fn remove_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.remove_container(container))
    }

    fn containers(&self) -> BoxFuture<'_, Result<Vec<ContainerStatus>, RuntimeError>> {
        Box::pin(async { Ok(self.inner.table().containers.values().map(table::Container::status).collect()) })
    }

    fn container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        Box::pin(async move { Ok(self.inner.table().container(container)?.status()) })
    }

    fn update_container_resources<'a>(
        &'a self,
        container: &'a str,
        resources: Resources,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.update_container_resources(container, resources))
    }

    fn reopen_log<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.inner.reopen_log(container))
    }

    fn exec_sync<'a>(
        &'a self,
        container: &'a str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>> {
        Box::pin(self.inner.exec_sync(container, command, timeout))
    }

    fn exec<'a>(&'a self, container: &'a str, options: ExecOptions) -> BoxFuture<'a, Result<Streams, RuntimeError>> {
        Box::pin(self.inner.exec(container, options))
    }

    fn attach<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Streams, RuntimeError>> {
        Box::pin(self.inner.attach(container))
    }

    fn port_forward<'a>(
        &'a self,
        sandbox: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<(Reader, Writer), RuntimeError>> {
        Box::pin(self.inner.port_forward(sandbox, port))
    }

    fn stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>> {
        Box::pin(self.inner.container_stats(container))
    }

    fn sandbox_stats<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, Result<Stats, RuntimeError>> {
        Box::pin(self.inner.sandbox_stats(sandbox))
    }

    fn events(&self) -> tokio::sync::broadcast::Receiver<RuntimeEvent> {
        self.inner.events.subscribe()
    }
}
