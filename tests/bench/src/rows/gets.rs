//! GETs of one pod after another by 64 connections: the newest state, and what `resourceVersion=0`
//! may answer from a cache. Kutter's are both the newest.

use super::{Better, Found, Measure, Row, Run, Unit, less, more};
use crate::load::{Load, Protocol, Shot, Until};
use crate::objects::{self, NAMESPACE};
use crate::served::Served;
use std::sync::Arc;
use std::time::Duration;

pub const ROW: Row = Row {
    name: "gets",
    in_quick: true,
    measures: &[
        Measure {
            key: "gets",
            title: "GET a pod, up to date, 64 connections",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(8.0),
            json: Some("gets_ratio"),
        },
        Measure {
            key: "get cpu",
            title: "server CPU per GET",
            unit: Unit::Micros,
            better: Better::Less,
            goal: Some(10.0),
            json: Some("get_cpu_ratio"),
        },
        less("get p99", "GET, p99", Unit::Millis, None),
        less("get client", "load generator's CPU meanwhile", Unit::Cores, None),
        more("gets cached", "GET a pod, from upstream's cache", None),
        more("gets http2", "GET a pod, up to date, HTTP/2, 4 connections of 16 streams", None),
    ],
    run: Run::Served(|served| Box::pin(run(served))),
};

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    let until = Until::Passed(Duration::from_secs(served.bench.sizes.get_seconds));
    let mut fresh = served.load(Load::http1(64, until), make(served, "")).await?;
    let cached = served.load(Load::http1(64, until), make(served, "?resourceVersion=0")).await?;
    let http2 = Load { connections: 4, streams: 16, protocol: Protocol::Http2, until };
    let http2 = served.load(http2, make(served, "")).await?;
    Ok(vec![
        ("gets", fresh.outcome.rate()),
        ("get cpu", fresh.server_cpu),
        ("get p99", fresh.outcome.millis(0.99)),
        ("get client", fresh.client_cores),
        ("gets cached", cached.outcome.rate()),
        ("gets http2", http2.outcome.rate()),
    ])
}

fn make(served: &Served<'_>, query: &'static str) -> crate::load::Make {
    let (path, pods) = (objects::pods_path(NAMESPACE), served.bench.sizes.pods);
    Arc::new(move |number| {
        // Steps of a prime: neighbours in time are strangers in the store.
        let name = objects::pod_name(number.wrapping_mul(7919) % pods);
        Shot::get(format!("{path}/{name}{query}"), format!("\"name\":\"{name}\""))
    })
}
