//! How many writes a second the store makes durable: 64 writers, values of 5 KB, a real disk.
//! `cargo run -p store --example throughput [DIRECTORY] [SECONDS]`

use base::Env;
use bytes::Bytes;
use futures_util::future::join_all;
use std::path::PathBuf;
use std::time::Duration;
use store::{Event, Expect, Sink, SqliteStore, Store, StoreError, Write};

const WRITERS: usize = 64;
const VALUE_BYTES: usize = 5 << 10;

struct Deaf;

impl Sink for Deaf {
    fn publish(&mut self, _: &[Event]) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "throughput-data".to_owned()));
    let seconds = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let env = Env::real();
    let store = SqliteStore::open(&directory, &env, None)?;
    let first = store.start(Box::new(Deaf))?.revision;
    let begun = env.clock.instant();
    let writers = (0..WRITERS).map(|index| write(&store, &env, format!("/bench/{first}/{index}"), seconds));
    let mut latencies: Vec<Duration> = join_all(writers).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let elapsed = begun.elapsed();
    store.close().await;
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{} writes in {elapsed:.1?}: {:.0}/s, p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        latencies.len(),
        latencies.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Creates a key and changes it until the time is up; returns how long each write took.
async fn write(store: &SqliteStore, env: &Env, key: String, seconds: u64) -> Result<Vec<Duration>, StoreError> {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let end = env.clock.instant() + Duration::from_secs(seconds);
    let mut expect = Expect::Absent;
    let mut latencies = Vec::new();
    while env.clock.instant() < end {
        let write = Write { key: key.as_str().into(), expect, value: Some(value.clone()), last: None };
        let begun = env.clock.instant();
        expect = Expect::Revision(store.commit(write).await?);
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}
