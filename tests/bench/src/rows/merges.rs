//! The strategic merge of a kubelet's status into a pod, the step alone: in this process, without a
//! server. Upstream's cannot be had alone.

use super::{Found, Row, Run, Unit, less};
use crate::objects::{self, NAMESPACE, NOBODY};
use crate::sides::Kind;
use crate::usage;
use anyhow::Context as _;
use std::hint::black_box;

pub const ROW: Row = Row {
    name: "merges",
    in_quick: false,
    measures: &[less("merge", "strategic merge of a pod's status, the step alone (goal: 60 µs)", Unit::Micros, None)],
    run: Run::Alone(|_, kind| Box::pin(async move { run(kind) })),
};

const TIMES: u32 = 10_000;

fn run(kind: Kind) -> anyhow::Result<Found> {
    if kind == Kind::Upstream {
        return Ok(Found::new());
    }
    let id = kinds::type_id("core.v1.Pod").context("there are no pods")?;
    let cursor = kinds::schema().cursor(id);
    let mut pod = objects::pod(NAMESPACE, "pod-1", NOBODY);
    pod["status"] = objects::running_status(1, "2026-01-01T00:00:00Z")["status"].take();
    let patch = objects::running_status(2, "2026-01-02T00:00:00Z");
    let began = usage::cpu_seconds(&[usage::own_pid()]);
    for _ in 0..TIMES {
        black_box(wire::patch::strategic_merge(black_box(&pod), black_box(&patch), &cursor)?);
    }
    let took = usage::cpu_seconds(&[usage::own_pid()]) - began;
    Ok(vec![("merge", took * 1e6 / f64::from(TIMES))])
}
