//! The way to the supervisor: finds the living one or starts another, replaces one of another
//! version. Losing it is ordinary.

use super::connection::{Connection, failed};
use super::{Inner, SupervisorOptions};
use crate::protocol::{SUPERVISOR_SOCKET, SupervisorReply, SupervisorRequest};
use crate::runtime::RuntimeError;
use crate::supervisor::{SUPERVISOR_ARGUMENT, build};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// The supervisor answers within milliseconds or not at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A new connection is greeted at once, or the other side is stuck.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// Tries to reach one before giving up.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// Before another is tried to be kept.
const KEEP_PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    /// Asks the supervisor, whichever lives. Requests may be repeated, so a lost answer is asked
    /// for again. A connection is put back only once its answer was read: with a caller that gave
    /// up in between it ends, or the next one would be given the answer to that question.
    pub async fn ask(&self, request: &SupervisorRequest) -> Result<(SupervisorReply, Vec<OwnedFd>), RuntimeError> {
        let mut link = self.link.lock().await;
        let mut last = None;
        for _ in 0..2 {
            let connection = match link.take() {
                Some(connection) => connection,
                None => self.reach().await?,
            };
            let answer = self.env.clock.timeout(ANSWER_TIMEOUT, connection.call(request, &[])).await;
            match answer {
                Ok(Ok(answer)) => {
                    *link = Some(connection);
                    return match answer {
                        (SupervisorReply::Failed { message }, _) => {
                            Err(RuntimeError::Failed { operation: "supervisor", why: message })
                        }
                        answer => Ok(answer),
                    };
                }
                Ok(Err(error)) => last = Some(error.to_string()),
                Err(_) => last = Some("no answer in time".to_owned()),
            }
        }
        Err(RuntimeError::Unreachable(last.unwrap_or_default()))
    }

    /// Like `ask`, while processes are still ending.
    async fn ask_until_done(&self, request: &SupervisorRequest) -> Result<(), RuntimeError> {
        for attempt in 0..100 {
            match self.ask(request).await?.0 {
                SupervisorReply::Busy => self.env.clock.sleep(Duration::from_millis(2 + attempt)).await,
                _ => return Ok(()),
            }
        }
        Err(RuntimeError::Failed { operation: "remove the cgroup", why: "processes do not end".to_owned() })
    }

    /// Kills all processes in a cgroup and removes it, once they are gone. None may be there.
    pub async fn end_cgroup(&self, cgroup: &str) -> Result<(), RuntimeError> {
        self.ask(&SupervisorRequest::Kill { cgroup: cgroup.to_owned() }).await?;
        self.ask_until_done(&SupervisorRequest::Remove { cgroup: cgroup.to_owned() }).await
    }

    /// Starts another supervisor as soon as one has ended, not only when there is something to ask: who
    /// comes from elsewhere finds the mounts of this kutter through it. Never returns.
    pub async fn keep(self: Arc<Self>) {
        loop {
            match self.reach().await {
                Ok(connection) => {
                    // It says nothing unasked: this is its end.
                    let _ = connection.receive::<SupervisorReply>().await;
                    self.env.clock.sleep(PAUSE).await;
                }
                Err(error) => {
                    warn!(%error, "no supervisor can be started; trying again");
                    self.env.clock.sleep(KEEP_PAUSE).await;
                }
            }
        }
    }

    pub async fn reach(&self) -> Result<Connection, RuntimeError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for attempt in 0..ATTEMPTS {
            match Connection::open(&self.options.state_dir, SUPERVISOR_SOCKET) {
                Ok(connection) => match greet(&self.env, &connection).await {
                    Some(found) if found == build() => return Ok(connection),
                    // Another version's, or a stuck one: it has nothing that would be lost.
                    found => {
                        debug!(?found, "replacing the supervisor");
                        connection.peer().and_then(sys::process::kill).map_err(failed("end the old supervisor"))?;
                    }
                },
                Err(error) => last = error,
            }
            if attempt > 0 {
                self.env.clock.sleep(PAUSE).await;
            }
            let options = self.options.clone();
            let started = self.env.tasks.spawn_blocking(move || start(&options)).await;
            started
                .map_err(|error| RuntimeError::Unreachable(error.to_string()))?
                .map_err(failed("start the supervisor"))?;
        }
        Err(RuntimeError::Unreachable(last.to_string()))
    }
}

async fn greet(env: &base::Env, connection: &Connection) -> Option<String> {
    let call = connection.call(&SupervisorRequest::Hello, &[]);
    match env.clock.timeout(GREETING_TIMEOUT, call).await {
        Ok(Ok((SupervisorReply::Hello { build }, _))) => Some(build),
        _ => None,
    }
}

/// Starts a supervisor. It listens when the process started here has ended; its child goes on.
fn start(options: &SupervisorOptions) -> io::Result<()> {
    // After an upgrade the file this program came from may be gone; the kernel still has it.
    let gone = !options.executable.exists();
    let executable = if gone { Path::new("/proc/self/exe") } else { &options.executable };
    let output = Command::new(executable)
        .arg(SUPERVISOR_ARGUMENT)
        .arg(&options.state_dir)
        .arg(&options.instance)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(options.state_dir.join("supervisor.log"))?)
        .status()?;
    if output.success() {
        return Ok(());
    }
    let said = std::fs::read_to_string(options.state_dir.join("supervisor.log")).unwrap_or_default();
    Err(io::Error::other(if said.is_empty() { output.to_string() } else { said.trim().to_owned() }))
}
