//! The same with required anti-affinity between hosts and spread over zones, in groups of ten pods.

use super::schedule::{Work, schedule};
use super::{Better, Found, Measure, Row, Run, Unit, less, more};
use crate::bench::Bench;
use crate::objects::{self, NAMESPACE};
use crate::sides::Kind;

pub const ROW: Row = Row {
    name: "schedule-affine",
    in_quick: false,
    measures: &[
        Measure {
            key: "schedule affine",
            title: "scheduling with pod anti-affinity and topology spread, 1,000 fake nodes",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(20.0),
            json: None,
        },
        more("schedule affine start", "the same with the start of Kutter's process and all loading", None),
        less("schedule affine cpu", "CPU of all servers per such pod", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

/// Pods of one group keep away from each other.
const GROUP: u64 = 10;

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let make = |number: u64| objects::affine_pod(NAMESPACE, &objects::pod_name(number), number / GROUP);
    let found = schedule(bench, kind, &Work { nodes: bench.sizes.nodes, pods: bench.sizes.affine, make }).await?;
    let mut readings = vec![("schedule affine", found.rate), ("schedule affine cpu", found.cpu)];
    readings.extend(found.rate_with_start.map(|rate| ("schedule affine start", rate)));
    Ok(readings)
}
