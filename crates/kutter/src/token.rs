//! `kutter token create`: a way in for one more node.

use crate::status::admin;
use anyhow::Context as _;
use base::Env;
use cluster::JoinToken;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub fn create(data_dir: &Path, hours: u64) -> anyhow::Result<ExitCode> {
    let authority = std::fs::read_to_string(data_dir.join("pki/ca.crt"))
        .with_context(|| format!("no server was started in {}", data_dir.display()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let client = admin(data_dir).await?.context("only a server's data dir can make tokens")?;
        let token = JoinToken::create(&authority)?;
        let life = (hours > 0).then(|| Duration::from_secs(hours * 3600));
        let secret = token.secret(life, "made by kutter token create", Env::real().clock.now());
        let secret: Secret = serde_json::from_value(secret)?;
        client.create("kube-system", &secret).await.context("cannot store the token")?;
        let info: ConfigMap = client.get("kube-public", "cluster-info").await?;
        let text = info.data.unwrap_or_default().remove("kubeconfig").unwrap_or_default();
        let kubeconfig = wire::yaml::parse(&text).context("cluster-info holds no kubeconfig")?;
        let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().context("cluster-info names no server")?;
        println!("{}", token.command(server));
        Ok(ExitCode::SUCCESS)
    })
}
