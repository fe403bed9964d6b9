//! Three nodes of kutter on hosts made of network namespaces, with every stand-in image.

use anyhow::{Context as _, Result, ensure};
use cluster_tests::kubectl::{is_ready, name};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::path::{Path, PathBuf};
use testkit::net::{Shape, World};

/// The suite of 1.20 waits for the token Secret of each new namespace's default account.
const GATES: &str = "LegacyServiceAccountTokenNoAutoGeneration=false";

/// Everything in it ends with it.
pub struct Cluster {
    // Ends in this order: agents before the server, and their world last.
    agents: Vec<Kutter>,
    server: Kutter,
    pub world: World,
}

impl Cluster {
    /// Starts it and waits until all three are ready.
    pub fn start(archives: &[PathBuf]) -> Result<Self> {
        let world = World::new(Shape::Switch);
        let mut server = Kutter::new(&world, 1);
        server.add_arguments(&["--feature-gates", GATES]);
        import(&server, archives)?;
        server.start();
        let mut agents = vec![Kutter::agent(&world, 2, &server), Kutter::agent(&world, 3, &server)];
        for agent in &mut agents {
            import(agent, archives)?;
            agent.spawn();
        }
        let cluster = Cluster { agents, server, world };
        cluster.wait();
        Ok(cluster)
    }

    fn wait(&self) {
        let kubectl = self.server.kubectl();
        until("three nodes are ready", 60, || {
            let nodes = kubectl.try_json("get nodes")["items"].as_array().cloned().unwrap_or_default();
            let ready: Vec<String> = nodes.iter().filter(|node| is_ready(node)).map(name).collect();
            holds(ready == ["n1", "n2", "n3"], ready)
        });
    }

    /// The administrator's, for use outside of the server's host; it goes with the server.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let text = std::fs::read_to_string(self.server.kubeconfig()).context("read the kubeconfig")?;
        let path = self.server.data_dir().join("outside.kubeconfig");
        std::fs::write(&path, text.replace("//127.0.0.1:", &format!("//{}:", self.server.address())))?;
        Ok(path)
    }

    /// Keeps the logs of all three; then nothing of them may be left.
    pub fn end(self, folder: &Path) -> Result<()> {
        self.keep_logs(folder)?;
        for kutter in self.agents {
            kutter.down();
        }
        self.server.down();
        Ok(())
    }

    pub fn keep_logs(&self, folder: &Path) -> Result<()> {
        for kutter in self.agents.iter().chain([&self.server]) {
            let path = folder.join(format!("{}.log", kutter.name));
            std::fs::write(&path, kutter.log()).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

fn import(kutter: &Kutter, archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        let said = kutter.try_run(&["images", "import", &archive.display().to_string()]);
        let why = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "{}: cannot import {}: {why}", kutter.name, archive.display());
    }
    Ok(())
}
