//! One look at an autoscaler, step by step: its scale, its metrics, the new count, the status
//! (upstream's `reconcileAutoscaler`). Each step decides; the executor asks and writes in between.

use super::calculate::{Calculator, Tolerances};
use super::compute::{self, Computed};
use super::measure::{Answer, Asking};
use super::object::{Autoscaler, Pod, Scale};
use super::{Desk, Entry};
use crate::action::{Action, Outcome, Plan, Update};
use crate::kinds::{kind, resource};
use base::Timestamp;
use bytes::Bytes;
use client::events::ObjectRef;
use client::{Error, Key, Request, Verb};
use meta::conditions::{self, Condition};
use meta::labels::Selector;
use meta::{GroupVersionResource, Reason};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";
const LIMITED: &str = "ScalingLimited";
const AT_ZERO: &str = "ScaledToZero";

pub struct Look {
    desk: Arc<Desk>,
    key: Key,
    autoscaler: Autoscaler,
    /// As the server has it.
    object: Value,
    now: Timestamp,
    conditions: Value,
    /// Events to tell with the next step.
    told: Vec<Action>,
    target: Option<GroupVersionResource>,
    /// The scale as the server has it.
    scale: Value,
    computed: Computed,
}

/// A new count and why.
#[derive(Clone)]
struct Rescale {
    to: i32,
    why: String,
}

/// One metric's answers, or why it was not asked for.
type Asked = Result<usize, String>;

impl Look {
    pub fn new(desk: Arc<Desk>, key: Key, autoscaler: Autoscaler, object: Value, now: Timestamp) -> Self {
        let conditions = autoscaler.status["conditions"].clone();
        Look {
            desk,
            key,
            autoscaler,
            object,
            now,
            conditions,
            told: Vec::new(),
            target: None,
            scale: Value::Null,
            computed: Computed::default(),
        }
    }

    pub fn begin(mut self) -> Plan {
        match self.desk.kinds.scaled(&self.autoscaler.spec.scale_target_ref) {
            Ok(target) => {
                let request = self.scale_request(Verb::Get, &target);
                self.target = Some(target);
                Plan::of(vec![Action::Ask(vec![request])]).then(|outcome| self.with_scale(outcome))
            }
            Err(why) => self.no_scale(&why),
        }
    }

    fn scale_request(&self, verb: Verb, target: &GroupVersionResource) -> Request {
        let name = &self.autoscaler.spec.scale_target_ref.name;
        Request::new(verb, target.clone()).namespace(self.key.namespace()).name(name).subresource("scale")
    }

    fn no_scale(mut self, why: &str) -> Plan {
        self.warn("FailedGetScale", why);
        let message = format!("the HPA controller was unable to get the target's current scale: {why}");
        self.set(ABLE, false, "FailedGetScale", &message);
        let status = self.status_with_conditions();
        self.write(status)
    }

    fn with_scale(mut self, outcome: &Outcome) -> Plan {
        let scale: Scale = match read_scale(outcome) {
            Ok((object, scale)) => {
                self.scale = object;
                scale
            }
            Err(why) => return self.no_scale(&why.to_string()),
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.set(ABLE, true, "SucceededGetScale", message);
        let (current, now) = (scale.spec.replicas, self.now);
        self.desk.memory.with(&self.key, |entry| entry.history.begin(current, now));
        let (min, max) = (self.autoscaler.spec.min_replicas(), self.autoscaler.spec.max_replicas);
        if current == 0 && !self.may_leave_zero() {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.set(ACTIVE, false, "ScalingDisabled", message);
            return self.finish(&scale, None);
        }
        if current > max {
            let why = "Current number of replicas above Spec.MaxReplicas".to_owned();
            return self.rescale(scale, Rescale { to: max, why });
        }
        if current < min && current != 0 {
            let why = "Current number of replicas below Spec.MinReplicas".to_owned();
            return self.rescale(scale, Rescale { to: min, why });
        }
        match self.select(&scale) {
            Ok(pods) => self.ask(scale, pods),
            Err(why) => self.fail(&scale, why),
        }
    }

    /// A scale that somebody else set to zero stays there: that switches an autoscaler off.
    fn may_leave_zero(&self) -> bool {
        let spec = &self.autoscaler.spec;
        conditions::is_true(&self.conditions, AT_ZERO) && (spec.min_replicas() != 0 || spec.measures_from_outside())
    }

    /// The pods behind the scale, if they are this autoscaler's alone.
    fn select(&mut self, scale: &Scale) -> Result<Vec<Pod>, String> {
        let text = &scale.status.selector;
        if text.is_empty() {
            let why = "selector is required";
            self.warn("SelectorRequired", why);
            self.set(ACTIVE, false, "InvalidSelector", "the HPA target's scale is missing a selector");
            return Err(why.to_owned());
        }
        let selector = match Selector::parse(text) {
            Ok(selector) => selector,
            Err(why) => {
                let why = format!("couldn't convert selector into a corresponding internal selector object: {why}");
                self.warn("InvalidSelector", &why);
                self.set(ACTIVE, false, "InvalidSelector", &why);
                return Err(why);
            }
        };
        self.desk.memory.with(&self.key, |entry: &mut Entry| entry.selector = Some(selector.clone()));
        let pods = self.desk.pods(self.key.namespace(), &selector);
        let scaling = self.desk.memory.scaling(self.key.namespace(), &pods);
        if scaling.len() > 1 {
            let all = scaling.join(" ");
            let why = format!("pods by selector {text} are controlled by multiple HPAs: [{all}]");
            self.warn("AmbiguousSelector", &why);
            self.set(ACTIVE, false, "AmbiguousSelector", &why);
            return Err(why);
        }
        Ok(Desk::read(&pods))
    }

    /// Asks for all metrics at once.
    fn ask(self, scale: Scale, pods: Vec<Pod>) -> Plan {
        let mut requests: Vec<Request> = Vec::new();
        let mut asked: Vec<Asked> = Vec::new();
        let asking = Asking {
            namespace: self.key.namespace(),
            pods: &scale.status.selector,
            resource_of: &|reference| self.desk.kinds.named(reference),
        };
        for metric in &self.autoscaler.spec.metrics {
            asked.push(asking.requests(metric).map(|more| {
                let count = more.len();
                requests.extend(more);
                count
            }));
        }
        Plan::of(vec![Action::Ask(requests)]).then(move |outcome| self.measured(scale, &pods, asked, &outcome.answers))
    }

    fn measured(mut self, scale: Scale, pods: &[Pod], asked: Vec<Asked>, answers: &[Answer]) -> Plan {
        let mut left = answers.iter();
        let answers: Vec<Result<Vec<Answer>, String>> =
            asked.into_iter().map(|asked| asked.map(|count| left.by_ref().take(count).cloned().collect())).collect();
        let spec = &self.autoscaler.spec;
        let tolerances = Tolerances::of(spec.behavior.as_ref());
        let calculator = Calculator { namespace: self.key.namespace(), pods, tolerances, now: self.now };
        self.computed = compute::all(&spec.metrics, &answers, &calculator, &scale);
        for invalid in self.computed.invalid.clone() {
            self.warn(invalid.reason, &invalid.why);
        }
        let Some(wanted) = self.computed.replicas else {
            if let Some(first) = self.computed.invalid.first().cloned() {
                let message = format!("the HPA was unable to compute the replica count: {}", first.why);
                self.set(ACTIVE, false, first.reason, &message);
            }
            let why = self.computed.error().unwrap_or_default();
            return self.fail(&scale, why);
        };
        let name = self.computed.name.clone();
        let message = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.set(ACTIVE, true, "ValidMetricFound", &message);
        self.decide(scale, wanted, &name)
    }

    fn decide(mut self, scale: Scale, wanted: i32, name: &str) -> Plan {
        let current = scale.spec.replicas;
        let (spec, now) = (&self.autoscaler.spec, self.now);
        let mut why = match wanted.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{name} above target"),
            std::cmp::Ordering::Less => "All metrics below target".to_owned(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let normalized = self.desk.memory.with(&self.key, |entry| entry.history.normalize(spec, current, wanted, now));
        let (able, limited) = (normalized.able, normalized.limited);
        let mut to = normalized.replicas;
        if current == 0 && to < spec.min_replicas() {
            to = spec.min_replicas();
            if why.is_empty() {
                why = "Current number of replicas below Spec.MinReplicas".to_owned();
            }
        }
        self.set(ABLE, able.0, able.1, able.2);
        self.set(LIMITED, limited.0, limited.1, limited.2);
        if to == current { self.finish(&scale, None) } else { self.rescale(scale, Rescale { to, why }) }
    }

    /// Sets the count, on what was read; once more on a fresh one if somebody else was quicker.
    fn rescale(self, scale: Scale, rescale: Rescale) -> Plan {
        let Some(request) = self.update_request(&rescale) else { return self.no_scale("unrecognized resource") };
        Plan::of(vec![Action::Ask(vec![request])]).then(move |outcome| match refusal(outcome) {
            Some(why) if why.is(Reason::Conflict) => self.reread(scale, rescale),
            why => self.rescaled(scale, rescale, why),
        })
    }

    fn update_request(&self, rescale: &Rescale) -> Option<Request> {
        let mut object = self.scale.clone();
        object["spec"]["replicas"] = json!(rescale.to);
        Some(self.scale_request(Verb::Update, self.target.as_ref()?).body(object.to_string()))
    }

    fn reread(mut self, scale: Scale, rescale: Rescale) -> Plan {
        let Some(target) = self.target.clone() else { return self.no_scale("unrecognized resource") };
        let request = self.scale_request(Verb::Get, &target);
        Plan::of(vec![Action::Ask(vec![request])]).then(move |outcome| {
            match read_scale(outcome) {
                Ok((object, _)) => self.scale = object,
                Err(why) => return self.rescaled(scale, rescale, Some(why)),
            }
            let Some(request) = self.update_request(&rescale) else { return self.no_scale("unrecognized resource") };
            Plan::of(vec![Action::Ask(vec![request])]).then(move |outcome| {
                let why = refusal(outcome);
                self.rescaled(scale, rescale, why)
            })
        })
    }

    fn rescaled(mut self, scale: Scale, rescale: Rescale, refusal: Option<Error>) -> Plan {
        let Rescale { to, why } = &rescale;
        if let Some(error) = refusal {
            self.warn("FailedRescale", &format!("New size: {to}; reason: {why}; error: {error}"));
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            self.set(ABLE, false, "FailedUpdateScale", &message);
            let desired = self.autoscaler.status["desiredReplicas"].as_i64().unwrap_or(0);
            let status = self.status(&scale, desired, false);
            return self.write(status);
        }
        let message = format!("the HPA controller was able to update the target scale to {to}");
        self.set(ABLE, true, "SucceededRescale", &message);
        let event = format!("New size: {to}; reason: {why}");
        self.told.push(Action::event(&self.about(), false, "SuccessfulRescale", event));
        let (from, spec) = (scale.spec.replicas, &self.autoscaler.spec);
        self.desk.memory.with(&self.key, |entry| entry.history.scaled(spec, from, *to, self.now));
        if from > 0 && *to == 0 && spec.min_replicas() == 0 && spec.measures_from_outside() {
            self.set(AT_ZERO, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
        } else {
            self.set(AT_ZERO, false, "NotScaledToZero", "the HPA controller did not scale the workload to zero");
        }
        let to = *to;
        self.finish(&scale, Some(to))
    }

    /// Metrics that tell nothing leave the scale as it is.
    fn fail(mut self, scale: &Scale, why: String) -> Plan {
        let desired = self.autoscaler.status["desiredReplicas"].as_i64().unwrap_or(0);
        let status = self.status(scale, desired, false);
        self.warn("FailedComputeMetricsReplicas", &why);
        self.write(status)
    }

    fn finish(self, scale: &Scale, rescaled: Option<i32>) -> Plan {
        let desired = rescaled.unwrap_or(scale.spec.replicas);
        let status = self.status(scale, i64::from(desired), rescaled.is_some());
        self.write(status)
    }

    fn status_with_conditions(&self) -> Value {
        let mut status = self.autoscaler.status.clone();
        if !status.is_object() {
            status = json!({});
        }
        status["conditions"] = self.conditions.clone();
        status
    }

    fn status(&self, scale: &Scale, desired: i64, rescaled: bool) -> Value {
        let mut status = Map::new();
        status.insert("currentReplicas".to_owned(), json!(scale.spec.replicas));
        status.insert("desiredReplicas".to_owned(), json!(desired));
        let last = match rescaled {
            true => json!(meta::time::format(self.now)),
            false => self.autoscaler.status["lastScaleTime"].clone(),
        };
        if last.is_string() {
            status.insert("lastScaleTime".to_owned(), last);
        }
        if !self.computed.statuses.is_empty() {
            status.insert("currentMetrics".to_owned(), json!(self.computed.statuses));
        }
        status.insert("conditions".to_owned(), self.conditions.clone());
        Value::Object(status)
    }

    /// The status goes to the server if it says anything new.
    fn write(mut self, status: Value) -> Plan {
        let mut actions = std::mem::take(&mut self.told);
        if plain(&self.autoscaler.status) == plain(&status) {
            return Plan::of(actions);
        }
        let about = self.about();
        let mut object = self.object;
        object["status"] = status;
        actions.push(Action::Update(Update {
            resource: resource::HORIZONTAL_POD_AUTOSCALERS,
            key: self.key,
            subresource: Some("status"),
            object,
        }));
        Plan::of(actions).then(move |outcome| match &outcome.failure {
            Some(why) => Plan::of(vec![Action::event(&about, true, "FailedUpdateStatus", why.to_string())]),
            None => Plan::nothing(),
        })
    }

    fn about(&self) -> ObjectRef {
        ObjectRef::of(&kind::HORIZONTAL_POD_AUTOSCALERS, &self.autoscaler.metadata)
    }

    fn warn(&mut self, reason: &'static str, message: &str) {
        let event = Action::event(&self.about(), true, reason, message);
        self.told.push(event);
    }

    fn set(&mut self, kind: &str, is: bool, reason: &str, message: &str) {
        let status = if is { "True" } else { "False" };
        let condition = Condition { kind, status, reason, message, observed_generation: 0 };
        conditions::set(&mut self.conditions, condition, self.now);
    }
}

/// What the server leaves out is the same as what it keeps: nothing, zero, empty.
fn plain(status: &Value) -> Value {
    let mut plain = status.clone();
    if let Some(fields) = plain.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != json!(0) && *value != json!([]));
    }
    if plain.is_null() { json!({}) } else { plain }
}

fn read_scale(outcome: &Outcome) -> Result<(Value, Scale), Error> {
    let none = || Error::Decode("no answer".to_owned());
    let answer: &Result<Vec<Bytes>, Error> = outcome.answers.first().ok_or_else(none)?;
    let body = answer.as_ref().map_err(Clone::clone)?.first().ok_or_else(none)?;
    let failed = |why: serde_json::Error| Error::Decode(why.to_string());
    Ok((serde_json::from_slice(body).map_err(failed)?, serde_json::from_slice(body).map_err(failed)?))
}

fn refusal(outcome: &Outcome) -> Option<Error> {
    outcome.answers.first().and_then(|answer| answer.as_ref().err()).cloned()
}
