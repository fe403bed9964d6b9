//! A whole node: what it uses while nothing happens, how soon pods run, one by one and forty at once,
//! and how much memory each takes.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::load::{self, Load, Marks, Protocol, Shot, Until};
use crate::objects::{self, NAMESPACE};
use crate::sides::{Kind, Side, node};
use crate::summary::Spread;
use crate::usage;
use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub const ROW: Row = Row {
    name: "node",
    in_quick: false,
    measures: &[
        less("node ready", "start, empty folder, to a Ready node", Unit::Millis, None),
        goal("node memory", "whole idle node: memory (PSS)", Unit::Bytes, 10.0),
        less("node cpu", "whole idle node: CPU", Unit::Percent, None),
        goal("pod running", "pod create → Running, one at a time, p50", Unit::Millis, 10.0),
        less("pod running slowest", "the slowest of these", Unit::Millis, None),
        goal("pods at once", "40 pods at once: all Running after", Unit::Millis, 4.9),
        goal("pod memory", "memory per further running pod, its container included", Unit::Bytes, 8.0),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const fn goal(key: &'static str, title: &'static str, unit: Unit, goal: f64) -> Measure {
    Measure { key, title, unit, better: Better::Less, goal: Some(goal), json: None }
}

/// What a start goes on with, and how long an idle node is looked at.
const SETTLE: Duration = Duration::from_secs(8);
const IDLE: Duration = Duration::from_secs(15);
const SINGLE: u64 = 15;
const AT_ONCE: u64 = 40;

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("node-")?;
    let (side, ready_after) = node::start(bench, kind, folder.path()).await?;
    let found = measure(bench, &side).await;
    let stopped = node::stop(bench, side, folder.path()).await;
    let mut found = found?;
    stopped?;
    found.push(("node ready", ready_after.as_secs_f64() * 1000.0));
    Ok(found)
}

async fn measure(bench: &Bench, side: &Side) -> anyhow::Result<Found> {
    let clock = &bench.env.clock;
    prepare(bench, side).await?;
    clock.sleep(SETTLE).await;
    let cpu = side.cpu();
    clock.sleep(IDLE).await;
    let cpu = (side.cpu() - cpu) / IDLE.as_secs_f64() * 100.0;
    let idle = usage::pss_bytes(&side.pids());
    let mut singles = Vec::new();
    for number in 0..SINGLE {
        let began = pods(bench, side, number, 1).await?;
        singles.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let began = pods(bench, side, SINGLE, AT_ONCE).await?;
    let at_once = began.elapsed().as_secs_f64() * 1000.0;
    clock.sleep(SETTLE).await;
    let memory = (usage::pss_bytes(&side.pids()) - idle) / (SINGLE + AT_ONCE) as f64;
    let singles = Spread::of(&singles).context("no pod ran")?;
    Ok(vec![
        ("node memory", idle),
        ("node cpu", cpu),
        ("pod running", singles.median),
        ("pod running slowest", singles.high),
        ("pods at once", at_once),
        ("pod memory", memory),
    ])
}

async fn prepare(bench: &Bench, side: &Side) -> anyhow::Result<()> {
    let namespace = Shot::create("/api/v1/namespaces", objects::namespace(NAMESPACE).to_string(), "");
    load::once(&bench.env, &side.target, &namespace).await?;
    // Controllers make it; pods are refused before.
    let account = Shot::get(format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"), "");
    let deadline = bench.env.clock.instant() + SETTLE;
    while let Err(why) = load::once(&bench.env, &side.target, &account).await {
        anyhow::ensure!(bench.env.clock.instant() < deadline, "no service account: {why:#}");
        bench.env.clock.sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How long pods may take to run.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// Creates pods and waits until a watch has seen all of them Running; answers with the beginning.
async fn pods(bench: &Bench, side: &Side, first: u64, count: u64) -> anyhow::Result<Instant> {
    let env = &bench.env;
    let path = objects::pods_path(NAMESPACE);
    let batch = format!("b{first}");
    let selector = format!("labelSelector=batch%3D{batch}&fieldSelector=status.phase%3DRunning");
    let (mut sender, driver) = load::connect(&side.target, Protocol::Http1).await?;
    let driving = env.tasks.spawn("connection", driver);
    let shot = Shot::get(format!("{path}?watch=true&{selector}"), "");
    let mut body = sender.start(&side.target, &shot).await?.into_body();
    let began = env.clock.instant();
    let make: load::Make = Arc::new(move |number| {
        let name = objects::pod_name(first + number);
        let mut pod = objects::plain_pod(NAMESPACE, &name);
        pod["metadata"]["labels"]["batch"] = json!(batch);
        pod["spec"]["containers"][0] =
            json!({"name": "sleeper", "image": node::IMAGE, "imagePullPolicy": "IfNotPresent"});
        Shot::create(&path, pod.to_string(), format!("\"name\":\"{name}\""))
    });
    load::run(env, &side.target, Load::http1(usize::try_from(count.min(8))?, Until::Done(count)), make).await?;
    let mut marks = Marks::new(b"{\"type\":\"ADDED\"");
    while marks.count < count {
        let frame = env.clock.timeout(RUN_WITHIN, body.frame()).await;
        let frame = frame.with_context(|| format!("only {} of {count} pods run", marks.count))?;
        let frame = frame.context("the watch ended")??;
        marks.feed(frame.data_ref().map_or(&[][..], |data| data));
    }
    driving.abort();
    Ok(began)
}
