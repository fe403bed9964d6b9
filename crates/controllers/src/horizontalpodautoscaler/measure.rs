//! What has to be asked for a metric, and what the answers say: the readers of `metrics.k8s.io`,
//! `custom.metrics.k8s.io` and `external.metrics.k8s.io`.
//!
//! Pure: the executor does the asking.

use super::calculate::{Reading, Readings};
use super::object::{Metric, Reference, Source};
use base::Timestamp;
use bytes::Bytes;
use client::{Error, Options, Request, Verb};
use jiff::SignedDuration;
use meta::labels::Selector;
use meta::quantity::Quantity;
use meta::{GroupVersionResource, Reason, time};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const RESOURCES: GroupVersionResource = GroupVersionResource::of("metrics.k8s.io", "v1beta1", "pods");
const CUSTOM: &str = "custom.metrics.k8s.io";
/// In the order in which an answer is taken.
const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
const EXTERNAL: &str = "external.metrics.k8s.io";
/// What a custom metric's value is of, where its server does not say.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

pub type Answer = Result<Vec<Bytes>, Error>;

/// Where and for whom is asked.
pub struct Asking<'a> {
    pub namespace: &'a str,
    /// Of the pods, in its text form.
    pub pods: &'a str,
    /// The resource that a kind is served as; None: no such kind.
    pub resource_of: &'a dyn Fn(&Reference) -> Option<String>,
}

impl Asking<'_> {
    /// The requests that tell of a metric; an error where it cannot be asked for, in upstream's words.
    pub fn requests(&self, metric: &Metric) -> Result<Vec<Request>, String> {
        let Some((field, source)) = metric.source() else { return Ok(Vec::new()) };
        match field {
            "resource" | "containerResource" => {
                let options = Options { label_selector: Some(self.pods.to_owned()), ..Options::default() };
                Ok(vec![Request::new(Verb::List, RESOURCES).namespace(self.namespace).options(options)])
            }
            "pods" => {
                let mut options = series(source)?;
                options.label_selector = Some(self.pods.to_owned());
                Ok(custom("pods", |request| {
                    request
                        .namespace(self.namespace)
                        .name("*")
                        .subresource(&source.metric.name)
                        .options(options.clone())
                }))
            }
            "object" => self.object(source),
            _ => {
                let name = source.metric.name.clone();
                let resource =
                    GroupVersionResource { group: EXTERNAL.into(), version: "v1beta1".into(), resource: name.into() };
                let options = series(source)?;
                let options = Options { label_selector: options.metric_label_selector, ..Options::default() };
                Ok(vec![Request::new(Verb::List, resource).namespace(self.namespace).options(options)])
            }
        }
    }

    fn object(&self, source: &Source) -> Result<Vec<Request>, String> {
        let (about, options) = (&source.described_object, series(source)?);
        let metric = &source.metric.name;
        if about.kind == "Namespace" && about.api_version == "v1" {
            return Ok(custom("metrics", |request| {
                request.namespace(self.namespace).name(metric).options(options.clone())
            }));
        }
        let missing = || format!("unable to map kind {} to resource", about.kind);
        let resource = (self.resource_of)(about).ok_or_else(missing)?;
        Ok(custom(&resource, |request| {
            request.namespace(self.namespace).name(&about.name).subresource(metric).options(options.clone())
        }))
    }
}

/// Which series of a metric are meant.
fn series(source: &Source) -> Result<Options, String> {
    let Some(selector) = &source.metric.selector else { return Ok(Options::default()) };
    let selector = Selector::from_json(selector).map_err(|why| why.to_string())?;
    let text = Some(selector.to_string()).filter(|text| !text.is_empty());
    Ok(Options { metric_label_selector: text, ..Options::default() })
}

fn custom(resource: &str, build: impl Fn(Request) -> Request) -> Vec<Request> {
    let request = |version: &str| {
        let (group, version) = (CUSTOM.into(), version.to_owned().into());
        Request::new(Verb::Get, GroupVersionResource { group, version, resource: resource.to_owned().into() })
    };
    CUSTOM_VERSIONS.iter().map(|version| build(request(version))).collect()
}

/// What the one API that was asked knows, which is not nothing.
fn answered<'a>(answers: &'a [Answer], api: &str) -> Result<&'a [Bytes], String> {
    match answers.first() {
        Some(Ok(items)) if items.is_empty() => Err(format!("no metrics returned from {api}")),
        Some(Ok(items)) => Ok(items),
        Some(Err(why)) => Err(format!("unable to fetch metrics from {api}: {why}")),
        None => Err(format!("unable to fetch metrics from {api}: no answer")),
    }
}

/// What was measured of each pod.
///
/// # Errors
/// In upstream's words, as all errors here.
pub fn of_pods(answers: &[Answer], container: &str, resource: &str) -> Result<Readings, String> {
    let items = answered(answers, "resource metrics API")?;
    let mut readings = Readings::new();
    for item in items {
        let pod: PodMetrics = serde_json::from_slice(item).map_err(|why| why.to_string())?;
        let value = if container.is_empty() { pod.total(resource) } else { Some(pod.part(container, resource)?) };
        if let Some(value) = value {
            readings.insert(pod.metadata.name.clone(), Reading { value, at: pod.at(), window: pod.window() });
        }
    }
    Ok(readings)
}

/// What a custom metric says of each pod.
pub fn custom_of_pods(answers: &[Answer]) -> Result<Readings, String> {
    let values = custom_values(answers)?;
    if values.is_empty() {
        return Err("no metrics returned from custom metrics API".to_owned());
    }
    let reading = |value: MetricValue| (value.described_object.name.clone(), value.reading());
    Ok(values.into_iter().map(reading).collect())
}

/// What a custom metric says of one object.
pub fn custom_of_object(answers: &[Answer]) -> Result<i64, String> {
    let values = custom_values(answers)?;
    match values.as_slice() {
        [value] => Ok(value.reading().value),
        values => Err(format!(
            "unable to fetch metrics from custom metrics API: the custom metrics API server returned {} results when \
             we asked for exactly one",
            values.len()
        )),
    }
}

/// The sum of all series of an external metric.
pub fn external(answers: &[Answer]) -> Result<i64, String> {
    let items = answered(answers, "external metrics API")?;
    let value = |item: &Bytes| {
        let value: MetricValue = serde_json::from_slice(item).map_err(|why| why.to_string())?;
        Ok::<i64, String>(value.reading().value)
    };
    items.iter().try_fold(0_i64, |sum, item| Ok(sum.saturating_add(value(item)?)))
}

fn custom_values(answers: &[Answer]) -> Result<Vec<MetricValue>, String> {
    let failed = |why: &str| format!("unable to fetch metrics from custom metrics API: {why}");
    let mut refusal = format!("no custom metrics API ({CUSTOM}) registered");
    for answer in answers {
        match answer {
            Ok(bodies) => {
                let list: MetricValueList = match bodies.first() {
                    Some(body) => serde_json::from_slice(body).map_err(|why| failed(&why.to_string()))?,
                    None => MetricValueList::default(),
                };
                return Ok(list.items);
            }
            // A version that nobody serves says nothing of the metric.
            Err(why) if is_unserved(why) => {}
            Err(why) => refusal = why.to_string(),
        }
    }
    Err(failed(&refusal))
}

fn is_unserved(why: &Error) -> bool {
    why.is(Reason::NotFound)
        && why.status().is_some_and(|status| {
            status.message.starts_with("the server could not find the requested resource")
                || status.message.starts_with("404 page not found")
        })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Named,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    window: String,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

impl ContainerMetrics {
    fn milli(&self, resource: &str) -> Option<i64> {
        Quantity::parse(self.usage.get(resource)?).ok().map(|quantity| quantity.milli_value())
    }
}

impl PodMetrics {
    /// None where a container is missing: a part of the sum would be wrong.
    fn total(&self, resource: &str) -> Option<i64> {
        let parts = self.containers.iter().map(|container| container.milli(resource));
        (!self.containers.is_empty()).then(|| parts.sum::<Option<i64>>()).flatten()
    }

    fn part(&self, container: &str, resource: &str) -> Result<i64, String> {
        let found = self.containers.iter().find(|one| one.name == container);
        let missing = || {
            let pod = &self.metadata.name;
            format!("failed to get container metrics: container {container} not present in metrics for pod {pod}")
        };
        found.and_then(|one| one.milli(resource)).ok_or_else(missing)
    }

    fn at(&self) -> Timestamp {
        time::parse(&self.timestamp).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn window(&self) -> SignedDuration {
        time::parse_duration(&self.window).map_or(SignedDuration::ZERO, SignedDuration::from_nanos)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetricValueList {
    items: Vec<MetricValue>,
}

/// Of custom and external metrics, in any of their versions.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetricValue {
    described_object: Named,
    timestamp: String,
    window_seconds: Option<i64>,
    window: Option<i64>,
    value: Value,
}

impl MetricValue {
    fn reading(&self) -> Reading {
        let text = match &self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Reading {
            value: Quantity::parse(&text).map_or(0, |quantity| quantity.milli_value()),
            at: time::parse(&self.timestamp).unwrap_or(Timestamp::UNIX_EPOCH),
            window: self.window_seconds.or(self.window).map_or(WINDOW, SignedDuration::from_secs),
        }
    }
}
