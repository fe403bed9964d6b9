//! One kutter on one host: a server with its node, or an agent.

use crate::kubectl::Kubectl;
use crate::{program, remains, until};
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use testkit::net::{Host, World, inside};

/// In the command line of a node beside its server.
const NODE_PROCESS: &str = " up-node ";

/// However full the disk of the machine is that the tests run on: their nodes take pods and keep images.
const ON_ANY_DISK: [&str; 4] = ["--eviction-hard", "memory.available<100Mi", "--image-gc-high-threshold", "100"];

pub struct Kutter {
    pub host: Host,
    pub name: String,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    /// Behind a lock so that a test can kill what another of its threads is talking to.
    child: Mutex<Option<Child>>,
    /// The host's network before the first start.
    before: String,
    is_down: bool,
}

impl Kutter {
    /// A host with a binary and no images; nothing runs yet.
    pub fn new(world: &World, number: u8) -> Self {
        let host = world.host(number);
        let folder = tempfile::Builder::new().prefix("kt-cluster-").tempdir().unwrap();
        let built = program::kutter();
        let own = folder.path().join("kutter");
        // A link of its own: a later build does not change what this test runs.
        std::fs::hard_link(built, &own).or_else(|_| std::fs::copy(built, &own).map(|_| ())).unwrap();
        let before = inside(&host.namespace, remains::network);
        let name = format!("n{number}");
        let mut kutter =
            Kutter { host, name, folder, arguments: Vec::new(), child: Mutex::default(), before, is_down: false };
        kutter.set_arguments(&["up"]);
        kutter
    }

    /// A server with its own node, ready, with all images.
    pub fn up(world: &World, number: u8) -> Self {
        let mut kutter = Self::new(world, number);
        kutter.import_all();
        kutter.start();
        kutter
    }

    /// A node that joins `server`, with all images. It may take a moment until it is Ready.
    pub fn join(world: &World, number: u8, server: &Kutter) -> Self {
        let mut kutter = Self::agent(world, number, server);
        kutter.import_all();
        kutter.spawn();
        kutter
    }

    /// A host whose kutter will join `server`; no images, and nothing runs yet.
    pub fn agent(world: &World, number: u8, server: &Kutter) -> Self {
        let mut kutter = Self::new(world, number);
        let line = server.run(&["token", "create"]).trim().to_owned();
        let words = line.strip_prefix("kutter ").unwrap_or_else(|| panic!("no join command: {line:?}"));
        kutter.set_arguments(&words.split(' ').collect::<Vec<_>>());
        kutter
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("admin.kubeconfig")
    }

    pub fn program(&self) -> PathBuf {
        self.folder.path().join("kutter")
    }

    pub fn address(&self) -> String {
        self.host.address.to_string()
    }

    pub fn kubectl(&self) -> Kubectl<'_> {
        Kubectl::newest(self)
    }

    fn set_arguments(&mut self, words: &[&str]) {
        let all = [words, &["--node-name", &self.name], &ON_ANY_DISK].concat();
        self.arguments = all.into_iter().map(str::to_owned).collect();
    }

    /// More flags for the next start.
    pub fn add_arguments(&mut self, more: &[&str]) {
        self.arguments.extend(more.iter().map(|&word| word.to_owned()));
    }

    /// Without these flags from the next start on.
    pub fn drop_arguments(&mut self, words: &[&str]) {
        self.arguments.retain(|argument| !words.contains(&argument.as_str()));
    }

    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.host.namespace, work)
    }

    /// `GET path` from this host.
    pub fn get(&self, address: &str, port: u16, path: &str) -> Result<(u16, String), String> {
        self.inside(|| crate::requests::get(address, port, path))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(words).arg("--data-dir").arg(self.data_dir());
        command
    }

    /// Pulls the host's cable, at the far end: the host itself sees no more than a dead line.
    pub fn unplug(&self, world: &World) {
        self.set_cable(world, "down");
    }

    pub fn plug_in(&self, world: &World) {
        self.set_cable(world, "up");
    }

    fn set_cable(&self, world: &World, state: &str) {
        let cable = format!("h{}", self.host.address.octets()[3]);
        let set = || Command::new("ip").args(["link", "set", &cable, state]).status().unwrap();
        assert!(inside(&world.outside, set).success(), "cannot set {cable} {state}");
    }

    /// One of the short commands; gives standard output and must work.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        assert!(output.status.success(), "kutter {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn try_run(&self, words: &[&str]) -> std::process::Output {
        self.inside(|| self.command(words).output().unwrap())
    }

    pub fn import_all(&self) {
        for family in testkit::images::ALL {
            let archive = testkit::images::archive(family.name).unwrap();
            self.run(&["images", "import", archive.to_str().unwrap()]);
        }
    }

    /// Starts without waiting.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let words: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = self.command(&words);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.inside(|| command.spawn().unwrap());
        *self.child.lock().unwrap() = Some(child);
    }

    /// Starts and waits until it says that it is ready.
    pub fn start(&mut self) {
        let told = self.log().matches("ready in ").count();
        self.spawn();
        until("kutter is ready", 60, || {
            if let Some(ended) = self.ended() {
                panic!("kutter ended with {ended}:\n{}", self.log());
            }
            crate::holds(self.log().matches("ready in ").count() > told, tail(&self.log()))
        });
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// How the process ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().as_mut().expect("kutter was started").try_wait().unwrap()
    }

    fn signal(&self, signal: Signal) -> ExitStatus {
        let mut child = self.child.lock().unwrap().take().expect("kutter runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        until("kutter ends", 30, || child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()))
    }

    /// SIGTERM: containers go on.
    pub fn stop(&self) {
        let ended = self.signal(Signal::TERM);
        assert!(ended.success(), "kutter ended with {ended}:\n{}", tail(&self.log()));
    }

    /// SIGKILL, at whatever it is doing.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn id(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("instance-id")).unwrap_or_default().trim().to_owned()
    }

    /// The processes in containers, by process id and start time.
    pub fn workloads(&self) -> BTreeMap<(i32, String), String> {
        remains::workloads(&self.id(), &self.data_dir())
    }

    /// Kills the process in a container that has this command line.
    #[track_caller]
    pub fn kill_workload(&self, line: &str) {
        let all = self.workloads();
        let found = all.iter().find(|(_, of)| of.trim_end() == line);
        let ((pid, _), _) = found.unwrap_or_else(|| panic!("no process {line:?} in a container: {all:?}"));
        remains::kill(*pid);
    }

    /// The process that makes pod inits, which share its command line; none for a moment after its death.
    pub fn supervisor(&self) -> Option<i32> {
        self.in_cgroup(|group| group.ends_with("/supervisor")).pop()
    }

    /// The processes that look after the containers of the pod with this uid, or of all.
    pub fn pod_inits(&self, uid: &str) -> Vec<i32> {
        self.in_cgroup(|group| group.contains(&format!("/pod{uid}")) && group.contains("/init-"))
    }

    fn in_cgroup(&self, is_it: impl Fn(&str) -> bool) -> Vec<i32> {
        let all = remains::processes(&self.id(), &self.data_dir()).into_keys().map(|(pid, _)| pid);
        all.filter(|pid| remains::groups(*pid).lines().any(&is_it)).collect()
    }

    /// How many processes are there that run a node beside its server.
    pub fn node_processes(&self) -> usize {
        remains::processes(&self.id(), &self.data_dir()).values().filter(|line| line.contains(NODE_PROCESS)).count()
    }

    pub fn kill_node_process(&self) {
        let all = remains::processes(&self.id(), &self.data_dir());
        let found = all.iter().find(|(_, line)| line.contains(NODE_PROCESS));
        let ((pid, _), _) = found.unwrap_or_else(|| panic!("no node: {all:?}"));
        remains::kill(*pid);
    }

    /// `kutter down`, after which nothing may be left. It is called from a mount namespace of its
    /// own, as `ip netns exec` gives one to each command.
    pub fn down(mut self) {
        self.is_down = true;
        let mut elsewhere = Command::new("unshare");
        elsewhere.arg("--mount").arg(self.program()).args(["down", "--data-dir"]).arg(self.data_dir());
        let said = self.inside(|| elsewhere.output().unwrap());
        assert!(said.status.success(), "kutter down: {said:?}");
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.wait().unwrap();
        }
        let (id, data_dir) = (self.id(), self.data_dir());
        let processes = remains::processes(&id, &data_dir);
        let nothing: BTreeMap<(i32, String), String> = BTreeMap::new();
        assert_eq!(processes, nothing, "processes are left");
        assert_eq!(remains::mounts(&data_dir), Vec::<String>::new(), "mounts are left");
        assert_eq!(remains::cgroups(&id), Vec::<PathBuf>::new(), "cgroups are left");
        assert_eq!(self.inside(remains::network), self.before, "the network is not as it was");
    }
}

impl Drop for Kutter {
    /// For tests that fail half-way: as [`Kutter::down`], and by force what does not go.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {} ---\n{}", self.name, tail(&self.log()));
        }
        if !self.is_down {
            let _ = self.try_run(&["down"]);
        }
        for (pid, _) in remains::processes(&self.id(), &self.data_dir()).into_keys() {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = child.wait();
        }
        remains::unmount(&self.data_dir());
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
