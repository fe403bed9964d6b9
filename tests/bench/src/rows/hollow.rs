//! Hollow nodes: each renews its lease every ten seconds as a kubelet does, and its pods run as soon
//! as they are given to it. What so many nodes cost while nothing happens, and how quickly a thousand
//! new pods come to run on them, through API server, scheduler and controllers.

use super::{Better, Found, Measure, Row, Run, Unit};
use crate::bench::Bench;
use crate::load::{self, Load, MERGE, Make, Protocol, STRATEGIC, Sender, Shot, Target, Until};
use crate::objects::{self, MARK, NAMESPACE};
use crate::served::Served;
use crate::sides::{Kind, Parts};
use anyhow::Context as _;
use base::Env;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

struct Step {
    nodes: u64,
    idle: &'static str,
    run: &'static str,
}

const STEPS: &[Step] = &[
    Step { nodes: 100, idle: "hollow idle 100", run: "hollow run 100" },
    Step { nodes: 1_000, idle: "hollow idle 1000", run: "hollow run 1000" },
    Step { nodes: 5_000, idle: "hollow idle 5000", run: "hollow run 5000" },
];

pub const ROW: Row = Row {
    name: "hollow",
    in_quick: false,
    measures: &[
        idle("hollow idle 100", "100 hollow nodes at rest: CPU of all servers"),
        idle("hollow idle 1000", "1,000 hollow nodes at rest: CPU of all servers"),
        idle("hollow idle 5000", "5,000 hollow nodes at rest: CPU of all servers"),
        pods("hollow run 100", "pods created → Running on 100 hollow nodes"),
        pods("hollow run 1000", "pods created → Running on 1,000 hollow nodes"),
        pods("hollow run 5000", "pods created → Running on 5,000 hollow nodes"),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const fn idle(key: &'static str, title: &'static str) -> Measure {
    Measure { key, title, unit: Unit::Percent, better: Better::Less, goal: None, json: None }
}

const fn pods(key: &'static str, title: &'static str) -> Measure {
    Measure { key, title, unit: Unit::PerSecond, better: Better::More, goal: None, json: None }
}

const PODS: u64 = 1_000;
const LEASE_EVERY: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(10);

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("hollow-")?;
    let mut served = Served::start(bench, kind, Parts::All, folder.path()).await?;
    served.namespace(NAMESPACE).await?;
    let (mut found, mut there) = (Found::new(), 0);
    let node_env = bench.env.child();
    for step in STEPS {
        add_nodes(&mut served, there, step.nodes).await?;
        let fresh = step.nodes - there;
        let beat = beat(node_env.clone(), served.side.target.clone(), there, fresh);
        node_env.tasks.spawn("heartbeats", async move { drop(beat.await) });
        there = step.nodes;
        bench.env.clock.sleep(LEASE_EVERY).await;
        let before = served.side.cpu();
        bench.env.clock.sleep(REST).await;
        found.push((step.idle, (served.side.cpu() - before) / REST.as_secs_f64() * 100.0));
        found.push((step.run, pods_run(&mut served, step.nodes).await?));
    }
    node_env.tasks.stop().await;
    served.stop().await?;
    Ok(found)
}

pub(super) async fn add_nodes(served: &mut Served<'_>, first: u64, upto: u64) -> anyhow::Result<()> {
    let until = Until::Done(upto - first);
    let now = now(&served.bench.env);
    let make: Make = Arc::new(move |number| {
        let number = first + number;
        let mut node = objects::node(number);
        node["status"] = objects::node_status(&now);
        Shot::create("/api/v1/nodes", node.to_string(), objects::node_name(number))
    });
    served.load(Load::http1(16, until), make).await?;
    let now = micro(&served.bench.env);
    let make: Make = Arc::new(move |number| {
        let name = objects::node_name(first + number);
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}});
        Shot::create(LEASES, lease.to_string(), name)
    });
    served.load(Load::http1(16, until), make).await?;
    Ok(())
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Renews the leases of some nodes for ever, evenly spread over the time there is.
async fn beat(env: Env, target: Target, first: u64, count: u64) -> anyhow::Result<()> {
    let (mut sender, driver) = load::connect(&target, Protocol::Http1).await?;
    env.tasks.spawn("connection", driver);
    let began = env.clock.instant();
    for turn in 0_u64.. {
        let name = objects::node_name(first + turn % count);
        let body = json!({"spec": {"renewTime": micro(&env)}}).to_string();
        sender.fire(&target, &Shot::patch(format!("{LEASES}/{name}"), MERGE, body, name.as_str())).await?;
        let due = LEASE_EVERY.mul_f64((turn + 1) as f64 / count as f64);
        env.clock.sleep(due.saturating_sub(began.elapsed())).await;
    }
    Ok(())
}

/// No pod came to run for so long: none will.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Pods a second from the first create until the last one runs.
async fn pods_run(served: &mut Served<'_>, nodes: u64) -> anyhow::Result<f64> {
    let namespace = format!("hollow-{nodes}");
    served.namespace(&namespace).await?;
    let kubelets = Kubelets::start(served, &namespace, PODS).await?;
    let began = served.bench.env.clock.instant();
    let path = objects::pods_path(&namespace);
    let make: Make = Arc::new(move |number| {
        Shot::create(&path, objects::plain_pod(&namespace, &objects::pod_name(number)).to_string(), MARK)
    });
    load::run(&served.bench.env, &served.side.target, Load::http1(16, Until::Done(PODS)), make).await?;
    kubelets.until_running(PODS).await?;
    let rate = PODS as f64 / began.elapsed().as_secs_f64();
    served.side.check()?;
    Ok(rate)
}

/// Stand for the kubelets of all nodes: they say of every pod of a namespace that has got a node that
/// it runs.
pub(super) struct Kubelets {
    env: Env,
    running: Arc<AtomicU64>,
}

impl Kubelets {
    /// For `most` pods at most.
    pub(super) async fn start(served: &Served<'_>, namespace: &str, most: u64) -> anyhow::Result<Self> {
        let env = served.bench.env.child();
        let running = Arc::new(AtomicU64::new(0));
        let path = objects::pods_path(namespace);
        let work = kubelets(env.clone(), served.side.target.clone(), path, running.clone(), most).await?;
        env.tasks.spawn("kubelets", async move { drop(work.await) });
        Ok(Kubelets { env, running })
    }

    /// Waits for so many pods, then ends.
    pub(super) async fn until_running(self, wanted: u64) -> anyhow::Result<()> {
        let mut seen = (0, self.env.clock.instant());
        while seen.0 < wanted {
            let now = self.running.load(Ordering::Relaxed);
            if now > seen.0 {
                seen = (now, self.env.clock.instant());
            }
            anyhow::ensure!(seen.1.elapsed() < STUCK_AFTER, "only {now} of {wanted} pods run");
            self.env.clock.sleep(Duration::from_millis(1)).await;
        }
        self.env.tasks.stop().await;
        Ok(())
    }
}

async fn kubelets(
    env: Env,
    target: Target,
    path: String,
    running: Arc<AtomicU64>,
    most: u64,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let (mut watching, driver) = load::connect(&target, Protocol::Http1).await?;
    env.tasks.spawn("connection", driver);
    let shot = Shot::get(format!("{path}?watch=true&fieldSelector=spec.nodeName!=,status.phase=Pending"), "");
    let mut body = watching.start(&target, &shot).await?.into_body();
    let mut workers = Vec::new();
    for _ in 0..KUBELETS {
        let (sender, driver) = load::connect(&target, Protocol::Http1).await?;
        env.tasks.spawn("connection", driver);
        let (names, queue) = mpsc::channel(usize::try_from(most)?);
        let work = kubelet(sender, target.clone(), path.clone(), now(&env), queue, running.clone());
        env.tasks.spawn("kubelet", async move { drop(work.await) });
        workers.push(names);
    }
    Ok(async move {
        let _open = watching;
        let mut given = 0;
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let event: Value = serde_json::from_slice(&text[..end]).context("an event is no JSON")?;
                text.drain(..=end);
                if event["type"] != "ADDED" {
                    continue;
                }
                let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
                workers[given % KUBELETS].send(name.to_owned()).await?;
                given += 1;
            }
        }
        Ok(())
    })
}

/// How many connections the kubelets' writes come over.
const KUBELETS: usize = 16;

async fn kubelet(
    mut sender: Sender,
    target: Target,
    path: String,
    now: String,
    mut queue: mpsc::Receiver<String>,
    running: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    while let Some(name) = queue.recv().await {
        let status = objects::running_status(running.load(Ordering::Relaxed), &now).to_string();
        let shot = Shot::patch(format!("{path}/{name}/status"), STRATEGIC, status, "\"phase\":\"Running\"");
        sender.fire(&target, &shot).await?;
        running.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn now(env: &Env) -> String {
    let text = env.clock.now().to_string();
    format!("{}Z", &text[..19.min(text.len())])
}

fn micro(env: &Env) -> String {
    now(env).replace('Z', ".000000Z")
}
