//! What watchers lose to others that never read what they are sent: nothing, it should be.

use super::watches::fan_out;
use super::{Found, Measure, Row, Run, more};
use crate::served::Served;

const ALONE: Measure = more("watch alone", "WATCH, deliveries to 20 watchers", None);
const BESIDE: Measure = more("watch beside stuck", "the same beside 20 that never read", None);

pub const ROW: Row = Row {
    name: "stuck",
    in_quick: false,
    measures: &[ALONE, BESIDE],
    run: Run::Served(|served| Box::pin(run(served))),
};

const WATCHERS: u64 = 20;
/// Far more than the buffers on the way to a stuck one can hold.
const CHANGES: u64 = 3_000;

async fn run(served: &mut Served<'_>) -> anyhow::Result<Found> {
    let alone = fan_out(served, "alone".to_owned(), WATCHERS, 0, CHANGES).await?;
    let beside = fan_out(served, "beside".to_owned(), WATCHERS, WATCHERS, CHANGES).await?;
    Ok(vec![(ALONE.key, alone), (BESIDE.key, beside)])
}
