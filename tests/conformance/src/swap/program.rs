//! A program of upstream's under an identity that the cluster has for it. Ends with its handle.

use anyhow::{Context as _, Result};
use cluster_tests::kutter::Kutter;
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Program(Child);

impl Program {
    /// On the server's host, with its output in `<name>.log` there.
    pub fn start(name: &str, command: &mut Command, server: &Kutter) -> Result<Self> {
        let log = File::create(server.home().join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Program(server.inside(|| command.spawn()).with_context(|| format!("start {name}"))?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // `unshare` passes nothing milder on, and nobody here has to say goodbye.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// A kubeconfig with the certificate that the server keeps as `identity`.pem.
pub fn kubeconfig(server: &Kutter, identity: &str) -> Result<PathBuf> {
    let path = server.home().join(format!("{identity}.kubeconfig"));
    std::fs::write(&path, text(&server.data_dir(), identity)).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn text(data: &Path, identity: &str) -> String {
    let file = |name: String| data.join("pki").join(name).display().to_string();
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": "https://127.0.0.1:6443", "certificate-authority": file("ca.crt".to_owned())}}],
        "users": [{"name": "u", "user": {
            "client-certificate": file(format!("{identity}.pem")), "client-key": file(format!("{identity}.pem"))}}],
    })
    .to_string()
}
