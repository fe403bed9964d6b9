//! What goes wrong, and when: every decision is drawn from the seed.
//!
//! The wire asks it about each request and each watch, the store about each write. It does nothing
//! itself; [`Chaos::calm`] ends all of it at once.

use base::{Clock, Rng};
use client::{Error, Request, Verb};
use meta::Status;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Fault, Faults, Write};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What can be made to crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The API server with all it has in memory; the store keeps what is durable.
    Server,
    Controllers,
    Scheduler,
}

/// How badly a component's wire behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything can happen.
    Foul,
    /// Requests go through while there is a server; watches are cut, but repeat nothing.
    Fair,
}

/// What happens to one request.
#[derive(Debug)]
pub struct Fate {
    /// On the way there and on the way back.
    pub delay: (Duration, Duration),
    /// It is not done, and this is the answer.
    pub refusal: Option<Error>,
    /// It is done, and the answer gets lost.
    pub lost: bool,
    /// The component that asks dies: with true before the request is done, else right after.
    pub crash: Option<bool>,
}

/// Crashes that were asked for and wait for a request (or a write) to hit.
#[derive(Default)]
struct Armed {
    /// After so many more requests.
    components: BTreeMap<Victim, u64>,
    /// After so many more writes.
    store: Option<u64>,
    partitions: BTreeMap<String, Instant>,
    lags: BTreeMap<String, Instant>,
}

/// Of different seeds.
const INTENSITIES: [f64; 4] = [0.3, 1.0, 1.0, 4.0];

pub struct Chaos {
    rng: Rng,
    clock: Clock,
    /// How many times as often as usual single requests, events and writes go wrong.
    intensity: f64,
    is_on: AtomicBool,
    swallows: AtomicBool,
    armed: Mutex<Armed>,
    crashes: mpsc::Sender<Victim>,
}

impl Chaos {
    pub fn new(rng: Rng, clock: Clock, crashes: mpsc::Sender<Victim>) -> Arc<Self> {
        Arc::new(Chaos {
            intensity: INTENSITIES[rng.usize(0..INTENSITIES.len())],
            rng,
            clock,
            is_on: AtomicBool::new(false),
            swallows: AtomicBool::new(false),
            armed: Mutex::default(),
            crashes,
        })
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// From now on nothing fails that has not failed already.
    pub fn calm(&self) {
        self.is_on.store(false, Ordering::Relaxed);
        *self.armed() = Armed::default();
    }

    /// Breaks a promise: watches lose events from now on. A simulation must not survive that.
    pub fn sabotage(&self) {
        self.swallows.store(true, Ordering::Relaxed);
    }

    pub fn swallows_event(&self) -> bool {
        self.swallows.load(Ordering::Relaxed) && self.rng.chance(0.05)
    }

    /// Has a component die at one of its next requests, or the server at one of its next writes.
    pub fn arm(&self, victim: Victim) {
        let after = self.rng.u64(0..12);
        let at_write = victim == Victim::Server && self.rng.chance(0.6);
        let mut armed = self.armed();
        if at_write {
            armed.store = Some(after);
        } else {
            armed.components.insert(victim, after);
        }
    }

    /// Cuts a component off for a while: requests fail, watches say nothing and then end.
    pub fn partition(&self, component: &str, how_long: Duration) {
        self.armed().partitions.insert(component.to_owned(), self.clock.instant() + how_long);
    }

    /// Until when a component is cut off.
    pub fn cut_off(&self, component: &str) -> Option<Instant> {
        self.armed().partitions.get(component).copied().filter(|until| *until > self.clock.instant())
    }

    /// A component's watches tell nothing for a while, and all of it afterwards; requests go through.
    pub fn lag(&self, component: &str, how_long: Duration) {
        self.armed().lags.insert(component.to_owned(), self.clock.instant() + how_long);
    }

    /// Until when a component hears nothing.
    pub fn behind(&self, component: &str) -> Option<Instant> {
        self.armed().lags.get(component).copied().filter(|until| *until > self.clock.instant())
    }

    /// Tells the world that something died. A full queue means it knows of enough deaths.
    pub fn report(&self, victim: Victim) {
        let _ = self.crashes.try_send(victim);
    }

    /// Counts a request of `victim` towards its death.
    fn is_last(&self, victim: Victim) -> bool {
        let mut armed = self.armed();
        match armed.components.get_mut(&victim) {
            Some(0) => armed.components.remove(&victim).is_some(),
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// Whether the server dies under this request.
    pub fn server_dies(&self) -> bool {
        self.is_on() && self.is_last(Victim::Server)
    }

    pub fn fate(&self, component: &str, victim: Option<Victim>, weather: Weather, request: &Request) -> Fate {
        let delay = (self.millis(1..4), self.millis(1..4));
        let mut fate = Fate { delay, refusal: None, lost: false, crash: None };
        if !self.is_on() || weather == Weather::Fair {
            return fate;
        }
        if self.cut_off(component).is_some() {
            fate.delay.0 += self.millis(0..1000);
            fate.refusal = Some(Error::Connection("no route to host".to_owned()));
            return fate;
        }
        fate.crash = victim.filter(|victim| self.is_last(*victim)).map(|_| self.rng.chance(0.5));
        let dice = self.dice();
        let is_watch = request.verb == Verb::Watch;
        if dice < 0.02 || is_watch && dice < 0.06 {
            fate.refusal = Some(self.refusal(request));
        } else if dice < 0.04 {
            fate.lost = true;
        } else if dice < 0.10 {
            fate.delay.0 += self.millis(0..300);
            fate.delay.1 += self.millis(0..300);
        } else if dice < 0.105 {
            fate.delay.0 += self.millis(0..5000);
        }
        fate
    }

    fn refusal(&self, request: &Request) -> Error {
        let changes = matches!(request.verb, Verb::Update | Verb::Patch(_));
        if request.verb == Verb::Watch && self.rng.chance(0.5) {
            // Its past is forgotten: the client has to list again.
            return Status::expired("too old resource version").into();
        }
        match self.rng.u64(0..4) {
            // Of a deletion a conflict would mean that another object has the name now.
            0 if changes => {
                let name = request.name.as_deref().unwrap_or_default();
                Status::conflict(&request.resource.group_resource(), name, "the object has been modified").into()
            }
            1 => Status::too_many_requests("too many requests, please try again later", 1).into(),
            2 => Status::internal("the simulated server stumbled").into(),
            _ => Error::Connection("connection refused".to_owned()),
        }
    }

    /// How long a new watch lives, if not as long as it is asked to.
    pub fn watch_life(&self) -> Option<Duration> {
        (self.is_on() && self.rng.chance(0.5)).then(|| self.millis(0..60_000))
    }

    /// How long an event is on its way.
    pub fn event_delay(&self) -> Option<Duration> {
        if !self.is_on() {
            return None;
        }
        match self.dice() {
            dice if dice < 0.05 => Some(self.millis(0..500)),
            dice if dice < 0.055 => Some(self.millis(0..8000)),
            _ => None,
        }
    }

    pub fn repeats_event(&self) -> bool {
        self.is_on() && self.dice() < 0.02
    }

    /// Small where things go wrong.
    fn dice(&self) -> f64 {
        self.rng.f64() / self.intensity
    }

    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }
}

/// The store's share of it.
pub struct StoreFaults(pub Arc<Chaos>);

impl Faults for StoreFaults {
    fn before_commit(&self, _write: &Write) -> Fault {
        let chaos = &self.0;
        if !chaos.is_on() {
            return Fault::None;
        }
        let mut armed = chaos.armed();
        match armed.store.as_mut() {
            Some(0) => {
                armed.store = None;
                drop(armed);
                chaos.report(Victim::Server);
                return if chaos.rng.chance(0.5) { Fault::CrashBefore } else { Fault::CrashAfter };
            }
            Some(left) => *left -= 1,
            None => {}
        }
        drop(armed);
        match chaos.dice() {
            dice if dice < 0.03 => Fault::Slow(chaos.millis(0..200)),
            dice if dice < 0.035 => Fault::Busy,
            _ => Fault::None,
        }
    }
}
