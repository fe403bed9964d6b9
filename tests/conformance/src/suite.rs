//! Runs upstream's suite: one call of its runner per part, from outside of the nodes.

use crate::interrupt;
use crate::selection::Part;
use crate::upstream::Upstream;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use sys::net::namespace::Namespace;
use testkit::net::inside;

/// A part that takes longer is stuck.
const PATIENCE: &str = "4h";

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

pub struct Suite<'u> {
    pub upstream: &'u Upstream,
    pub kubeconfig: PathBuf,
    /// Takes the reports and the logs.
    pub folder: PathBuf,
    pub from: &'u Namespace,
}

impl Suite<'_> {
    pub fn reports(&self) -> PathBuf {
        self.folder.join("junit")
    }

    /// Runs to the end, however the specs end.
    pub fn run(&self, part: &Part) -> Result<()> {
        let log = self.folder.join(format!("{}.log", part.name));
        println!("{}: {} specs in {} processes; see {}", part.name, part.specs.len(), part.processes, log.display());
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        // The runner leaves files behind when it is ended early.
        let scratch = tempfile::tempdir().context("make a folder for the runner")?;
        let mut command = self.command(part);
        command.env("TMPDIR", scratch.path());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = inside(self.from, || command.spawn()).context("run ginkgo")?;
        let mut running = Running(child);
        let mut told = Instant::now();
        while running.0.try_wait()?.is_none() {
            if interrupt::told() {
                bail!("interrupted");
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                println!("{}: {}", part.name, progress(&log, part.specs.len()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn command(&self, part: &Part) -> Command {
        let mut command = Command::new(self.upstream.program("ginkgo"));
        command.arg(format!("-nodes={}", part.processes)).args(["-noColor", "-slowSpecThreshold=300"]);
        command.arg(format!("-timeout={PATIENCE}")).arg(format!("-focus={}", part.pattern()));
        command.arg(self.upstream.program("e2e.test")).arg("--");
        let with = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        command.arg(with("kubeconfig", &self.kubeconfig));
        command.arg(with("kubectl-path", &self.upstream.program("kubectl")));
        command.arg(with("repo-root", &self.upstream.source));
        command.arg(with("report-dir", &self.reports())).arg(format!("--report-prefix={}_", part.name));
        command.args(["--provider=skeleton", "--disable-log-dump=true", "--num-nodes=3", "--minStartupPods=0"]);
        command.args(["--system-pods-startup-timeout=2m", "--node-schedulable-timeout=2m"]);
        // What it leaves about goes with the reports; a group of its own, so that all of it can be ended.
        command.current_dir(&self.folder).env("HOME", &self.folder).process_group(0);
        command
    }
}

/// The runner, its processes and what these started; all end with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Counts the lines by which the suite tells that a spec ended.
fn progress(log: &Path, of: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    let (passed, failed) = (count("{\"msg\":\"PASSED "), count("{\"msg\":\"FAILED "));
    format!("{passed} passed and {failed} failed of {of} so far")
}
