//! Server-side apply of a Deployment of 5 KB: of one that is new, and of one that differs in its images.

use super::{Found, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::load::{APPLY, Load, Make, Shot, Until};
use crate::objects::{self, NAMESPACE};
use crate::served::Served;
use crate::sides::{Kind, Parts};
use std::sync::Arc;
use std::time::Duration;

pub const ROW: Row = Row {
    name: "applies",
    in_quick: false,
    measures: &[
        less("apply new", "server CPU per apply of a new Deployment of 5 KB", Unit::Micros, None),
        less("apply", "the same of one whose images change (goal: 150 µs)", Unit::Micros, None),
        less("apply same", "the same of one that changes nothing", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const DEPLOYMENTS: u64 = 3_000;
/// What the store still does about one load must not count as the next one's.
const AFTERMATH: Duration = Duration::from_secs(3);

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("applies-")?;
    let mut served = Served::start(bench, kind, Parts::Bare, folder.path()).await?;
    served.namespace(NAMESPACE).await?;
    let mut found = Found::new();
    for (key, tag) in [("apply new", "v1.24.3"), ("apply", "v1.25.0"), ("apply same", "v1.25.0")] {
        let load = Load::http1(64, Until::Done(DEPLOYMENTS));
        found.push((key, served.load(load, applied(tag)).await?.server_cpu));
        bench.env.clock.sleep(AFTERMATH).await;
    }
    served.stop().await?;
    Ok(found)
}

fn applied(tag: &'static str) -> Make {
    Arc::new(move |number| {
        let name = format!("web-{number:06}");
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}?fieldManager=deployer");
        let body = objects::deployment(&name, tag).to_string();
        Shot::patch(path, APPLY, body, format!("\"image\":\"registry.example.com/team/server:{tag}\""))
    })
}
