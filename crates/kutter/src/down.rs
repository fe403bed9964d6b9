//! `kutter down`: ends an instance and all it runs, and leaves nothing of it in the kernel. Its
//! data stays.

use crate::instance::{self, Instance};
use crate::node;
use crate::process::Process;
use anyhow::Context as _;
use base::Env;
use rustix::mount::UnmountFlags;
use rustix::process::Signal;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use sys::namespace::Kinds;

/// How long the process may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

pub fn run(data_dir: &Path) -> anyhow::Result<ExitCode> {
    base::logging::init("warn");
    let Some(found) = Instance::read(data_dir)? else {
        println!("nothing was ever started in {}", data_dir.display());
        return Ok(ExitCode::SUCCESS);
    };
    let data_dir = &data_dir.canonicalize().with_context(|| format!("cannot find {}", data_dir.display()))?;
    enter_network(&found)?;
    // Its volumes are mounted where its supervisor lives.
    container::join_mounts(&node::containers_dir(data_dir)).context("cannot go to the mounts of the instance")?;
    let env = Env::real();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        for process in std::iter::once(found.process).chain(found.node_process) {
            stop(&env, process).await?;
        }
        container::shutdown_all(&node::containers_dir(data_dir), &env).await.context("cannot end the containers")?;
        detach_below(data_dir)?;
        service_proxy::remove(&found.id).context("cannot remove the service rules")?;
        network::remove(&found.id).context("cannot remove the pod network")?;
        dns::remove(&found.id).context("cannot remove the DNS address")?;
        instance::forget(data_dir)?;
        println!("stopped; the data stays in {}", data_dir.display());
        Ok(ExitCode::SUCCESS)
    })
}

/// Goes where the instance runs: its tables, routes and links are in that network namespace, and
/// this command may have been called from another. Called before there is a second thread.
fn enter_network(found: &Instance) -> anyhow::Result<()> {
    let processes = std::iter::once(found.process).chain(found.node_process);
    let Some(process) = processes.into_iter().find(|process| process.is_running()) else { return Ok(()) };
    let path = format!("/proc/{}/ns/net", process.pid);
    let namespace = std::fs::File::open(&path).with_context(|| format!("cannot open {path}"))?;
    sys::namespace::join(namespace.as_fd(), Kinds::NET).with_context(|| format!("cannot enter {path}"))
}

/// Takes off what is still mounted below the data dir, a canonical path: the volumes of pods.
fn detach_below(data_dir: &Path) -> anyhow::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(plain);
    let ours: Vec<PathBuf> = points.filter(|point| point.starts_with(data_dir) && *point != data_dir).collect();
    // Later mounts lie on or in earlier ones.
    for point in ours.iter().rev() {
        match rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // One above it took it along.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount {}", point.display())),
        }
    }
    Ok(())
}

/// mountinfo writes a blank as `\040`, and a few others like it.
fn plain(field: &str) -> PathBuf {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(codes.iter().fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain)))
}

/// Asks a process to stop and waits for it.
async fn stop(env: &Env, process: Process) -> anyhow::Result<()> {
    process.signal(Signal::TERM).with_context(|| format!("cannot stop process {}", process.pid))?;
    let deadline = env.clock.instant() + PATIENCE;
    while process.is_running() {
        anyhow::ensure!(env.clock.instant() < deadline, "process {} does not stop", process.pid);
        env.clock.sleep(LOOK).await;
    }
    Ok(())
}
