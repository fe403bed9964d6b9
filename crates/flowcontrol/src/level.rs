//! One priority level at work: its queues behind a lock, the clock that drives them, and what its
//! seats were wanted for lately.

use crate::config::LevelSpec;
use crate::control::Flow;
use crate::queues::{Arrival, Queues};
use crate::work::Work;
use base::{Clock, Tasks, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Refused clients are told to come back after at most this many seconds.
const LONGEST_RETRY: u32 = 8;

/// What kind of request holds a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub reads: bool,
    pub watches: bool,
}

/// What the dump pages tell of a request that waits.
#[derive(Debug, Clone)]
pub struct Told {
    pub arrived: Timestamp,
    pub distinguisher: String,
    pub user: String,
    pub verb: String,
    pub path: String,
    pub namespace: String,
    pub name: String,
    pub api_version: String,
    pub resource: String,
    pub subresource: String,
}

/// How a request that waits is told that it may start.
pub struct Ticket {
    grant: oneshot::Sender<Seat>,
    pub flow: Arc<Flow>,
    kind: Kind,
    pub told: Told,
}

pub struct Level {
    pub name: String,
    clock: Clock,
    tasks: Tasks,
    inner: Mutex<Inner>,
}

pub struct Inner {
    pub spec: LevelSpec,
    pub queues: Queues<Ticket>,
    pub nominal: u32,
    pub quiescing: bool,
    last: Instant,
    demand: Demand,
    pub smoothed: f64,
    pub counts: Counts,
    drops: Drops,
}

/// What became of requests, since the level began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub dispatched: u64,
    pub rejected: u64,
    pub timed_out: u64,
    pub cancelled: u64,
}

/// Seats wanted over time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    seconds: f64,
    sum: f64,
    squares: f64,
    pub highest: u32,
}

impl Demand {
    fn add(&mut self, seats: u32, seconds: f64) {
        let seats = f64::from(seats);
        self.seconds += seconds;
        self.sum += seats * seconds;
        self.squares += seats * seats * seconds;
    }

    /// Average and standard deviation.
    pub fn spread(&self) -> (f64, f64) {
        if self.seconds <= 0.0 {
            return (0.0, 0.0);
        }
        let average = self.sum / self.seconds;
        let variance = (self.squares / self.seconds - average * average).max(0.0);
        (average, variance.sqrt())
    }
}

/// How many were refused lately, and for how long refused ones are asked to stay away: longer while
/// many are.
#[derive(Debug)]
struct Drops {
    second: i64,
    count: u32,
    retry: u32,
}

impl Drops {
    fn record(&mut self, second: i64) -> u32 {
        if second != self.second {
            if self.count >= 3 * self.retry {
                self.retry = (self.retry + 1).min(LONGEST_RETRY);
            } else if self.count < self.retry {
                self.retry = self.retry.saturating_sub(1).max(1);
            }
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.retry
    }
}

/// What became of a request.
pub enum Came {
    Seat(Seat),
    Wait(Place),
    /// Why, and after how many seconds to try again.
    Refused(&'static str, u32),
}

/// The right to run; others may have it when this is dropped.
pub struct Seat {
    flow: Arc<Flow>,
    at: usize,
    work: Work,
    kind: Kind,
    started: Instant,
}

/// A place in a queue; given up when dropped.
pub struct Place {
    pub receiver: oneshot::Receiver<Seat>,
    level: Arc<Level>,
    flow: Arc<Flow>,
    kind: Kind,
    at: usize,
    id: u64,
    pub timed_out: bool,
}

impl Level {
    pub fn new(spec: LevelSpec, clock: &Clock, tasks: &Tasks) -> Self {
        let limit = (!spec.exempt).then_some(0);
        let inner = Inner {
            queues: Queues::new(spec.queuing, limit),
            nominal: 0,
            quiescing: false,
            last: clock.instant(),
            demand: Demand::default(),
            smoothed: 0.0,
            counts: Counts::default(),
            drops: Drops { second: 0, count: 0, retry: 1 },
            spec,
        };
        Level { name: inner.spec.name.clone(), clock: clock.clone(), tasks: tasks.clone(), inner: Mutex::new(inner) }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn arrive(
        self: &Arc<Self>,
        flow: &Arc<Flow>,
        hash: u64,
        work: Work,
        kind: Kind,
        told: impl FnOnce() -> Told,
    ) -> Came {
        let now = self.clock.instant();
        let mut inner = self.lock();
        let work = if inner.spec.exempt { Work::ONE } else { work.within(inner.nominal) };
        inner.tick(now);
        let mut receiver = None;
        let arrival = inner.queues.arrive(hash, work, || {
            let (grant, waits) = oneshot::channel();
            receiver = Some(waits);
            Ticket { grant, flow: flow.clone(), kind, told: told() }
        });
        inner.peak();
        match (arrival, receiver) {
            (Arrival::Wait(at), Some(receiver)) => {
                let id = inner.queues.last_id();
                let place = Place { receiver, level: self.clone(), flow: flow.clone(), kind, at, id, timed_out: false };
                drop(inner);
                flow.waits(kind, 1);
                self.dispatch();
                Came::Wait(place)
            }
            (Arrival::Start(at), _) => {
                inner.counts.dispatched += 1;
                drop(inner);
                Came::Seat(seat(flow.clone(), at, work, kind, now))
            }
            (refused, _) => {
                inner.counts.rejected += 1;
                let retry = inner.drops.record(self.clock.now().as_second());
                drop(inner);
                let why = if refused == Arrival::QueueFull { "queue-full" } else { "concurrency-limit" };
                Came::Refused(why, retry)
            }
        }
    }

    /// Of a request that waited too long.
    pub fn record_drop(&self) -> u32 {
        let second = self.clock.now().as_second();
        let mut inner = self.lock();
        inner.counts.timed_out += 1;
        inner.drops.record(second)
    }

    /// Starts whatever may start. Seats change hands outside the lock: one that nobody takes any
    /// more is dropped, which asks for the lock again.
    pub fn dispatch(self: &Arc<Self>) {
        let now = self.clock.instant();
        let mut started = Vec::new();
        {
            let mut inner = self.lock();
            inner.tick(now);
            while let Some((at, next)) = inner.queues.next() {
                inner.counts.dispatched += 1;
                started.push((at, next.work, next.ticket));
            }
        }
        for (at, work, ticket) in started {
            let Ticket { grant, flow, kind, .. } = ticket;
            flow.waits(kind, -1);
            let _ = grant.send(seat(flow, at, work, kind, now));
        }
    }

    fn finish(self: &Arc<Self>, at: usize, work: Work, seconds: f64, now: Instant) {
        let has_more = {
            let mut inner = self.lock();
            inner.tick(now);
            inner.queues.finish(at, &work, seconds);
            inner.queues.waiting > 0
        };
        if has_more {
            self.dispatch();
        }
        if work.final_seats == 0 {
            return;
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return self.release(at, work.final_seats);
        }
        let level = self.clone();
        self.tasks.spawn("lingering seats", async move {
            level.clock.sleep(work.linger).await;
            level.release(at, work.final_seats);
        });
    }

    fn release(self: &Arc<Self>, at: usize, seats: u32) {
        let now = self.clock.instant();
        {
            let mut inner = self.lock();
            inner.tick(now);
            inner.queues.release(at, seats);
        }
        self.dispatch();
    }
}

fn seat(flow: Arc<Flow>, at: usize, work: Work, kind: Kind, now: Instant) -> Seat {
    flow.starts(kind, work.widest());
    Seat { flow, at, work, kind, started: now }
}

impl Inner {
    /// Brings the virtual clock and the statistics up to now.
    pub fn tick(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.demand.add(self.queues.demand(), seconds);
        self.queues.advance(seconds);
    }

    fn peak(&mut self) {
        self.demand.highest = self.demand.highest.max(self.queues.demand());
    }

    /// What was wanted since the last call.
    pub fn take_demand(&mut self, now: Instant) -> Demand {
        self.tick(now);
        let taken = std::mem::take(&mut self.demand);
        self.peak();
        taken
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let level = &self.flow.level;
        let now = level.clock.instant();
        let seconds = now.duration_since(self.started).as_secs_f64();
        self.flow.ends(self.kind, self.work.widest(), seconds);
        level.finish(self.at, self.work, seconds, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gave_up = {
            let now = self.level.clock.instant();
            let mut inner = self.level.lock();
            inner.tick(now);
            let gave_up = inner.queues.give_up(self.at, self.id);
            inner.counts.cancelled += u64::from(gave_up && !self.timed_out);
            gave_up
        };
        if gave_up {
            self.flow.waits(self.kind, -1);
            // Whoever stood behind it may fit.
            self.level.dispatch();
        }
    }
}
