//! What the room reads of an autoscaler, of a scale and of the pods behind it.

use base::Timestamp;
use meta::quantity::Quantity;
use meta::{ObjectMeta, conditions, time};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
pub struct Autoscaler {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    #[serde(default)]
    pub status: Value,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub scale_target_ref: Reference,
    pub min_replicas: Option<i32>,
    pub max_replicas: i32,
    #[serde(default)]
    pub metrics: Vec<Metric>,
    pub behavior: Option<Behavior>,
}

impl Spec {
    pub fn min_replicas(&self) -> i32 {
        self.min_replicas.unwrap_or(1)
    }

    /// Whether anything is measured that is there without pods.
    pub fn measures_from_outside(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric.kind.as_str(), "Object" | "External"))
    }
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric {
    #[serde(rename = "type")]
    pub kind: String,
    pub resource: Option<Source>,
    pub container_resource: Option<Source>,
    pub pods: Option<Source>,
    pub object: Option<Source>,
    pub external: Option<Source>,
}

impl Metric {
    /// The field that the type says, and what stands there.
    pub fn source(&self) -> Option<(&'static str, &Source)> {
        let (field, source) = match self.kind.as_str() {
            "Resource" => ("resource", &self.resource),
            "ContainerResource" => ("containerResource", &self.container_resource),
            "Pods" => ("pods", &self.pods),
            "Object" => ("object", &self.object),
            "External" => ("external", &self.external),
            _ => return None,
        };
        source.as_ref().map(|source| (field, source))
    }
}

/// A metric source of any type: each uses its own fields.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// Of a resource.
    pub name: String,
    pub container: String,
    pub metric: Identifier,
    pub described_object: Reference,
    pub target: Target,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Identifier {
    pub name: String,
    pub selector: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    #[serde(rename = "type")]
    pub kind: String,
    value: Option<String>,
    average_value: Option<String>,
    pub average_utilization: Option<i32>,
}

impl Target {
    pub fn value(&self) -> Option<i64> {
        self.value.as_deref().and_then(milli)
    }

    pub fn average(&self) -> Option<i64> {
        self.average_value.as_deref().and_then(milli)
    }
}

/// The server lets no other texts through.
fn milli(text: &str) -> Option<i64> {
    Quantity::parse(text).ok().map(|quantity| quantity.milli_value())
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Behavior {
    pub scale_up: Rules,
    pub scale_down: Rules,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    pub stabilization_window_seconds: Option<i64>,
    pub select_policy: Option<String>,
    pub policies: Vec<Policy>,
    pub tolerance: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    #[serde(rename = "type")]
    pub kind: String,
    pub value: i32,
    pub period_seconds: i64,
}

/// The scale subresource of what is scaled.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Scale {
    pub spec: ScaleSpec,
    pub status: ScaleStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ScaleSpec {
    pub replicas: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ScaleStatus {
    pub replicas: i32,
    pub selector: String,
}

/// A pod as the calculation sees it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Pod {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    resources: Option<Resources>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_policy: String,
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: String,
    start_time: Option<String>,
    conditions: Value,
}

impl Pod {
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    pub fn started(&self) -> Option<Timestamp> {
        time::parse(self.status.start_time.as_deref()?).ok()
    }

    /// The status of the Ready condition, and since when it is that.
    pub fn ready(&self) -> Option<(&str, Timestamp)> {
        let condition = conditions::find(&self.status.conditions, "Ready")?;
        let since = condition["lastTransitionTime"].as_str().and_then(|text| time::parse(text).ok());
        Some((condition["status"].as_str().unwrap_or_default(), since.unwrap_or(Timestamp::UNIX_EPOCH)))
    }

    pub fn is_ready(&self) -> bool {
        self.status.phase == "Running" && self.ready().is_some_and(|(status, _)| status == "True")
    }

    /// What the pod asks for of a resource, in thousandths: of one container, or the whole of it.
    ///
    /// # Errors
    /// It does not say, in upstream's words.
    pub fn request(&self, container: &str, resource: &str) -> Result<i64, String> {
        let own = self.spec.resources.as_ref().map(|whole| &whole.requests).filter(|requests| !requests.is_empty());
        if let Some(own) = own.filter(|_| container.is_empty()) {
            let summed = || self.of_containers("", resource).ok();
            let request = own.get(resource).and_then(|text| milli(text)).or_else(summed);
            return request
                .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {}", self.metadata.name));
        }
        self.of_containers(container, resource)
    }

    fn of_containers(&self, wanted: &str, resource: &str) -> Result<i64, String> {
        let pod = &self.metadata.name;
        // Init containers that go on count too, the others are over.
        let sidecars = self.spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
        let mut sum = 0;
        for container in self.spec.containers.iter().chain(sidecars) {
            if !wanted.is_empty() && container.name != wanted {
                continue;
            }
            let request = container.resources.requests.get(resource).and_then(|text| milli(text));
            let request = request.ok_or_else(|| {
                format!("missing request for {resource} in container {} of Pod {pod}", container.name)
            })?;
            if container.name == wanted {
                return Ok(request);
            }
            sum += request;
        }
        if wanted.is_empty() { Ok(sum) } else { Err(format!("container {wanted} not found in Pod {pod}")) }
    }
}
