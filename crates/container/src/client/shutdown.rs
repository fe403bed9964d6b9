//! Ending an instance for good: every pod, the supervisor, all cgroups. For `kutter down`, with no
//! kutter running.

use super::connection::{Connection, failed};
use crate::protocol::{INIT_SOCKET, InitReply, InitRequest, SUPERVISOR_SOCKET, SupervisorRequest};
use crate::runtime::RuntimeError;
use crate::state::Layout;
use std::io;
use std::path::Path;
use std::time::Duration;
use sys::cgroup::Cgroups;

/// The file in the state directory that names the instance.
pub const INSTANCE: &str = "instance";
/// How long a killed pod may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
const ATTEMPTS: u32 = 500;

/// Ends every sandbox of the instance and its supervisor and forgets them. Succeeds where nothing
/// runs. Log files stay.
pub async fn shutdown_all(state_dir: &Path, env: &base::Env) -> Result<(), RuntimeError> {
    let layout = Layout { root: state_dir.to_owned() };
    let instance = match std::fs::read_to_string(layout.root.join(INSTANCE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(failed("read the state directory"))?,
    };
    if let Ok(supervisor) = Connection::open(&layout.root, SUPERVISOR_SOCKET) {
        let bye = async {
            supervisor.send(&SupervisorRequest::Quit, &[]).await?;
            while supervisor.receive::<crate::protocol::SupervisorReply>().await.is_ok() {}
            io::Result::Ok(())
        };
        // What is left of it is killed with its cgroup.
        let _ = env.clock.timeout(STOP_TIMEOUT, bye).await;
    }
    stop_pods(&layout, env).await;
    remove_cgroups(&format!("kutter-{instance}"), env).await?;
    let forget = env.tasks.spawn_blocking(move || forget(&layout));
    forget.await.map_err(|error| RuntimeError::Unreachable(error.to_string()))?.map_err(failed("remove the state"))
}

/// Tells every pod to end, then waits for all. What does not obey is killed with its cgroup.
async fn stop_pods(layout: &Layout, env: &base::Env) {
    let mut told = Vec::new();
    for entry in std::fs::read_dir(layout.sandboxes()).into_iter().flatten().flatten() {
        if let Ok(init) = Connection::open(&entry.path(), INIT_SOCKET)
            && init.send(&InitRequest::Stop, &[]).await.is_ok()
        {
            told.push(init);
        }
    }
    let ended = async {
        for init in &told {
            while init.receive::<InitReply>().await.is_ok() {}
        }
    };
    let _ = env.clock.timeout(STOP_TIMEOUT, ended).await;
}

async fn remove_cgroups(root: &str, env: &base::Env) -> Result<(), RuntimeError> {
    let explain =
        |error: sys::cgroup::CgroupError| RuntimeError::Failed { operation: "shut down", why: error.to_string() };
    let cgroups = Cgroups::open().map_err(explain)?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        if !cgroups.exists(root) {
            return Ok(());
        }
        cgroups.kill(root).map_err(explain)?;
        match cgroups.remove(root) {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        env.clock.sleep(PAUSE).await;
    }
    Err(last.map_or(RuntimeError::Timeout(PAUSE * ATTEMPTS), explain))
}

fn forget(layout: &Layout) -> io::Result<()> {
    let missing_is_fine = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    for directory in [layout.sandboxes(), layout.trash()] {
        missing_is_fine(std::fs::remove_dir_all(directory))?;
    }
    for file in [SUPERVISOR_SOCKET, "supervisor.lock", "supervisor.log", INSTANCE] {
        missing_is_fine(std::fs::remove_file(layout.root.join(file)))?;
    }
    Ok(())
}
