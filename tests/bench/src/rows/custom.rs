//! A hundred definitions of custom resources with rules in CEL, and objects of them. Upstream's 1.20
//! knows no such rules: Kutter alone.

use super::{Found, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::load::{Load, Make, Shot, Until};
use crate::objects::{self, NAMESPACE};
use crate::served::Served;
use crate::sides::{Kind, Parts};
use std::sync::Arc;
use std::time::Duration;

pub const ROW: Row = Row {
    name: "custom",
    in_quick: false,
    measures: &[
        less("definition", "server CPU per create of 100 definitions with CEL rules", Unit::Micros, None),
        less("custom", "server CPU per create of an object of them (goal: 200 µs)", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const DEFINITIONS: u64 = 100;
const OBJECTS: u64 = 5_000;
const SERVED_WITHIN: Duration = Duration::from_secs(60);

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    if kind == Kind::Upstream {
        return Ok(Found::new());
    }
    let folder = bench.folder("custom-")?;
    let mut served = Served::start(bench, kind, Parts::Bare, folder.path()).await?;
    served.namespace(NAMESPACE).await?;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let make: Make = Arc::new(move |number| {
        let name = format!("\"widgets{number}.bench.kutter.io\"");
        Shot::create(definitions, objects::definition(number).to_string(), name)
    });
    let defined = served.load(Load::http1(8, Until::Done(DEFINITIONS)), make).await?;
    until_served(&served).await?;
    let make: Make = Arc::new(|number| {
        let (of, name) = (number % DEFINITIONS, format!("widget-{number:06}"));
        let body = objects::custom(of, &name).to_string();
        Shot::create(path(of), body, format!("\"name\":\"{name}\""))
    });
    let made = served.load(Load::http1(16, Until::Done(OBJECTS)), make).await?;
    served.stop().await?;
    Ok(vec![("definition", defined.server_cpu), ("custom", made.server_cpu)])
}

fn path(number: u64) -> String {
    format!("/apis/bench.kutter.io/v1/namespaces/{NAMESPACE}/widgets{number}")
}

async fn until_served(served: &Served<'_>) -> anyhow::Result<()> {
    let clock = &served.bench.env.clock;
    let deadline = clock.instant() + SERVED_WITHIN;
    for number in 0..DEFINITIONS {
        while let Err(why) = served.once(&Shot::get(path(number), "")).await {
            anyhow::ensure!(clock.instant() < deadline, "not served after {SERVED_WITHIN:?}: {why:#}");
            clock.sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}
