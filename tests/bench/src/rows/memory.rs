//! Memory of all processes of a side: before any load, and the most that it used while the rows
//! before this one ran.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::served::Served;

pub const ROW: Row = Row {
    name: "memory",
    in_quick: true,
    measures: &[
        Measure {
            key: "memory",
            title: "memory (PSS) at the peak of creates and lists",
            unit: Unit::Bytes,
            better: Better::Less,
            goal: Some(8.0),
            json: Some("memory_ratio"),
        },
        less("memory idle", "memory before any load", Unit::Bytes, None),
    ],
    run: Run::Served(|served| Box::pin(run(served))),
};

#[allow(clippy::unused_async, reason = "the form every row has")]
async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    Ok(vec![("memory", served.peak()), ("memory idle", served.idle)])
}
