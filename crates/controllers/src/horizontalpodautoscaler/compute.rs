//! One metric after the other: what each proposes, what is shown of it, and what is wrong with it.
//! Pure (the middle of upstream's `horizontal.go`).

use super::calculate::{Calculator, Proposal};
use super::measure::{self, Answer};
use super::object::{Identifier, Metric, Scale, Source, Target};
use crate::go_text;
use meta::quantity::Quantity;
use serde_json::{Value, json};

/// What a metric asks for.
pub struct Sized {
    pub replicas: i32,
    /// What it is called in events and conditions.
    pub name: String,
    /// Its entry in `status.currentMetrics`.
    pub status: Value,
}

/// Why a metric asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Of the condition and of an event.
    pub reason: &'static str,
    /// Of that event; the condition's says a little more.
    pub why: String,
    /// What the whole says of it.
    pub told: String,
}

impl Invalid {
    fn new(reason: &'static str, why: String, prefix: &str) -> Self {
        let told = if prefix.is_empty() { why.clone() } else { format!("{prefix}: {why}") };
        Invalid { reason, why, told }
    }
}

/// What all metrics come to.
#[derive(Default)]
pub struct Computed {
    /// None: nothing may be done.
    pub replicas: Option<i32>,
    /// The metric that asks for most.
    pub name: String,
    pub statuses: Vec<Value>,
    /// The metrics that tell nothing.
    pub invalid: Vec<Invalid>,
}

impl Computed {
    /// Upstream's sentence about them.
    pub fn error(&self) -> Option<String> {
        let first = self.invalid.first()?;
        let (count, all) = (self.invalid.len(), self.statuses.len());
        Some(format!("invalid metrics ({count} invalid out of {all}), first error is: {}", first.told))
    }
}

/// The most that any metric asks for. While some tell nothing, only more may be set, not less.
pub fn all(
    metrics: &[Metric],
    answers: &[Result<Vec<Answer>, String>],
    calculator: &Calculator<'_>,
    scale: &Scale,
) -> Computed {
    let mut computed = Computed::default();
    let mut most = 0;
    for (metric, answer) in metrics.iter().zip(answers) {
        match one(metric, answer, calculator, scale) {
            Ok(sized) => {
                if most == 0 || sized.replicas > most {
                    (most, computed.name) = (sized.replicas, sized.name);
                }
                computed.statuses.push(sized.status);
            }
            Err(invalid) => {
                computed.statuses.push(json!({"type": ""}));
                computed.invalid.push(invalid);
            }
        }
    }
    let (bad, count) = (computed.invalid.len(), metrics.len());
    let is_usable = bad < count && (bad == 0 || most >= scale.spec.replicas);
    computed.replicas = is_usable.then_some(most);
    computed
}

fn one(
    metric: &Metric,
    answers: &Result<Vec<Answer>, String>,
    calculator: &Calculator<'_>,
    scale: &Scale,
) -> Result<Sized, Invalid> {
    let Some((field, source)) = metric.source() else {
        let why = format!("unknown metric source type {:?}", metric.kind);
        return Err(Invalid::new("InvalidMetricSourceType", why, ""));
    };
    let name = &source.metric.name;
    let (reason, prefix) = match field {
        "object" => ("FailedGetObjectMetric", "failed to get object metric value".to_owned()),
        "pods" => ("FailedGetPodsMetric", "failed to get pods metric value".to_owned()),
        "resource" => ("FailedGetResourceMetric", format!("failed to get {} resource metric value", source.name)),
        "containerResource" => {
            ("FailedGetContainerResourceMetric", format!("failed to get {} container metric value", source.container))
        }
        _ => ("FailedGetExternalMetric", format!("failed to get {name} external metric value")),
    };
    let asked = answers.as_ref().map_err(Clone::clone);
    let sized = asked.and_then(|answers| match field {
        "resource" => resource(metric, field, source, answers, calculator, scale),
        "containerResource" => resource(metric, field, source, answers, calculator, scale),
        "pods" => pods(source, answers, calculator, scale),
        "object" => object(source, answers, calculator, scale),
        _ => external(source, answers, calculator, scale),
    });
    sized.map_err(|why| Invalid::new(reason, why, &prefix))
}

fn resource(
    metric: &Metric,
    field: &str,
    source: &Source,
    answers: &[Answer],
    calculator: &Calculator<'_>,
    scale: &Scale,
) -> Result<Sized, String> {
    let (container, name, target) = (source.container.as_str(), source.name.as_str(), &source.target);
    let current = scale.spec.replicas;
    let readings = || {
        let failed = |why| format!("unable to get metrics for resource {name}: {why}");
        measure::of_pods(answers, container, name).map_err(failed)
    };
    let mut shown = json!({"name": name});
    if field == "containerResource" {
        shown["container"] = json!(container);
    }
    let (replicas, called, value) = if let Some(average) = target.average() {
        let found = readings().and_then(|readings| calculator.by_average(readings, name, current, average));
        let proposal = found.map_err(|why| format!("failed to get {name} usage: {why}"))?;
        (proposal.replicas, format!("{name} resource"), json!({"averageValue": quantity(proposal.usage)}))
    } else if let Some(percent) = target.average_utilization {
        let found =
            readings().and_then(|readings| calculator.by_utilization(readings, (container, name), current, percent));
        let Proposal { replicas, utilization, usage } =
            found.map_err(|why| format!("failed to get {name} utilization: {why}"))?;
        let what = if field == "resource" { "resource" } else { "container resource" };
        let called = format!("{name} {what} utilization (percentage of request)");
        (replicas, called, json!({"averageUtilization": utilization, "averageValue": quantity(usage)}))
    } else {
        let why = "invalid resource metric source: neither an average utilization target nor an average value (usage) \
                   target was set";
        return Err(why.to_owned());
    };
    shown["current"] = value;
    Ok(Sized { replicas, name: called, status: json!({"type": metric.kind, field: shown}) })
}

fn pods(source: &Source, answers: &[Answer], calculator: &Calculator<'_>, scale: &Scale) -> Result<Sized, String> {
    let name = &source.metric.name;
    let failed = |why: String| format!("unable to get metric {name}: {why}");
    let readings = measure::custom_of_pods(answers).map_err(failed)?;
    let target = source.target.average().unwrap_or_default();
    let proposal = calculator.by_average(readings, "", scale.spec.replicas, target)?;
    let shown = json!({"metric": identifier(&source.metric), "current": {"averageValue": quantity(proposal.usage)}});
    Ok(Sized {
        replicas: proposal.replicas,
        name: format!("pods metric {name}"),
        status: json!({"type": "Pods", "pods": shown}),
    })
}

fn object(source: &Source, answers: &[Answer], calculator: &Calculator<'_>, scale: &Scale) -> Result<Sized, String> {
    let (name, about) = (&source.metric.name, &source.described_object);
    let usage = || {
        // Upstream's arguments stand in another order than its sentence means.
        let place = format!("{} on {} {}", about.kind, calculator.namespace, about.name);
        let failed = |why| format!("unable to get metric {name}: {place}/{why}");
        measure::custom_of_object(answers).map_err(failed)
    };
    let (replicas, called, value) = match whole_or_share(&source.target) {
        Some((target, false)) => {
            let proposal = calculator.by_value(usage()?, scale.spec.replicas, target)?;
            let called = format!("{} metric {name}", about.kind);
            (proposal.replicas, called, json!({"value": quantity(proposal.usage)}))
        }
        Some((target, true)) => {
            let usage = usage().map_err(|why| format!("failed to get {name} object metric: {why}"))?;
            let proposal = calculator.by_share(usage, scale.status.replicas, target);
            (proposal.replicas, external_name(source), json!({"averageValue": quantity(proposal.usage)}))
        }
        None => {
            let why = "invalid object metric source: neither a value target nor an average value target was set";
            return Err(why.to_owned());
        }
    };
    let mut described = json!({"kind": about.kind, "name": about.name});
    if !about.api_version.is_empty() {
        described["apiVersion"] = json!(about.api_version);
    }
    let shown = json!({"describedObject": described, "metric": identifier(&source.metric), "current": value});
    Ok(Sized { replicas, name: called, status: json!({"type": "Object", "object": shown}) })
}

fn external(source: &Source, answers: &[Answer], calculator: &Calculator<'_>, scale: &Scale) -> Result<Sized, String> {
    let name = &source.metric.name;
    let usage = || {
        let selector = selector_text(&source.metric);
        let failed = |why| format!("unable to get external metric {}/{name}/{selector}: {why}", calculator.namespace);
        measure::external(answers).map_err(failed)
    };
    let (replicas, value) = if let Some(target) = source.target.average() {
        let usage = usage().map_err(|why| format!("failed to get {name} external metric: {why}"))?;
        let proposal = calculator.by_share(usage, scale.status.replicas, target);
        (proposal.replicas, json!({"averageValue": quantity(proposal.usage)}))
    } else if let Some(target) = source.target.value() {
        let found = usage().and_then(|usage| calculator.by_value(usage, scale.spec.replicas, target));
        let proposal = found.map_err(|why| format!("failed to get external metric {name}: {why}"))?;
        (proposal.replicas, json!({"value": quantity(proposal.usage)}))
    } else {
        let why = "invalid external metric source: neither a value target nor an average value target was set";
        return Err(why.to_owned());
    };
    let shown = json!({"metric": identifier(&source.metric), "current": value});
    Ok(Sized { replicas, name: external_name(source), status: json!({"type": "External", "external": shown}) })
}

/// The target, and whether it is what each pod is to have.
fn whole_or_share(target: &Target) -> Option<(i64, bool)> {
    let whole = target.value().filter(|_| target.kind == "Value").map(|value| (value, false));
    whole.or_else(|| target.average().filter(|_| target.kind == "AverageValue").map(|value| (value, true)))
}

fn external_name(source: &Source) -> String {
    format!("external metric {}({})", source.metric.name, selector_text(&source.metric))
}

fn selector_text(metric: &Identifier) -> String {
    metric.selector.as_ref().map_or_else(|| "nil".to_owned(), go_text::selector)
}

fn identifier(metric: &Identifier) -> Value {
    let mut shown = json!({"name": metric.name});
    if let Some(selector) = &metric.selector {
        shown["selector"] = selector.clone();
    }
    shown
}

fn quantity(milli: i64) -> String {
    Quantity::milli(milli).to_string()
}
