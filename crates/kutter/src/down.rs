//! `kutter down`: ends an instance and all it runs, and leaves nothing of it in the kernel. Its
//! data stays.

use crate::instance::{self, Instance};
use crate::node;
use anyhow::Context as _;
use base::Env;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long the process may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

pub fn run(data_dir: &Path) -> anyhow::Result<ExitCode> {
    base::logging::init("warn");
    let env = Env::real();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let Some(found) = Instance::read(data_dir)? else {
            println!("nothing was ever started in {}", data_dir.display());
            return Ok(ExitCode::SUCCESS);
        };
        stop_process(&env, &found).await?;
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

/// Takes off what is still mounted below the data dir: the volumes of pods.
fn detach_below(data_dir: &Path) -> anyhow::Result<()> {
    let Ok(data_dir) = data_dir.canonicalize() else { return Ok(()) };
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(plain);
    let ours: Vec<PathBuf> = points.filter(|point| point.starts_with(&data_dir) && *point != data_dir).collect();
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

/// Asks the running process to stop, if it is there and really ours.
async fn stop_process(env: &Env, found: &Instance) -> anyhow::Result<()> {
    let Some(pid) = i32::try_from(found.pid).ok().and_then(Pid::from_raw).filter(|_| found.is_running()) else {
        return Ok(());
    };
    match rustix::process::kill_process(pid, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot stop process {}", found.pid)),
    }
    let deadline = env.clock.instant() + PATIENCE;
    while found.is_running() {
        anyhow::ensure!(env.clock.instant() < deadline, "process {} does not stop", found.pid);
        env.clock.sleep(LOOK).await;
    }
    Ok(())
}
