//! Controllers at work on much: a Deployment of 5,000 pods until the last one runs on hollow nodes, a
//! namespace of 10,000 objects until it is gone, and a restart with 100,000 objects until a new
//! workload is acted upon.

use super::hollow::{Kubelets, add_nodes};
use super::{Found, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::load::{Load, Make, Shot, Until};
use crate::objects;
use crate::served::Served;
use crate::sides::{Kind, Parts};
use base::Env;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const ROW: Row = Row {
    name: "workloads",
    in_quick: false,
    measures: &[
        less("deployment", "a Deployment of 5,000 pods: all Running on 1,000 hollow nodes after", Unit::Millis, None),
        less("namespace", "a namespace of 10,000 objects: gone after", Unit::Millis, None),
        less("restart", "start with 100,000 objects until a new ReplicaSet has its pod", Unit::Millis, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const NODES: u64 = 1_000;
const REPLICAS: u64 = 5_000;
const DOOMED: u64 = 10_000;
const OBJECTS: u64 = 100_000;
/// How often it is asked whether something is done.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(600);

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("workloads-")?;
    let mut served = Served::start(bench, kind, Parts::All, folder.path()).await?;
    let deployment = deployment(&mut served).await?;
    let namespace = namespace(&mut served).await?;
    let path = config_maps(&served, "many").await?;
    served.load(Load::http1(64, Until::Done(OBJECTS)), config_map_of(path)).await?;
    served.stop().await?;
    let restart = restart(bench, kind, folder.path()).await?;
    Ok(vec![("deployment", deployment), ("namespace", namespace), ("restart", restart)])
}

async fn deployment(served: &mut Served<'_>) -> anyhow::Result<f64> {
    add_nodes(served, 0, NODES).await?;
    served.namespace("rollout").await?;
    let kubelets = Kubelets::start(served, "rollout", REPLICAS).await?;
    let began = served.bench.env.clock.instant();
    let path = "/apis/apps/v1/namespaces/rollout/deployments";
    served.once(&Shot::create(path, workload("Deployment", REPLICAS).to_string(), "")).await?;
    kubelets.until_running(REPLICAS).await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

async fn namespace(served: &mut Served<'_>) -> anyhow::Result<f64> {
    let path = config_maps(served, "doomed").await?;
    served.load(Load::http1(64, Until::Done(DOOMED)), config_map_of(path)).await?;
    let began = served.bench.env.clock.instant();
    let space = "/api/v1/namespaces/doomed";
    served.once(&Shot { method: Method::DELETE, ..Shot::get(space, "") }).await?;
    let env = &served.bench.env;
    until(env, async || {
        let there = served.once(&Shot::get(space, "")).await;
        matches!(there, Err(why) if why.to_string().contains("NotFound"))
    })
    .await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

async fn restart(bench: &Bench, kind: Kind, folder: &std::path::Path) -> anyhow::Result<f64> {
    let began = bench.env.clock.instant();
    let served = Served::at_once(bench, kind, Parts::All, folder).await?;
    let path = "/apis/apps/v1/namespaces/many/replicasets";
    served.once(&Shot::create(path, workload("ReplicaSet", 1).to_string(), "")).await?;
    let pods = Shot::list(objects::pods_path("many"), "\"kind\":\"ReplicaSet\"", 1);
    until(&bench.env, async || served.once(&pods).await.is_ok()).await?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    served.stop().await?;
    Ok(took)
}

async fn config_maps(served: &Served<'_>, namespace: &str) -> anyhow::Result<String> {
    served.namespace(namespace).await?;
    Ok(format!("/api/v1/namespaces/{namespace}/configmaps"))
}

fn config_map_of(path: String) -> Make {
    Arc::new(move |number| {
        let name = format!("settings-{number:06}");
        let data = json!({"level": "info", "number": number.to_string()});
        let text = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        Shot::create(&path, text.to_string(), name)
    })
}

/// A workload of plain pods.
fn workload(kind: &str, replicas: u64) -> Value {
    let labels = json!({"app": "web"});
    let spec = objects::plain_pod("", "")["spec"].take();
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec},
    }})
}

async fn until(env: &Env, done: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let deadline = env.clock.instant() + PATIENCE;
    while !done().await {
        anyhow::ensure!(env.clock.instant() < deadline, "not done after {PATIENCE:?}");
        env.clock.sleep(LOOK_EVERY).await;
    }
    Ok(())
}
