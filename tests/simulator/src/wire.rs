//! The network between one component and the API server: slow, lossy, cut now and then, by seed.
//!
//! Every request of the simulation goes through here, so this is also where requests enter the
//! trace, where answers are checked against the store, and where crashes hit: a component dies
//! between a request and its answer, which is where it hurts.

use crate::chaos::{Chaos, Victim, Weather};
use crate::door::Door;
use crate::ledger::Ledger;
use crate::machines::Machines;
use crate::meter::Meter;
use apiserver::Local;
use base::Clock;
use client::{Api, BoxFuture, Error, Event, Request, Response, Verb, Watch};
use futures_util::StreamExt as _;
use meta::{ObjectMeta, User};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What all wires share.
pub struct Net {
    pub clock: Clock,
    pub chaos: Arc<Chaos>,
    pub door: Door,
    pub ledger: Arc<Ledger>,
    pub machines: Machines,
    pub meter: Arc<Meter>,
}

/// A component's way to the server, under its identity.
#[derive(Clone)]
pub struct Wire {
    net: Arc<Net>,
    component: Arc<str>,
    user: User,
    weather: Weather,
    /// Who dies when this wire is told to kill.
    victim: Option<Victim>,
}

impl Wire {
    pub fn new(net: &Arc<Net>, component: &str, user: User, weather: Weather) -> Self {
        Wire { net: net.clone(), component: component.into(), user, weather, victim: None }
    }

    pub fn of_victim(self, victim: Victim) -> Self {
        Wire { victim: Some(victim), ..self }
    }

    async fn deliver(&self, request: Request, mail: &mut Mail<'_>) -> Result<Response, Error> {
        let net = &self.net;
        let fate = net.chaos.fate(&self.component, self.victim, self.weather, &request);
        net.clock.sleep(fate.delay.0).await;
        if let (Some(true), Some(victim)) = (fate.crash, self.victim) {
            self.die(victim).await;
        }
        if let Some(refusal) = fate.refusal {
            return Err(refusal);
        }
        let Some(life) = net.door.life() else {
            return Err(Error::Connection("connection refused".to_owned()));
        };
        if Meter::serves(&request) {
            return net.meter.answer(&net.ledger, &net.clock, &request);
        }
        mail.is_open = true;
        let local = Local::new(life.server.clone(), self.user.clone());
        if net.chaos.server_dies() {
            net.chaos.report(Victim::Server);
        }
        let answer = tokio::select! {
            biased;
            () = life.end.cancelled() => return Err(Error::Connection("connection reset by peer".to_owned())),
            answer = local.call(request.clone()) => answer,
        };
        if let (Some(false), Some(victim)) = (fate.crash, self.victim) {
            self.die(victim).await;
        }
        net.clock.sleep(fate.delay.1).await;
        if fate.lost {
            return Err(Error::Connection("connection reset by peer".to_owned()));
        }
        // After an internal error nobody knows.
        mail.is_open = answer.as_ref().is_err_and(|error| error.is(meta::Reason::InternalError));
        if let Ok(Response::Object { body, .. }) = &answer
            && request.verb != Verb::Get
            && let Some(revision) = revision_of(body)
        {
            net.ledger.acknowledged(&request, revision);
        }
        answer.map(|answer| match answer {
            Response::Watch(events) => Response::Watch(self.watch(events, life.end.clone())),
            other => other,
        })
    }

    /// The component dies here; whoever started it stops its tasks.
    async fn die(&self, victim: Victim) {
        self.net.ledger.note(&format!("{} dies", self.component));
        self.net.chaos.report(victim);
        std::future::pending::<()>().await;
    }

    fn watch(&self, events: Watch, end: CancellationToken) -> Watch {
        let cut = self.net.chaos.watch_life().map(|life| self.net.clock.instant() + life);
        let line = Line { wire: self.clone(), events, end, cut, again: None };
        Box::pin(futures_util::stream::unfold(Some(line), |line| async move {
            let mut line = line?;
            match line.next().await {
                Some(Ok(event)) => Some((Ok(event), Some(line))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        }))
    }
}

impl Api for Wire {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        Box::pin(async move {
            let what = describe(&request);
            let makes_pod =
                request.verb == Verb::Create && &*request.resource.resource == "pods" && request.subresource.is_none();
            let sets_scale = request.verb == Verb::Update && request.subresource.as_deref() == Some("scale");
            let mut mail = Mail { net: &self.net, makes_pod, sets_scale, is_open: false };
            let answer = self.deliver(request, &mut mail).await;
            let outcome = match &answer {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.to_string(),
            };
            self.net.ledger.note(&format!("call {} {what}: {outcome}", self.component));
            answer
        })
    }
}

/// A request whose outcome its sender may never learn.
struct Mail<'a> {
    net: &'a Net,
    makes_pod: bool,
    sets_scale: bool,
    /// It was sent, and no answer has come.
    is_open: bool,
}

impl Drop for Mail<'_> {
    fn drop(&mut self) {
        if self.is_open && self.makes_pod {
            self.net.ledger.judge(|judge, now| judge.expect_surplus(now));
        }
        if self.is_open && self.sets_scale {
            self.net.meter.forget(self.net.clock.instant());
        }
    }
}

/// One watch on its way to the component.
struct Line {
    wire: Wire,
    events: Watch,
    end: CancellationToken,
    /// When it is cut.
    cut: Option<Instant>,
    /// An event that comes twice.
    again: Option<Event>,
}

impl Line {
    async fn next(&mut self) -> Option<Result<Event, Error>> {
        if let Some(event) = self.again.take() {
            return Some(Ok(event));
        }
        let net = self.wire.net.clone();
        let event = loop {
            let cut = async {
                match self.cut {
                    Some(at) => net.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                biased;
                () = self.end.cancelled() => return Some(Err(Error::Connection("connection reset by peer".to_owned()))),
                () = cut => return None,
                event = self.events.next() => event?,
            };
            if !net.chaos.swallows_event() {
                break event;
            }
        };
        if let Some(until) = net.chaos.cut_off(&self.wire.component).filter(|_| self.wire.weather == Weather::Foul) {
            net.clock.sleep_until(until).await;
            return Some(Err(Error::Connection("connection timed out".to_owned())));
        }
        if let Some(until) = net.chaos.behind(&self.wire.component) {
            net.clock.sleep_until(until).await;
        }
        if let Some(delay) = net.chaos.event_delay() {
            net.clock.sleep(delay).await;
        }
        if self.wire.weather == Weather::Foul && net.chaos.repeats_event() {
            self.again = event.as_ref().ok().cloned();
        }
        Some(event)
    }
}

fn describe(request: &Request) -> String {
    let mut text = format!("{} {}", request.verb.as_str(), request.resource.resource);
    for part in [&request.subresource, &request.namespace, &request.name].into_iter().flatten() {
        text.push('/');
        text.push_str(part);
    }
    text
}

fn revision_of(body: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Written {
        metadata: ObjectMeta,
    }
    let written: Written = serde_json::from_slice(body).ok()?;
    written.metadata.resource_version.parse().ok()
}
