//! Extenders: programs outside that have a say over HTTP(S), in upstream's protocol. Each call has a
//! time limit, and what an ignorable one fails to say counts for nothing.

#[cfg(test)]
mod tests;

use crate::config;
use crate::framework::{MAX_SCORE, Rejection};
use crate::node::NodeView;
use crate::pod::{PodItem, PodSpec};
use crate::preemption::Candidate;
use base::Env;
use client::cache::Cache;
use client::{ClientCertificate, Https, HttpsOptions, Roots};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::warn;

/// Bytes of an answer that are read.
const ANSWER_LIMIT: usize = 64 << 20;
/// Extenders score from 0 to this.
const MAX_EXTENDER_SCORE: i64 = 10;

pub struct Extender {
    config: config::Extender,
    http: Https,
    env: Env,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("Post \"{0}\": {1}")]
    Send(String, String),
    #[error("failed {0} with extender at URL {1}, code {2}")]
    Status(&'static str, String, u16),
    #[error("cannot read the answer of the extender at URL {0}: {1}")]
    Answer(String, String),
    #[error("{0}")]
    Said(String),
}

/// What a filter left.
pub struct Kept {
    pub names: Vec<String>,
    pub failed: Vec<(String, Arc<Rejection>)>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct FilterResult {
    #[serde(alias = "nodes")]
    nodes: Option<NodeList>,
    #[serde(alias = "nodenames", alias = "nodeNames")]
    node_names: Option<Vec<String>>,
    #[serde(alias = "failedNodes")]
    failed_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "failedAndUnresolvableNodes")]
    failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "error")]
    error: String,
}

#[derive(Deserialize)]
struct NodeList {
    #[serde(default)]
    items: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    metadata: meta::ObjectMeta,
}

#[derive(Deserialize)]
struct HostPriority {
    #[serde(rename = "Host", alias = "host")]
    host: String,
    #[serde(rename = "Score", alias = "score", default)]
    score: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BindingResult {
    #[serde(rename = "Error", alias = "error")]
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PreemptionResult {
    #[serde(rename = "NodeNameToMetaVictims", alias = "nodeNameToMetaVictims")]
    victims: BTreeMap<String, MetaVictims>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetaVictims {
    #[serde(rename = "Pods", alias = "pods")]
    pods: Vec<MetaPod>,
    #[serde(rename = "NumPDBViolations", alias = "numPDBViolations")]
    violations: usize,
}

#[derive(Deserialize)]
struct MetaPod {
    #[serde(rename = "UID", alias = "uid")]
    uid: String,
}

impl Extender {
    /// None where its address or certificates cannot be used, which the log tells.
    pub fn new(config: &config::Extender, env: &Env) -> Option<Self> {
        let tls = &config.tls;
        let roots = match &tls.ca {
            _ if tls.insecure => Roots::Unchecked,
            Some(pem) => Roots::Pem(pem.clone()),
            None => Roots::System,
        };
        let mut options = HttpsOptions::new(&config.url, roots);
        options.server_name.clone_from(&tls.server_name);
        let made = match &tls.certificate {
            Some((chain, key)) => ClientCertificate::new(chain, key).map(|pair| options.certificate(Arc::new(pair))),
            None => Ok(options),
        };
        match made.and_then(|options| Https::new(options, env)) {
            Ok(http) => Some(Extender { config: config.clone(), http, env: env.clone() }),
            Err(error) => {
                warn!(url = %config.url, %error, "an extender cannot be used");
                None
            }
        }
    }

    /// Whether the pod is its business: it asks for one of its resources, or it cares for all pods.
    pub fn cares_for(&self, spec: &PodSpec) -> bool {
        let resources = &self.config.resources;
        resources.is_empty() || spec.requests.scalar.keys().any(|name| resources.contains(name))
    }

    pub fn binds(&self) -> bool {
        !self.config.bind.is_empty()
    }

    async fn post<A: serde::de::DeserializeOwned>(
        &self,
        action: &'static str,
        verb: &str,
        body: String,
    ) -> Result<A, CallError> {
        let url = format!("{}/{verb}", self.config.url.trim_end_matches('/'));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let call = async {
            let send = |error: client::Error| CallError::Send(url.clone(), error.to_string());
            let path = format!("/{verb}");
            let answer = self.http.raw(http::Method::POST, &path, headers, body.into()).await.map_err(send)?;
            let status = answer.status();
            if status != http::StatusCode::OK {
                return Err(CallError::Status(action, url.clone(), status.as_u16()));
            }
            answer.into_body().collect(ANSWER_LIMIT).await.map_err(send)
        };
        let body = match self.env.clock.timeout(self.config.timeout, call).await {
            Ok(answer) => answer?,
            Err(_) => return Err(CallError::Send(url, "context deadline exceeded".to_owned())),
        };
        serde_json::from_slice(&body).map_err(|error| CallError::Answer(url, error.to_string()))
    }

    fn args(&self, pod: &PodItem, nodes: &Cache<NodeView>, names: &[String]) -> String {
        let pod = String::from_utf8_lossy(&pod.bytes);
        if self.config.nodes_are_cached {
            return format!("{{\"Pod\":{pod},\"Nodes\":null,\"NodeNames\":{}}}", json!(names));
        }
        let items: Vec<String> = names
            .iter()
            .filter_map(|name| Some(String::from_utf8_lossy(&nodes.get("", name)?.bytes).into_owned()))
            .collect();
        let list = format!("{{\"metadata\":{{}},\"items\":[{}]}}", items.join(","));
        format!("{{\"Pod\":{pod},\"Nodes\":{list},\"NodeNames\":null}}")
    }

    /// Which of the nodes it lets the pod have.
    pub async fn filter(&self, pod: &PodItem, nodes: &Cache<NodeView>, names: Vec<String>) -> Result<Kept, String> {
        if self.config.filter.is_empty() {
            return Ok(Kept { names, failed: Vec::new() });
        }
        let asked = self.post("Filter", &self.config.filter, self.args(pod, nodes, &names)).await;
        let result = asked.and_then(|result: FilterResult| match result.error.is_empty() {
            true => Ok(result),
            false => Err(CallError::Said(result.error)),
        });
        let result = match result {
            Ok(result) => result,
            Err(error) if self.config.is_ignorable => {
                warn!(url = %self.config.url, %error, "an extender failed and is ignored");
                return Ok(Kept { names, failed: Vec::new() });
            }
            Err(error) => return Err(error.to_string()),
        };
        let kept = match (result.node_names.filter(|_| self.config.nodes_are_cached), result.nodes) {
            (Some(names), _) => names,
            (None, Some(list)) => list.items.into_iter().map(|node| node.metadata.name).collect(),
            (None, None) => Vec::new(),
        };
        let failed = |nodes: Option<BTreeMap<String, String>>, is_final: bool| {
            let rejection = move |why| Arc::new(Rejection { is_final, ..Rejection::of(why) });
            nodes.into_iter().flatten().map(move |(name, why): (String, String)| (name, rejection(why)))
        };
        let mut all: Vec<_> = failed(result.failed_and_unresolvable_nodes, true).collect();
        all.extend(failed(result.failed_nodes, false));
        Ok(Kept { names: kept, failed: all })
    }

    /// What it adds to the scores of nodes.
    pub async fn prioritize(&self, pod: &PodItem, nodes: &Cache<NodeView>, names: &[String]) -> BTreeMap<String, i64> {
        if self.config.prioritize.is_empty() {
            return BTreeMap::new();
        }
        let asked = self.post("Prioritize", &self.config.prioritize, self.args(pod, nodes, names)).await;
        match asked {
            Ok(list) => {
                let list: Vec<HostPriority> = list;
                let weight = self.config.weight * (MAX_SCORE / MAX_EXTENDER_SCORE);
                list.into_iter().map(|one| (one.host, one.score.clamp(0, MAX_EXTENDER_SCORE) * weight)).collect()
            }
            Err(error) => {
                warn!(url = %self.config.url, %error, "an extender's scores are left out");
                BTreeMap::new()
            }
        }
    }

    pub async fn bind(&self, pod: &PodItem, node: &str) -> Result<(), String> {
        let body = json!({
            "PodName": pod.meta.name, "PodNamespace": pod.meta.namespace, "PodUID": pod.meta.uid, "Node": node,
        });
        match self.post::<BindingResult>("Bind", &self.config.bind, body.to_string()).await {
            Ok(result) if result.error.is_empty() => Ok(()),
            Ok(result) => Err(result.error),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Which of the candidates for a preemption it agrees to, and with which victims.
    pub async fn preempt(&self, pod: &PodItem, candidates: Vec<Candidate>) -> Vec<Candidate> {
        if self.config.preempt.is_empty() {
            return candidates;
        }
        let body = |pods: &dyn Fn(&PodItem) -> String| {
            let victims = candidates.iter().map(|one| {
                let pods: Vec<String> = one.victims.iter().map(pods).collect();
                let violations = one.violations;
                let pods = pods.join(",");
                format!("{}:{{\"Pods\":[{pods}],\"NumPDBViolations\":{violations}}}", json!(one.node))
            });
            victims.collect::<Vec<_>>().join(",")
        };
        let preemptor = String::from_utf8_lossy(&pod.bytes);
        let args = if self.config.nodes_are_cached {
            let victims = body(&|pod| json!({"UID": pod.meta.uid}).to_string());
            format!("{{\"Pod\":{preemptor},\"NodeNameToMetaVictims\":{{{victims}}}}}")
        } else {
            let victims = body(&|pod| String::from_utf8_lossy(&pod.bytes).into_owned());
            format!("{{\"Pod\":{preemptor},\"NodeNameToVictims\":{{{victims}}}}}")
        };
        match self.post::<PreemptionResult>("Preempt", &self.config.preempt, args).await {
            Ok(mut agreed) => candidates
                .into_iter()
                .filter_map(|mut one| {
                    let kept = agreed.victims.remove(&one.node)?;
                    one.victims.retain(|pod| kept.pods.iter().any(|meta| meta.uid == pod.meta.uid));
                    one.violations = kept.violations;
                    Some(one)
                })
                .collect(),
            Err(error) if self.config.is_ignorable => {
                warn!(url = %self.config.url, %error, "an extender failed and is ignored");
                candidates
            }
            Err(error) => {
                warn!(url = %self.config.url, %error, "an extender failed; nobody is evicted");
                Vec::new()
            }
        }
    }
}
