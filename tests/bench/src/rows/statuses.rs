//! The status of pods patched as a kubelet does it, by 64 connections.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::load::{Load, STRATEGIC, Shot, Until};
use crate::objects::{self, NAMESPACE};
use crate::served::Served;
use std::sync::Arc;

pub const ROW: Row = Row {
    name: "statuses",
    in_quick: true,
    measures: &[
        Measure {
            key: "statuses",
            title: "status PATCHes of pods, 64 connections",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(6.0),
            json: Some("statuses_ratio"),
        },
        less("status cpu", "server CPU per status PATCH", Unit::Micros, None),
        less("status p99", "status PATCH, p99", Unit::Millis, None),
    ],
    run: Run::Served(|served| Box::pin(run(served))),
};

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    let path = objects::pods_path(NAMESPACE);
    let now = now(served);
    let load = Load::http1(64, Until::Done(served.bench.sizes.patched));
    let make: crate::load::Make = Arc::new(move |number| {
        let body = objects::running_status(number, &now).to_string();
        let path = format!("{path}/{}/status", objects::pod_name(number));
        Shot::patch(path, STRATEGIC, body, "\"phase\":\"Running\"")
    });
    let mut cost = served.load(load, make).await?;
    Ok(vec![
        ("statuses", cost.outcome.rate()),
        ("status cpu", cost.server_cpu),
        ("status p99", cost.outcome.millis(0.99)),
    ])
}

/// This second, as objects have it.
fn now(served: &Served<'_>) -> String {
    let text = served.bench.env.clock.now().to_string();
    format!("{}Z", &text[..19.min(text.len())])
}
