//! Pods created by 64 connections; each is answered after it is on the disk.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::load::{Load, Shot, Until};
use crate::objects::{self, NAMESPACE, NOBODY};
use crate::served::Served;
use std::sync::Arc;

pub const ROW: Row = Row {
    name: "creates",
    in_quick: true,
    measures: &[
        Measure {
            key: "creates",
            title: "durable pod creates, 64 connections",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(6.0),
            json: Some("creates_ratio"),
        },
        Measure {
            key: "create cpu",
            title: "server CPU per create",
            unit: Unit::Micros,
            better: Better::Less,
            goal: Some(8.0),
            json: Some("create_cpu_ratio"),
        },
        less("create p50", "create, p50", Unit::Millis, None),
        less("create p99", "create, p99", Unit::Millis, None),
        less("create client", "load generator's CPU meanwhile", Unit::Cores, None),
    ],
    run: Run::Served(|served| Box::pin(run(served))),
};

/// Stands for the name in the body.
const NAME: &str = "(name)";

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    served.namespace(NAMESPACE).await?;
    let path = objects::pods_path(NAMESPACE);
    // Made once: the load generator shares the machine with the servers.
    let template = objects::pod(NAMESPACE, NAME, NOBODY).to_string();
    let load = Load::http1(64, Until::Done(served.bench.sizes.pods));
    let mut cost = served
        .load(
            load,
            Arc::new(move |number| {
                let name = objects::pod_name(number);
                let body = template.replace(NAME, &name);
                Shot::create(&path, body, format!("\"name\":\"{name}\""))
            }),
        )
        .await?;
    Ok(vec![
        ("creates", cost.outcome.rate()),
        ("create cpu", cost.server_cpu),
        ("create p50", cost.outcome.millis(0.5)),
        ("create p99", cost.outcome.millis(0.99)),
        ("create client", cost.client_cores),
    ])
}
