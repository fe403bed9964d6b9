//! From the start of the first process, on an empty folder, to the first good answer of /readyz over
//! TLS; and the same on the folder that this left. Certificates are made beforehand for upstream, by
//! the start itself for Kutter.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::sides::{Kind, Parts, Side};

pub const ROW: Row = Row {
    name: "ready",
    in_quick: true,
    measures: &[
        Measure {
            key: "ready",
            title: "start to /readyz, empty folder",
            unit: Unit::Millis,
            better: Better::Less,
            goal: Some(15.0),
            json: Some("ready_ratio"),
        },
        less("ready again", "start to /readyz, existing folder", Unit::Millis, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("ready-")?;
    let mut found = Found::new();
    for key in ["ready", "ready again"] {
        let side = Side::start(bench, kind, Parts::Api, folder.path()).await?;
        found.push((key, side.ready_after.as_secs_f64() * 1000.0));
        side.stop(bench).await?;
    }
    Ok(found)
}
