//! kubectl on a host: the machine's own where there is one, else kutter's.

use crate::kutter::Kutter;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Seconds after which a command counts as stuck.
const PATIENCE: &str = "120";

/// The kubectl binaries of this machine, oldest first: versions installed beside the one that is
/// in the PATH, or that one alone.
pub fn binaries() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(main) = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file()) else {
        return Vec::new();
    };
    let real = main.canonicalize().unwrap_or_else(|_| main.clone());
    let beside = std::fs::read_dir(real.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let minor = |path: &Path| path.file_name()?.to_str()?.strip_prefix("kubectl.1.")?.parse::<u32>().ok();
    let mut versions: Vec<(u32, PathBuf)> =
        beside.map(|entry| entry.path()).filter_map(|path| Some((minor(&path)?, path))).collect();
    versions.sort();
    if versions.is_empty() { vec![main] } else { versions.into_iter().map(|(_, path)| path).collect() }
}

/// What a command did.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command that goes on, until this is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // `timeout` passes SIGTERM on to what it runs.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

pub struct Kubectl<'k> {
    kutter: &'k Kutter,
    program: Vec<OsString>,
}

impl<'k> Kubectl<'k> {
    /// The newest on this machine.
    pub fn newest(kutter: &'k Kutter) -> Self {
        match binaries().pop() {
            Some(path) => Kubectl { kutter, program: vec![path.into()] },
            None => Self::own(kutter),
        }
    }

    pub fn of(kutter: &'k Kutter, path: PathBuf) -> Self {
        Kubectl { kutter, program: vec![path.into()] }
    }

    /// `kutter kubectl`.
    pub fn own(kutter: &'k Kutter) -> Self {
        Kubectl { kutter, program: vec![kutter.program().into(), "kubectl".into()] }
    }

    pub fn name(&self) -> String {
        self.program.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).args(&self.program).args(words);
        command.env("KUBECONFIG", self.kutter.kubeconfig()).env("HOME", self.kutter.home());
        command
    }

    pub fn run(&self, words: &[&str], input: &str) -> Said {
        self.finish(self.command(words), input)
    }

    fn finish(&self, mut command: Command, input: &str) -> Said {
        command.env("KUBECONFIG", self.kutter.kubeconfig()).env("HOME", self.kutter.home());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.kutter.inside(|| {
            let mut child = command.spawn().unwrap();
            // It may end without reading.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// As typed at a terminal.
    pub fn at_a_terminal(&self, words: &[&str], input: &str) -> Said {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("{} {}", self.name(), quoted.join(" "));
        let mut command = Command::new("timeout");
        command.args([PATIENCE, "script", "--quiet", "--return", "--command", &line, "/dev/null"]);
        self.finish(command, input)
    }

    /// Starts a command that goes on until its handle is dropped.
    pub fn start(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        Running(self.kutter.inside(|| command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()))
    }

    /// Words separated by blanks, to be refused or not.
    pub fn say(&self, words: &str) -> Said {
        self.run(&words.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// As [`Self::say`], and must work.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        self.ok_args(&words.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn ok_args(&self, words: &[&str]) -> String {
        let said = self.run(words, "");
        assert_eq!(said.code, 0, "{} {words:?}: {said:?}", self.name());
        said.out
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        let said = self.run(&["apply", "-f", "-"], manifest);
        assert_eq!(said.code, 0, "{} apply: {said:?}", self.name());
        said.out
    }

    /// Applies a file of `manifests/`.
    #[track_caller]
    pub fn apply_file(&self, name: &str) -> String {
        self.ok_args(&[
            "apply",
            "-f",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(name).to_str().unwrap(),
        ])
    }

    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{words} -o json"))).unwrap()
    }

    /// As [`Self::json`], null where there is nothing.
    pub fn try_json(&self, words: &str) -> Value {
        serde_json::from_str(&self.say(&format!("{words} -o json")).out).unwrap_or_default()
    }

    /// `sh -c` in a pod.
    pub fn shell(&self, pod: &str, script: &str) -> Said {
        self.run(&["exec", pod, "--", "sh", "-c", script], "")
    }

    /// What the events of an object say: `reason: message` each.
    pub fn events(&self, object: &str) -> Vec<String> {
        let list = self.json(&format!("get events --field-selector involvedObject.name={object}"));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        items.iter().map(|event| format!("{}: {}", text(event, "reason"), text(event, "message"))).collect()
    }

    /// The pods that a selector finds and that are not on their way out.
    pub fn pods(&self, selector: &str) -> Vec<Value> {
        let list = self.try_json(&format!("get pods -l {selector}"));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// Waits until exactly `count` pods are there and ready, and gives their names.
    #[track_caller]
    pub fn ready_pods(&self, selector: &str, count: usize) -> Vec<String> {
        crate::until(&format!("{count} ready pods of {selector}"), 40, || {
            let pods = self.pods(selector);
            let ready: Vec<String> = pods.iter().filter(|pod| is_ready(pod)).map(name).collect();
            let seen: Vec<_> = pods.iter().map(|pod| (name(pod), pod["status"].to_string())).collect();
            crate::holds(pods.len() == count && ready.len() == count, seen).map(|()| ready)
        })
    }

    /// Waits until a pod's first container (or the named one) is in a state, as
    /// `waiting/ErrImagePull`, `terminated/OOMKilled` or `running/`; gives the container's status.
    #[track_caller]
    pub fn container(&self, pod: &str, state: &str, reason: &str) -> Value {
        crate::until(&format!("container of {pod} {state} {reason}"), 40, || {
            let found = self.try_json(&format!("get pod {pod}"));
            let status = &found["status"]["containerStatuses"][0];
            let now = &status["state"][state];
            let fits = !now.is_null() && (reason.is_empty() || now["reason"] == reason);
            crate::holds(fits, &found["status"]).map(|()| status.clone())
        })
    }
}

pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
