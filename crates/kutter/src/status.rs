//! `kutter status`: whether an instance runs and answers, and how its nodes and pods are.

use crate::instance::Instance;
use anyhow::Context as _;
use base::Env;
use client::kubeconfig::Overrides;
use client::{Api, Client, Https, Kubeconfig};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// 0: it runs and answers. 1: it does not. 3: it was never started.
pub fn run(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let Some(found) = Instance::read(data_dir)? else {
        println!("not started: {}", data_dir.display());
        return Ok(ExitCode::from(3));
    };
    if !found.is_running() {
        println!("stopped: {}", data_dir.display());
        return Ok(ExitCode::FAILURE);
    }
    println!("running: process {}, node {}, server {}", found.process.pid, found.node_name, found.server);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let Some(client) = admin(data_dir).await? else { return Ok(ExitCode::SUCCESS) };
        let nodes = client.list::<Node>("", client::Options::default()).await.context("the server does not answer")?;
        for node in &nodes.items {
            println!("node {}: {}", node.metadata.name.as_deref().unwrap_or_default(), readiness(node));
        }
        let pods = client.list::<Pod>("", client::Options::default()).await?;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let running = pods.items.iter().filter(|pod| phase(pod) == "Running").count();
        println!("pods: {running} of {} running", pods.items.len());
        Ok(ExitCode::SUCCESS)
    })
}

/// None on an agent, which has no administrator.
pub async fn admin(data_dir: &Path) -> anyhow::Result<Option<Client>> {
    let path = data_dir.join("admin.kubeconfig");
    if !path.exists() {
        return Ok(None);
    }
    let env = Env::real();
    let target = Kubeconfig::load(&[path], true)?.target(&Overrides::default(), &env).await?;
    let api: Arc<dyn Api> = Arc::new(Https::new(target.https, &env)?);
    Ok(Some(Client::new(api)))
}

fn readiness(node: &Node) -> String {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.into_iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => "Ready".to_owned(),
        Some(ready) => format!("not Ready: {}", ready.message.as_deref().unwrap_or_default()),
        None => "not Ready: it has not reported yet".to_owned(),
    }
}
