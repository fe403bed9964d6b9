//! Events on their way to a backend that may be slow: a bounded buffer, batches by size and time, so
//! many batches a second. A full buffer drops what comes, and says so.

use crate::event::{Event, Format};
use crate::metrics::Counters;
use crate::{Sink, line};
use base::Env;
use bytes::Bytes;
use client::api::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Events wait in a buffer and are sent together.
    #[default]
    Batch,
    /// A request is answered after its events were handed over.
    Blocking,
}

#[derive(Debug, Clone)]
pub struct Batching {
    pub mode: Mode,
    pub buffer: usize,
    pub max_size: usize,
    pub max_wait: Duration,
    /// Batches per second, and how many at once; None: as many as there are.
    pub throttle: Option<(f64, u32)>,
}

/// Takes batches of lines.
pub trait Backend: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn send(&self, events: Vec<Bytes>) -> BoxFuture<'_, Result<(), String>>;
}

/// The sender's side of the buffer.
pub struct Buffered {
    queue: mpsc::Sender<Bytes>,
    format: Format,
    plugin: &'static str,
    counters: Counters,
}

impl Sink for Buffered {
    fn take(&self, event: &Event<'_>) {
        let Some(line) = line(event, self.format) else { return };
        if self.queue.try_send(line).is_err() {
            self.counters.failed(self.plugin, 1);
            warn!(backend = self.plugin, "audit buffer queue blocked, an event was dropped");
        }
    }
}

/// Starts the task that empties the buffer; it sends what is left before the process ends.
pub fn start(
    env: &Env,
    backend: Arc<dyn Backend>,
    batching: &Batching,
    format: Format,
    counters: &Counters,
) -> Box<dyn Sink> {
    let (queue, buffer) = mpsc::channel(batching.buffer.max(1));
    let worker =
        Worker { env: env.clone(), backend: backend.clone(), batching: batching.clone(), counters: counters.clone() };
    env.tasks.spawn_to_end("audit batches", worker.run(buffer));
    Box::new(Buffered { queue, format, plugin: backend.name(), counters: counters.clone() })
}

struct Worker {
    env: Env,
    backend: Arc<dyn Backend>,
    batching: Batching,
    counters: Counters,
}

impl Worker {
    async fn run(self, mut buffer: mpsc::Receiver<Bytes>) {
        let shutdown = self.env.tasks.shutdown();
        let mut bucket = self.batching.throttle.map(|(rate, burst)| Bucket::new(rate, burst, self.env.clock.instant()));
        loop {
            let mut batch = Vec::new();
            let is_over = tokio::select! {
                is_over = self.collect(&mut buffer, &mut batch) => is_over,
                () = shutdown.wait() => true,
            };
            if is_over {
                while let Ok(event) = buffer.try_recv() {
                    batch.push(event);
                }
            }
            if let Some(bucket) = bucket.as_mut().filter(|_| !is_over) {
                self.env.clock.sleep(bucket.take(self.env.clock.instant())).await;
            }
            self.send(batch).await;
            if is_over {
                return;
            }
        }
    }

    /// Fills a batch; true once nobody sends any more.
    async fn collect(&self, buffer: &mut mpsc::Receiver<Bytes>, batch: &mut Vec<Bytes>) -> bool {
        let Some(first) = buffer.recv().await else { return true };
        batch.push(first);
        let deadline = self.env.clock.instant() + self.batching.max_wait;
        while batch.len() < self.batching.max_size {
            let left = deadline.saturating_duration_since(self.env.clock.instant());
            let room = self.batching.max_size - batch.len();
            match self.env.clock.timeout(left, buffer.recv_many(batch, room)).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        false
    }

    async fn send(&self, batch: Vec<Bytes>) {
        let count = batch.len();
        if count == 0 {
            return;
        }
        if let Err(error) = self.backend.send(batch).await {
            self.counters.failed(self.backend.name(), count);
            warn!(backend = self.backend.name(), count, error, "cannot deliver audit events");
        }
    }
}

/// A token bucket.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    last: Instant,
}

impl Bucket {
    fn new(rate: f64, burst: u32, now: Instant) -> Self {
        Bucket { rate: rate.max(0.001), burst: f64::from(burst.max(1)), tokens: f64::from(burst.max(1)), last: now }
    }

    /// How long to wait for the next token, which is taken.
    fn take(&mut self, now: Instant) -> Duration {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.tokens = (self.tokens + seconds * self.rate).min(self.burst) - 1.0;
        Duration::from_secs_f64((-self.tokens / self.rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<usize>>);

    impl Backend for Kept {
        fn name(&self) -> &'static str {
            "test"
        }

        fn send(&self, events: Vec<Bytes>) -> BoxFuture<'_, Result<(), String>> {
            self.0.lock().unwrap().push(events.len());
            Box::pin(async { Ok(()) })
        }
    }

    fn worker(env: &Env, kept: &Arc<Kept>, batching: Batching) -> Worker {
        Worker { env: env.clone(), backend: kept.clone(), batching, counters: Counters::new(&env.metrics) }
    }

    #[tokio::test(start_paused = true)]
    async fn events_go_in_batches_by_size_and_by_time_and_the_last_before_the_end() {
        let env = Env::simulated(1, base::Timestamp::UNIX_EPOCH);
        let kept = Arc::new(Kept::default());
        let batching = Batching {
            mode: Mode::Batch,
            buffer: 10,
            max_size: 4,
            max_wait: Duration::from_secs(30),
            throttle: Some((10.0, 1)),
        };
        let (queue, buffer) = mpsc::channel(10);
        env.tasks.spawn_to_end("worker", worker(&env, &kept, batching).run(buffer));
        for _ in 0..10 {
            queue.try_send(Bytes::from_static(b"{}\n")).unwrap();
        }
        assert!(queue.try_send(Bytes::new()).is_err(), "the buffer is bounded");
        env.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(*kept.0.lock().unwrap(), [4, 4]);
        env.clock.sleep(Duration::from_secs(30)).await;
        assert_eq!(*kept.0.lock().unwrap(), [4, 4, 2]);
        queue.try_send(Bytes::from_static(b"{}\n")).unwrap();
        tokio::task::yield_now().await;
        env.tasks.stop().await;
        assert_eq!(kept.0.lock().unwrap().iter().sum::<usize>(), 11);
    }
}
