//! Programs under test: started with their output in a log file, and ended with the harness
//! whatever happens.

use anyhow::Context as _;
use base::Env;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How long a program may take to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(20);

impl Program {
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).context("cannot open a log")?;
        let err = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Program { name: name.to_owned(), child, log })
    }

    /// An error, with the end of its log, when it has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended ({status}):\n{}", self.name, self.last_words()),
        }
    }

    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Asks it to end, and waits.
    pub async fn stop(mut self, env: &Env) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM);
        let deadline = env.clock.instant() + END_WITHIN;
        while self.child.try_wait()?.is_none() {
            if env.clock.instant() > deadline {
                anyhow::bail!("{} did not end:\n{}", self.name, self.last_words());
            }
            env.clock.sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            drop(self.child.wait());
        }
    }
}

/// Runs a command to its end and answers with what it printed.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{:?}: {}: {complaint}", command.get_program(), output.status);
    Ok(said)
}
