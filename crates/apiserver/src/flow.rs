//! Priority and fairness as this server uses it: requests are sorted and given seats before they
//! are worked on, the objects behind it are kept, and schemas are told whether their level exists.
//!
//! What fairness is, is the crate `flowcontrol`'s business; HTTP and in-process clients come in here.

use crate::access::Observer;
use crate::collection::Collection;
use crate::dispatch::attributes;
use crate::object::Object;
use crate::resources::Resource;
use crate::server::Server;
use base::Env;
use client::{Options, Request, Verb};
use flowcontrol::{Entry, FlowControl, GROUP, Inflight, Refused, Seat, Slot, Work, bootstrap};
use futures_util::future::select_all;
use meta::fields::FieldSelector;
use meta::{Attributes, GroupVersionResource, Status, User};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const SCHEMAS: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "flowschemas");
const LEVELS: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "prioritylevelconfigurations");
/// How often bootstrap objects and conditions are looked at (upstream's bound).
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How much clients may ask of the server at a time.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests under way that read, and that write; their sum is the seats of priority and fairness.
    pub max_requests: u32,
    pub max_mutating_requests: u32,
    pub priority_and_fairness: bool,
    /// For all but watches and streams.
    pub request_timeout: Duration,
    /// Watches that name no end run at least this long.
    pub min_request_timeout: Duration,
    /// How likely a client of HTTP/2 is asked to connect anew, per request.
    pub goaway_chance: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_requests: 400,
            max_mutating_requests: 200,
            priority_and_fairness: true,
            request_timeout: Duration::from_secs(60),
            min_request_timeout: Duration::from_secs(1800),
            goaway_chance: 0.0,
        }
    }
}

/// What stands before all work: fair queues, or two plain counters.
pub enum Gate {
    Fair(Arc<FlowControl>),
    Plain(Inflight),
}

/// What lets a request through; dropped when it is done.
#[derive(Default)]
pub struct Pass {
    pub flow: Option<Arc<flowcontrol::Flow>>,
    _seat: Option<Held>,
}

/// Either kind of place.
enum Held {
    Seat { _seat: Seat },
    Slot { _slot: Slot },
}

/// Refused for want of seats; the flow goes into the answer's headers.
pub struct Crowded {
    pub retry_after: u32,
    pub flow: Option<Arc<flowcontrol::Flow>>,
}

impl Gate {
    pub fn new(env: &Env, limits: &Limits) -> Self {
        let total = limits.max_requests.saturating_add(limits.max_mutating_requests);
        match limits.priority_and_fairness && total > 0 {
            true => Gate::Fair(Arc::new(FlowControl::new(env, total))),
            false => Gate::Plain(Inflight::new(limits.max_requests, limits.max_mutating_requests)),
        }
    }

    pub fn observer(&self) -> Option<Arc<dyn Observer>> {
        match self {
            Gate::Fair(control) => Some(Arc::new(Flows(control.clone()))),
            Gate::Plain(_) => None,
        }
    }

    pub fn control(&self) -> Option<&Arc<FlowControl>> {
        match self {
            Gate::Fair(control) => Some(control),
            Gate::Plain(_) => None,
        }
    }

    /// Waits for seats, as long as a part of `limit`. `work` is asked for only where it counts.
    ///
    /// # Errors
    /// There are no seats, and no room to wait for any or none came free in time.
    pub async fn enter(
        &self,
        asked: &Attributes<'_>,
        work: impl FnOnce() -> Work,
        limit: Duration,
    ) -> Result<Pass, Box<Crowded>> {
        let control = match self {
            Gate::Fair(control) => control,
            Gate::Plain(inflight) => {
                let reads = matches!(asked.verb, "get" | "list" | "watch");
                let slot = inflight.enter(reads, asked.user.in_group(auth::names::MASTERS));
                let slot = slot.ok_or_else(|| Box::new(Crowded { retry_after: 1, flow: None }))?;
                return Ok(Pass { flow: None, _seat: Some(Held::Slot { _slot: slot }) });
            }
        };
        let Some(flow) = control.classify(asked) else { return Ok(Pass::default()) };
        let outcome = match control.enter(&flow, asked, work(), limit) {
            Entry::Begin(seat) => Ok(seat),
            Entry::Wait(waiter) => waiter.wait().await,
            Entry::Refused(refused) => Err(refused),
        };
        match outcome {
            Ok(seat) => Ok(Pass { flow: Some(flow), _seat: Some(Held::Seat { _seat: seat }) }),
            Err(Refused { retry_after, .. }) => Err(Box::new(Crowded { retry_after, flow: Some(flow) })),
        }
    }
}

/// Feeds flow control with what is committed.
struct Flows(Arc<FlowControl>);

impl Observer for Flows {
    fn wants(&self, group: &str, _: &str) -> bool {
        group == GROUP
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let value = object.value().ok().filter(|_| !deleted);
        self.0.observe(&resource.kind.resource, &object.index.name, value.as_ref());
    }
}

impl Server {
    /// How much a request for a resource will take.
    pub(crate) fn work_of(&self, row: Option<&Resource>, verb: Verb, name: Option<&str>, options: &Options) -> Work {
        let begins_with_list = verb == Verb::Watch && options.send_initial_events == Some(true);
        if verb != Verb::List && !begins_with_list {
            return Work::ONE;
        }
        let Some(collection) = row.and_then(|row| row.collection.as_ref()) else { return Work::ONE };
        let named = options.field_selector.as_deref().and_then(|selector| FieldSelector::parse(selector).ok());
        if name.is_some() || named.is_some_and(|selector| selector.exact_value("metadata.name").is_some()) {
            return Work::ONE;
        }
        let stored = collection.len() as u64;
        let selects = options.label_selector.is_some() || options.field_selector.is_some();
        let limit = options.limit.filter(|limit| *limit > 0 && !selects).unwrap_or(stored);
        Work::list(stored.min(limit))
    }

    /// Seats for a request of a client in this process.
    ///
    /// # Errors
    /// 429: there are none.
    pub(crate) async fn seat_for(&self, user: &User, request: &Request) -> Result<Pass, Status> {
        let asked = attributes(user, request);
        let work = || {
            let gvr = &request.resource;
            let row = self.resources.find(&gvr.group, &gvr.version, &gvr.resource);
            self.work_of(row.as_deref(), request.verb, request.name.as_deref(), &request.options)
        };
        let outcome = self.flow.enter(&asked, work, self.settings.limits.request_timeout).await;
        outcome.map_err(|crowded| {
            Status::too_many_requests("Too many requests, please try again later.", crowded.retry_after)
        })
    }

    /// Keeps the bootstrap objects and the schemas' conditions, and shares seats out.
    pub(crate) fn keep_flow_control(self: Arc<Self>) {
        let Some(control) = self.flow.control().cloned() else { return };
        self.env.tasks.spawn("seats", control.clone().keep_sharing());
        let tasks = self.env.tasks.clone();
        tasks.spawn("flow control objects", async move {
            loop {
                // From before the round: what changes meanwhile begins the next.
                let ends = self.flow_ends();
                self.keep_objects(&LEVELS, "PriorityLevelConfiguration", bootstrap::levels().collect()).await;
                self.keep_objects(&SCHEMAS, "FlowSchema", bootstrap::schemas().collect()).await;
                self.tell_dangling(&control).await;
                let grown = ends.iter().map(|(all, end)| Box::pin(all.grown_past(*end)));
                let _ = self.env.clock.timeout(KEEP_EVERY, select_all(grown)).await;
            }
        });
    }

    /// Schemas and levels, with where their rings of changes end now.
    fn flow_ends(&self) -> Vec<(Arc<Collection>, u64)> {
        let rows = [&SCHEMAS, &LEVELS].map(|gvr| self.resources.find(&gvr.group, &gvr.version, &gvr.resource));
        let collections = rows.into_iter().flatten().filter_map(|row| row.collection.clone());
        collections.map(|all| (all.clone(), all.snapshot_and_place().2)).collect()
    }

    async fn keep_objects(&self, gvr: &GroupVersionResource, kind: &str, wanted: Vec<Value>) {
        let Some(row) = self.resources.find(&gvr.group, &gvr.version, &gvr.resource) else { return };
        let Some(collection) = &row.collection else { return };
        for object in wanted {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let stored = collection.get(&Object::key("", name)).and_then(|stored| stored.value().ok());
            let request = match bootstrap::upkeep(stored.as_ref(), &object) {
                bootstrap::Upkeep::UpToDate => continue,
                bootstrap::Upkeep::Create => Request::new(Verb::Create, gvr.clone()).body(object.to_string()),
                bootstrap::Upkeep::Update(value) => {
                    Request::new(Verb::Update, gvr.clone()).name(name).body(value.to_string())
                }
            };
            self.do_own(request, kind).await;
        }
        let (objects, _) = collection.snapshot();
        for object in objects.values() {
            let Ok(value) = object.value() else { continue };
            if bootstrap::is_left_over(&value, kind) {
                let request = Request::new(Verb::Delete, gvr.clone()).name(object.index.name.as_str());
                self.do_own(request, kind).await;
            }
        }
    }

    async fn do_own(&self, mut request: Request, kind: &str) {
        request.options.field_manager = Some("api-priority-and-fairness-config-producer-v1".to_owned());
        // Someone else may have been quicker: the next round sees what he did.
        if let Err(status) = self.call(request).await
            && !status.is(meta::Reason::Conflict)
            && !status.is(meta::Reason::AlreadyExists)
            && !status.is(meta::Reason::NotFound)
        {
            warn!(kind, error = %status.message, "cannot keep an object of flow control");
        }
    }

    /// Writes the condition Dangling of schemas that it is news to.
    async fn tell_dangling(&self, control: &FlowControl) {
        let Some(row) = self.resources.find(&SCHEMAS.group, &SCHEMAS.version, &SCHEMAS.resource) else { return };
        let Some(collection) = &row.collection else { return };
        let (objects, _) = collection.snapshot();
        for object in objects.values() {
            let Ok(mut schema) = object.value() else { continue };
            let level = schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
            let told = dangling(level, control.has_level(level));
            let conditions = schema["status"]["conditions"].as_array();
            let own = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Dangling"));
            if own.is_some_and(|own| ["status", "reason", "message"].iter().all(|field| own[*field] == told[*field])) {
                continue;
            }
            let since = own.filter(|own| own["status"] == told["status"]).map(|own| own["lastTransitionTime"].clone());
            let mut told = told;
            let now = || self.env.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
            told["lastTransitionTime"] = since.unwrap_or_else(now);
            let others = conditions.into_iter().flatten().filter(|condition| condition["type"] != "Dangling").cloned();
            let all: Vec<Value> = others.chain([told]).collect();
            schema["status"] = json!({"conditions": all});
            let request = Request::new(Verb::Update, SCHEMAS.clone())
                .name(object.index.name.as_str())
                .subresource("status")
                .body(schema.to_string());
            self.do_own(request, "FlowSchema").await;
        }
    }
}

fn dangling(level: &str, exists: bool) -> Value {
    let start = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    match exists {
        true => json!({
            "type": "Dangling", "status": "False", "reason": "Found", "message": format!("{start} and it exists"),
        }),
        false => json!({
            "type": "Dangling", "status": "True", "reason": "NotFound",
            "message": format!("{start} but there is no such object"),
        }),
    }
}
