//! Small pods onto fake nodes. Nodes and pods are there before the scheduler starts; the rate is
//! that from the first pod that a scheduler says it has placed to the last that a watch sees on a node.

use super::{Better, Found, Measure, Row, Run, Unit, less, more};
use crate::bench::Bench;
use crate::load::{self, Load, MERGE, Marks, Protocol, Shot, Until};
use crate::objects::{self, MARK, NAMESPACE};
use crate::served::Served;
use crate::sides::{Component, Kind, Parts};
use anyhow::Context as _;
use base::Timestamp;
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub const ROW: Row = Row {
    name: "schedule",
    in_quick: true,
    measures: &[
        Measure {
            key: "schedule",
            title: "scheduling on 1,000 fake nodes",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(15.0),
            json: Some("schedule_ratio"),
        },
        more("schedule start", "the same with the start of Kutter's process and all loading", None),
        less("schedule cpu", "CPU of all servers per pod", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let found = schedule(bench, kind, &Work::plain(bench.sizes.nodes, bench.sizes.scheduled)).await?;
    let mut readings = vec![("schedule", found.rate), ("schedule cpu", found.cpu)];
    readings.extend(found.rate_with_start.map(|rate| ("schedule start", rate)));
    Ok(readings)
}

/// Pods to be scheduled, and on how many nodes.
pub struct Work {
    pub nodes: u64,
    pub pods: u64,
    pub make: fn(u64) -> Value,
}

impl Work {
    /// Small pods that want nothing but room.
    pub fn plain(nodes: u64, pods: u64) -> Self {
        Work { nodes, pods, make: |number| objects::plain_pod(NAMESPACE, &objects::pod_name(number)) }
    }
}

/// Where the schedulers' Events are.
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/bench/events";

/// What scheduling it came to.
pub struct Scheduled {
    /// Pods a second from the first that got a node.
    pub rate: f64,
    /// Kutter's from the start of its process, which loads everything from the disk first.
    pub rate_with_start: Option<f64>,
    /// Microseconds of all servers' CPU for each pod, its Event included; Kutter's with those of its
    /// start.
    pub cpu: f64,
}

/// Upstream's scheduler is started beside the servers that run; Kutter is started again with its own.
/// The time of both begins with the first pod that got a node: each says in an Event when that was.
/// (A watch cannot tell: Kutter has placed some pods before anybody can ask it for a watch.)
pub async fn schedule(bench: &Bench, kind: Kind, work: &Work) -> anyhow::Result<Scheduled> {
    let folder = bench.folder("schedule-")?;
    let mut served = Served::start(bench, kind, Parts::Unscheduled, folder.path()).await?;
    fill(&mut served, work).await?;
    let mut before = served.side.cpu();
    let mut began = bench.env.clock.instant();
    if kind == Kind::Kutter {
        served.stop().await?;
        (before, began) = (0.0, bench.env.clock.instant());
        served = Served::at_once(bench, kind, Parts::Scheduler, folder.path()).await?;
    }
    served.side.add(bench, Component::Scheduler)?;
    all_bound(&mut served, work.pods).await?;
    let (ended, whole) = (bench.env.clock.now(), began.elapsed().as_secs_f64());
    all_told(&served, work.pods).await?;
    let cpu = (served.side.cpu() - before) * 1e6 / work.pods as f64;
    let seconds = (ended.as_microsecond() - first_placed(&served).await?) as f64 / 1e6;
    served.stop().await?;
    let pods = work.pods as f64;
    let rate_with_start = (kind == Kind::Kutter).then(|| pods / whole);
    Ok(Scheduled { rate: pods / seconds, rate_with_start, cpu })
}

/// An Event more may be written after this long.
const QUIET: Duration = Duration::from_secs(1);

/// Waits until there is an Event of each pod, or no more come: a scheduler may drop some.
async fn all_told(served: &Served<'_>, pods: u64) -> anyhow::Result<()> {
    let clock = &served.bench.env.clock;
    let (mut told, mut since) = (0, clock.instant());
    while told < pods && since.elapsed() < QUIET {
        clock.sleep(Duration::from_millis(100)).await;
        // The number, without the weight of all of them.
        let page = served.once(&Shot::get(format!("{EVENTS}?limit=1"), "")).await?;
        let page: Value = serde_json::from_slice(&page)?;
        let now = 1 + page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        if now > told {
            (told, since) = (now, clock.instant());
        }
    }
    eprintln!("  {told} events of {pods} pods");
    Ok(())
}

/// When the scheduler placed its first pod, in microseconds since 1970.
async fn first_placed(served: &Served<'_>) -> anyhow::Result<i64> {
    let list: Value = serde_json::from_slice(&served.once(&Shot::get(EVENTS, "\"Scheduled\"")).await?)?;
    let events = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let placed: Vec<&str> = events
        .iter()
        .filter(|event| event["reason"] == "Scheduled")
        .filter_map(|event| event["eventTime"].as_str())
        .collect();
    // All are written alike, so the earliest is the first as text.
    let first = placed.into_iter().min().context("no event tells of a pod that got a node")?;
    Ok(first.parse::<Timestamp>()?.as_microsecond())
}

async fn fill(served: &mut Served<'_>, work: &Work) -> anyhow::Result<()> {
    served.namespace(NAMESPACE).await?;
    let nodes = Load::http1(16, Until::Done(work.nodes));
    let make: load::Make =
        Arc::new(|number| Shot::create("/api/v1/nodes", objects::node(number).to_string(), objects::node_name(number)));
    served.load(nodes, make).await?;
    // A new node is tainted as not ready until a controller sees that it is; upstream's does not run.
    let make: load::Make = Arc::new(|number| {
        let path = format!("/api/v1/nodes/{}", objects::node_name(number));
        Shot::patch(path, MERGE, r#"{"spec":{"taints":null}}"#, objects::node_name(number))
    });
    served.load(nodes, make).await?;
    let (path, make_pod) = (objects::pods_path(NAMESPACE), work.make);
    let make: load::Make = Arc::new(move |number| Shot::create(&path, make_pod(number).to_string(), MARK));
    served.load(Load::http1(32, Until::Done(work.pods)), make).await?;
    Ok(())
}

/// No pod got a node for so long: none will.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Watches pods that have a node until all have one.
async fn all_bound(served: &mut Served<'_>, pods: u64) -> anyhow::Result<()> {
    let target = served.side.target.clone();
    let (mut sender, driver) = load::connect(&target, Protocol::Http1).await?;
    let driving = served.bench.env.tasks.spawn("connection", driver);
    let path = objects::pods_path(NAMESPACE);
    let shot = Shot::get(format!("{path}?watch=true&fieldSelector=spec.nodeName!="), "");
    let mut body = sender.start(&target, &shot).await?.into_body();
    let mut marks = Marks::new(b"{\"type\":\"ADDED\"");
    let clock = &served.bench.env.clock;
    while marks.count < pods {
        let frame = clock.timeout(STUCK_AFTER, body.frame()).await;
        let frame = frame.with_context(|| format!("only {} of {pods} pods got a node", marks.count))?;
        let frame = frame.context("the watch ended")??;
        marks.feed(frame.data_ref().map_or(&[][..], |data| data));
    }
    driving.abort();
    served.side.check()
}
