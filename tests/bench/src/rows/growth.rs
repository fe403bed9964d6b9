//! What one object costs as there are more of them: the last thousand creates, GETs, a LIST's share
//! and memory, with 1,000 to 100,000 pods. Upstream is measured up to 10,000.

use super::{Better, Found, Measure, Row, Run, Unit};
use crate::bench::Bench;
use crate::load::{Load, Make, Shot, Until};
use crate::objects::{self, MARK, NAMESPACE, NOBODY};
use crate::served::Served;
use crate::sides::{Kind, Parts};
use crate::usage;
use std::sync::Arc;
use std::time::Duration;

/// How many pods there are, and the keys of what is then measured.
struct Step {
    pods: u64,
    create: &'static str,
    get: &'static str,
    list: &'static str,
    memory: &'static str,
}

macro_rules! steps {
    ($(($pods:literal, $shown:literal)),*) => {
        const STEPS: &[Step] = &[$(Step {
            pods: $pods,
            create: concat!("create cpu at ", $shown),
            get: concat!("get cpu at ", $shown),
            list: concat!("list cpu at ", $shown),
            memory: concat!("memory at ", $shown),
        }),*];
        pub const ROW: Row = Row {
            name: "growth",
            in_quick: false,
            measures: &[
                $(grown(concat!("create cpu at ", $shown), concat!("at ", $shown, " pods: server CPU per create"), Unit::Micros)),*,
                $(grown(concat!("get cpu at ", $shown), concat!("at ", $shown, " pods: server CPU per GET"), Unit::Micros)),*,
                $(grown(concat!("list cpu at ", $shown), concat!("at ", $shown, " pods: server CPU of a LIST per pod"), Unit::Micros)),*,
                $(grown(concat!("memory at ", $shown), concat!("at ", $shown, " pods: memory above idle per pod"), Unit::Bytes)),*,
            ],
            run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
        };
    };
}

steps!((1_000, "1,000"), (10_000, "10,000"), (50_000, "50,000"), (100_000, "100,000"));

const fn grown(key: &'static str, title: &'static str, unit: Unit) -> Measure {
    Measure { key, title, unit, better: Better::Less, goal: None, json: None }
}

/// The loads whose cost is measured at each step.
const CREATES: u64 = 1_000;
const GETS: u64 = 20_000;
const LISTED: u64 = 400_000;
const UPSTREAM_UP_TO: u64 = 10_000;

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("growth-")?;
    let mut served = Served::start(bench, kind, Parts::Api, folder.path()).await?;
    served.namespace(NAMESPACE).await?;
    let (mut found, mut there) = (Found::new(), 0);
    for step in STEPS.iter().filter(|step| kind == Kind::Kutter || step.pods <= UPSTREAM_UP_TO) {
        let before = step.pods - CREATES.min(step.pods);
        if before > there {
            served.load(Load::http1(64, Until::Done(before - there)), creates(there)).await?;
            there = before;
        }
        let created = served.load(Load::http1(64, Until::Done(step.pods - there)), creates(there)).await?;
        there = step.pods;
        let got = served.load(Load::http1(64, Until::Done(GETS)), gets(there)).await?;
        let path = objects::pods_path(NAMESPACE);
        let pods = step.pods;
        let lists: Make = Arc::new(move |_| Shot::list(&path, MARK, pods));
        let listed = served.load(Load::http1(2, Until::Done((LISTED / pods).clamp(4, 100))), lists).await?;
        // What lists took is given back, as far as it is.
        bench.env.clock.sleep(Duration::from_secs(2)).await;
        let memory = usage::pss_bytes(&served.side.pids()) - served.idle;
        found.extend([
            (step.create, created.server_cpu),
            (step.get, got.server_cpu),
            (step.list, listed.server_cpu / pods as f64),
            (step.memory, memory / pods as f64),
        ]);
    }
    served.stop().await?;
    Ok(found)
}

fn creates(first: u64) -> Make {
    let path = objects::pods_path(NAMESPACE);
    Arc::new(move |number| {
        let name = objects::pod_name(first + number);
        Shot::create(&path, objects::pod(NAMESPACE, &name, NOBODY).to_string(), MARK)
    })
}

fn gets(pods: u64) -> Make {
    let path = objects::pods_path(NAMESPACE);
    Arc::new(move |number| {
        let name = objects::pod_name(number.wrapping_mul(7919) % pods);
        Shot::get(format!("{path}/{name}"), format!("\"name\":\"{name}\""))
    })
}
