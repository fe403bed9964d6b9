//! Ten times the pods on five times the nodes: what a pod costs must not follow the size of the cluster.
//! Kutter alone; upstream would take many minutes.

use super::schedule::{Work, schedule};
use super::{Found, Row, Run, Unit, less, more};
use crate::bench::Bench;
use crate::sides::Kind;

pub const ROW: Row = Row {
    name: "schedule-large",
    in_quick: false,
    measures: &[
        more("schedule large", "scheduling 50,000 pods on 5,000 fake nodes", None),
        less("schedule large cpu", "CPU per such pod", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    if kind == Kind::Upstream {
        return Ok(Vec::new());
    }
    let found = schedule(bench, kind, &Work::plain(5_000, 50_000)).await?;
    Ok(vec![("schedule large", found.rate), ("schedule large cpu", found.cpu)])
}
