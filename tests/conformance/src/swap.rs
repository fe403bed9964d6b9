//! Upstream's kube-scheduler in the place of ours on a live cluster, then both, then ours again: every
//! new pod gets its node, and no pod that runs notices anything.
//!
//! It stands here and not among the cluster tests because it needs upstream's programs.

use crate::upstream::Upstream;
use anyhow::{Context as _, Result, ensure};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use testkit::net::{Shape, World};

const NO_SCHEDULER: &str = "--no-scheduler";
const PODS: &str = "app=web";

const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
    "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "1000000"]}]}}}}"#;

pub fn run(upstream: &Upstream) -> Result<()> {
    let world = World::new(Shape::Switch);
    let mut server = Kutter::up(&world, 1);
    server.kubectl().apply(DEPLOYMENT);
    let mut lives = Lives::default();
    lives.grow(&server, 3)?;

    server.add_arguments(&[NO_SCHEDULER]);
    restart(&mut server);
    scale(&server, 5);
    nobody_schedules(&server, 2);
    let scheduler = Scheduler::start(upstream, &server)?;
    lives.grow(&server, 5)?;
    println!("upstream's scheduler placed what ours had left");

    // Both at once, as while somebody changes over: whoever is second is told so.
    server.drop_arguments(&[NO_SCHEDULER]);
    restart(&mut server);
    scale(&server, 12);
    lives.grow(&server, 12)?;
    drop(scheduler);
    scale(&server, 14);
    lives.grow(&server, 14)?;
    println!("ours came back; 14 pods run, none was disturbed");
    server.down();
    Ok(())
}

fn restart(server: &mut Kutter) {
    server.stop();
    server.start();
}

fn scale(server: &Kutter, replicas: usize) {
    server.kubectl().ok(&format!("scale deployment web --replicas {replicas}"));
}

fn nobody_schedules(server: &Kutter, pods: usize) {
    let waiting = || {
        let pods = server.kubectl().pods(PODS);
        pods.into_iter().filter(|pod| pod["spec"]["nodeName"].is_null()).count()
    };
    until("new pods wait", 20, || holds(waiting() == pods, waiting()));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(waiting(), pods, "somebody schedules");
}

/// Pods by uid, with what would change if anything happened to them.
#[derive(Default)]
struct Lives(BTreeMap<String, Value>);

impl Lives {
    /// Waits until so many pods run, and makes sure that those known before do so as they did.
    fn grow(&mut self, server: &Kutter, count: usize) -> Result<()> {
        server.kubectl().ready_pods(PODS, count);
        let now: BTreeMap<String, Value> = server.kubectl().pods(PODS).iter().map(life).collect();
        for (uid, before) in &self.0 {
            ensure!(now.get(uid) == Some(before), "a pod was disturbed: {before} became {:?}", now.get(uid));
        }
        self.0 = now;
        Ok(())
    }
}

fn life(pod: &Value) -> (String, Value) {
    let container = &pod["status"]["containerStatuses"][0];
    let life = serde_json::json!({
        "node": pod["spec"]["nodeName"], "address": pod["status"]["podIP"], "container": container["containerID"],
        "restarts": container["restartCount"], "started": container["state"]["running"]["startedAt"],
    });
    (pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), life)
}

/// Upstream's program under the identity that the cluster has for a scheduler. Ends with its handle.
struct Scheduler(Child);

impl Scheduler {
    fn start(upstream: &Upstream, server: &Kutter) -> Result<Self> {
        let path = server.home().join("scheduler.kubeconfig");
        std::fs::write(&path, kubeconfig(&server.data_dir())).context("write the scheduler's kubeconfig")?;
        let log = File::create(server.home().join("scheduler.log"))?;
        let mut command = Command::new(upstream.program("kube-scheduler"));
        command.arg("--kubeconfig").arg(&path).args(["--bind-address", "127.0.0.1"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Scheduler(server.inside(|| command.spawn()).context("start kube-scheduler")?))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn kubeconfig(data: &Path) -> String {
    let file = |name: &str| data.join("pki").join(name).display().to_string();
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": "https://127.0.0.1:6443", "certificate-authority": file("ca.crt")}}],
        "users": [{"name": "u", "user": {
            "client-certificate": file("scheduler.pem"), "client-key": file("scheduler.pem")}}],
    })
    .to_string()
}
