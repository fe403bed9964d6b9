//! Watchers of one namespace while pods are created in it: how many events a second reach them, all
//! of them, in full.

use super::{Found, Measure, Row, Run, more};
use crate::load::{self, Load, Marks, Protocol, Sender, Shot, Until};
use crate::objects::{self, NOBODY};
use crate::served::Served;
use anyhow::Context as _;
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// As the first full runs showed: four times upstream's deliveries, or something got slower.
const GOAL: Option<f64> = Some(4.0);
const FEW: Measure = Measure { goal: GOAL, ..more("watch 100", "WATCH fan-out, deliveries to 100 watchers", None) };
const MANY: Measure = Measure { goal: GOAL, ..more("watch 1000", "WATCH fan-out, deliveries to 1,000 watchers", None) };

pub const ROW: Row =
    Row { name: "watches", in_quick: true, measures: &[FEW, MANY], run: Run::Served(|served| Box::pin(run(served))) };

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    let mut found = Found::new();
    for (watchers, changes) in served.bench.sizes.watches {
        let key = if *watchers <= 100 { FEW.key } else { MANY.key };
        let namespace = format!("watched-{watchers}");
        found.push((key, fan_out(served, namespace, *watchers, 0, *changes).await?));
    }
    Ok(found)
}

/// How long all events may take to arrive.
const ARRIVE_WITHIN: Duration = Duration::from_secs(120);

/// Deliveries a second to `watchers`, beside `stuck` ones that never read what they are sent.
pub async fn fan_out(
    served: &mut Served<'_>,
    namespace: String,
    watchers: u64,
    stuck: u64,
    changes: u64,
) -> anyhow::Result<f64> {
    served.namespace(&namespace).await?;
    let env = &served.bench.env;
    let target = served.side.target.clone();
    let arrived = Arc::new(AtomicU64::new(0));
    let path = objects::pods_path(&namespace);
    let mut tasks = Vec::new();
    let mut unread = Vec::new();
    for number in 0..watchers + stuck {
        let (mut sender, driver) = load::connect(&target, Protocol::Http1).await?;
        let shot = Shot::get(format!("{path}?watch=true"), "");
        tasks.push(env.tasks.spawn("connection", driver));
        let response = sender.start(&target, &shot).await.context("a watch was refused")?;
        if number >= watchers {
            unread.push((sender, response));
            continue;
        }
        let arrived = arrived.clone();
        tasks.push(env.tasks.spawn("watcher", count(sender, response.into_body(), changes, arrived)));
    }
    let began = env.clock.instant();
    let make: load::Make = Arc::new(move |number| {
        let name = objects::pod_name(number);
        Shot::create(&path, objects::pod(&namespace, &name, NOBODY).to_string(), format!("\"name\":\"{name}\""))
    });
    load::run(env, &target, Load::http1(8, Until::Done(changes)), make).await?;
    let wanted = watchers * changes;
    while arrived.load(Ordering::Relaxed) < wanted {
        let seen = arrived.load(Ordering::Relaxed);
        anyhow::ensure!(began.elapsed() < ARRIVE_WITHIN, "only {seen} of {wanted} events arrived");
        env.clock.sleep(Duration::from_millis(1)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(wanted as f64 / seconds)
}

async fn count(_open: Sender, mut body: hyper::body::Incoming, changes: u64, arrived: Arc<AtomicU64>) {
    let mut marks = Marks::new(b"{\"type\":\"ADDED\"");
    let mut reported = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        marks.feed(data);
        // More than were made would hide others that are missing.
        let now = marks.count.min(changes);
        arrived.fetch_add(now - reported, Ordering::Relaxed);
        reported = now;
    }
}
