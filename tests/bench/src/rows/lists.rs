//! LISTs of every pod, four at a time, over HTTP/1.1 and HTTP/2; every list is counted through.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::load::{Load, Protocol, Shot, Until};
use crate::objects::{self, MARK, NAMESPACE};
use crate::served::Served;
use std::sync::Arc;

pub const ROW: Row = Row {
    name: "lists",
    in_quick: true,
    measures: &[
        Measure {
            key: "lists",
            title: "LIST all pods, 4 at a time, HTTP/1.1",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(12.0),
            json: Some("lists_ratio"),
        },
        Measure {
            key: "lists http2",
            title: "the same over HTTP/2",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(5.0),
            json: Some("lists_http2_ratio"),
        },
        Measure {
            key: "list cpu",
            title: "server CPU per LIST, HTTP/1.1",
            unit: Unit::Millis,
            better: Better::Less,
            goal: Some(25.0),
            json: Some("list_cpu_ratio"),
        },
        less("list cpu http2", "server CPU per LIST, HTTP/2", Unit::Millis, None),
        less("list client", "load generator's CPU meanwhile, HTTP/1.1", Unit::Cores, None),
        less("list bytes", "length of a LIST", Unit::Bytes, None),
    ],
    run: Run::Served(|served| Box::pin(run(served))),
};

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    let sizes = served.bench.sizes.clone();
    let path = objects::pods_path(NAMESPACE);
    let make: crate::load::Make = Arc::new(move |_| Shot::list(&path, MARK, sizes.pods));
    // Kutter's are over too soon to be measured well otherwise.
    let count = match served.side.kind {
        crate::sides::Kind::Kutter => sizes.lists * 8,
        crate::sides::Kind::Upstream => sizes.lists,
    };
    let http1 = served.load(Load::http1(4, Until::Done(count)), make.clone()).await?;
    let http2 = Load { connections: 4, streams: 1, protocol: Protocol::Http2, until: Until::Done(count) };
    let http2 = served.load(http2, make).await?;
    Ok(vec![
        ("lists", http1.outcome.rate()),
        ("lists http2", http2.outcome.rate()),
        ("list cpu", http1.server_cpu / 1000.0),
        ("list cpu http2", http2.server_cpu / 1000.0),
        ("list client", http1.client_cores),
        ("list bytes", http1.outcome.bytes as f64 / http1.outcome.done.max(1) as f64),
    ])
}
