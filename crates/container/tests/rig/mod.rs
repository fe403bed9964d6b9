//! What the tests stand on: a state directory, an image made of Debian's static busybox, and an
//! end that leaves nothing behind.
#![allow(dead_code, clippy::unwrap_used)]

use container::runtime::{
    ContainerConfig, ContainerState, ContainerStatus, ExecOptions, Resources, Runtime, SandboxConfig, SandboxStatus,
};
use container::{Supervisor, SupervisorOptions, shutdown_all};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(30);

/// What docker hides and protects; the kubelet passes it.
pub const MASKED: [&str; 4] = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"];
pub const READ_ONLY: [&str; 3] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq"];

pub struct Rig {
    pub directory: tempfile::TempDir,
    pub options: SupervisorOptions,
    pub env: base::Env,
    pub runtime: Arc<Supervisor>,
}

impl Rig {
    pub async fn new(name: &str) -> Rig {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        assert!(Path::new("/bin/busybox").exists(), "these tests need Debian's busybox-static");
        let directory = tempfile::Builder::new().prefix("kt-container-").tempdir().unwrap();
        image(&directory.path().join("image"));
        let state_dir = directory.path().join("state");
        let instance = format!("kt{name}{}", std::process::id());
        // Another one may be named, to measure it.
        let executable = std::env::var_os("KUTTER_SUPERVISOR").map(PathBuf::from);
        let executable = executable.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_container-supervisor")));
        let options = SupervisorOptions { executable, state_dir, instance };
        let env = base::Env::real();
        let runtime = Supervisor::start(options.clone(), env.clone()).await.unwrap();
        Rig { directory, options, env, runtime }
    }

    /// A new kutter on the same state; the old one's tasks end, as with its process.
    pub async fn restart(&mut self) {
        self.env.tasks.stop().await;
        self.env = base::Env::real();
        self.runtime = Supervisor::start(self.options.clone(), self.env.clone()).await.unwrap();
    }

    pub fn sandbox(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            hostname: name.to_owned(),
            log_directory: self.directory.path().join("logs").join(name),
            cgroup_parent: format!("burstable/pod{name}"),
            resolv_conf: "nameserver 10.96.0.10\n".to_owned(),
            ..SandboxConfig::default()
        }
    }

    pub fn container(&self, name: &str, args: &[&str]) -> ContainerConfig {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        ContainerConfig {
            name: name.to_owned(),
            rootfs_layers: vec![self.directory.path().join("image")],
            image: "busybox".to_owned(),
            args: own(args),
            log_path: format!("{name}/0.log").into(),
            masked_paths: own(&MASKED),
            readonly_paths: own(&READ_ONLY),
            ..ContainerConfig::default()
        }
    }

    pub async fn pod(&self, name: &str) -> SandboxStatus {
        self.runtime.run_sandbox(self.sandbox(name)).await.unwrap()
    }

    pub async fn start(&self, sandbox: &SandboxStatus, config: ContainerConfig) -> String {
        let id = self.runtime.create_container(&sandbox.id, config).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// A pod with one container of a shell script.
    pub async fn shell(&self, name: &str, script: &str) -> (SandboxStatus, String) {
        let sandbox = self.pod(name).await;
        let id = self.start(&sandbox, self.container("main", &["sh", "-c", script])).await;
        (sandbox, id)
    }

    pub async fn ended(&self, id: &str) -> ContainerStatus {
        let wait = async {
            loop {
                let status = self.runtime.container(id).await.unwrap();
                if !matches!(status.state, ContainerState::Running | ContainerState::Created) {
                    return status;
                }
                self.env.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        self.env.clock.timeout(LIMIT, wait).await.expect("the container should have ended")
    }

    /// The log without its times.
    pub async fn log(&self, sandbox: &SandboxStatus, id: &str) -> Vec<String> {
        let status = self.runtime.container(id).await.unwrap();
        let text = std::fs::read_to_string(sandbox.config.log_directory.join(status.log_path)).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    pub async fn exec(&self, id: &str, command: &[&str]) -> (String, String, i32) {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        let output = self.runtime.exec_sync(id, command, Some(LIMIT)).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.exit_code)
    }

    /// Ends everything and looks for what is left.
    pub async fn end(self) {
        self.env.tasks.stop().await;
        shutdown_all(&self.options.state_dir, &base::Env::real()).await.unwrap();
        let root = format!("kutter-{}", self.options.instance);
        let cgroups = sys::cgroup::Cgroups::open().unwrap();
        assert!(!cgroups.exists(&root), "cgroup {root} is left");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(own), "a mount below {own} is left:\n{mounts}");
        let processes = processes_with(own);
        assert!(processes.is_empty(), "processes are left: {processes:?}");
    }
}

impl Drop for Rig {
    /// After a failed test; after a good one nothing is left to do.
    fn drop(&mut self) {
        let (state, tasks) = (self.options.state_dir.clone(), self.env.tasks.clone());
        let ended = base::tasks::thread("end of a test", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tasks.stop().await;
                let _ = shutdown_all(&state, &base::Env::real()).await;
            });
        });
        let _ = ended.unwrap().join();
    }
}

/// Processes whose arguments name `text`.
pub fn processes_with(text: &str) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let named = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    numbers.filter(named).collect()
}

/// The supervisor's process.
pub fn supervisor(rig: &Rig) -> i32 {
    try_supervisor(rig).unwrap()
}

pub fn try_supervisor(rig: &Rig) -> std::io::Result<i32> {
    use std::os::fd::AsFd;
    let directory = std::fs::File::open(&rig.options.state_dir)?;
    let connection = sys::socket::connect(directory.as_fd(), "supervisor.sock")?;
    Ok(sys::socket::peer(connection.as_fd())?.1)
}

/// The processes of all its pod inits, as the kernel has them.
pub fn pod_inits(rig: &Rig) -> Vec<i32> {
    let instance = format!("/kutter-{}/", rig.options.instance);
    let mut all = processes_with(rig.options.state_dir.to_str().unwrap());
    all.retain(|pid| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.lines().any(|group| group.contains(&instance) && group.contains("/init-"))
    });
    all
}

/// A sandbox's pod init.
pub fn pod_init(sandbox: &SandboxStatus) -> i32 {
    let netns = sandbox.netns.as_ref().unwrap();
    netns.components().nth(2).unwrap().as_os_str().to_str().unwrap().parse().unwrap()
}

fn image(root: &Path) {
    for directory in ["bin", "etc", "tmp", "root", "proc"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let list = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(list).unwrap().lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/tmp:/bin/sh\n";
    std::fs::write(root.join("etc/passwd"), users).unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nweb:x:33:\nextra:x:44:web\n").unwrap();
    std::fs::write(root.join("bin/plain"), "no program").unwrap();
    set_mode(&root.join("tmp"), 0o1777);
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn options(command: &[&str], tty: bool) -> ExecOptions {
    let command = command.iter().map(|part| (*part).to_owned()).collect();
    ExecOptions { command, stdin: true, stdout: true, stderr: !tty, tty }
}

pub fn memory(bytes: i64) -> Resources {
    Resources { memory_limit_bytes: Some(bytes), ..Resources::default() }
}
