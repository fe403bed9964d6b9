//! What a Job's podFailurePolicy makes of a failed pod, and its successPolicy of the indexes done.

use super::indexes::Indexes;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct FailurePolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    action: String,
    on_exit_codes: Option<ExitCodes>,
    on_pod_conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExitCodes {
    container_name: Option<String>,
    operator: String,
    values: Vec<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// What a failed pod means to its Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts towards the limits.
    Counts,
    Ignored,
    FailsIndex,
    /// The Job fails with this message.
    FailsJob(String),
}

impl FailurePolicy {
    /// The first rule that matches decides.
    pub fn judge(&self, namespace: &str, name: &str, status: &Value) -> Verdict {
        for (at, rule) in self.rules.iter().enumerate() {
            let Some(cause) = rule.cause(namespace, name, status) else { continue };
            return match rule.action.as_str() {
                "Ignore" => Verdict::Ignored,
                "FailIndex" => Verdict::FailsIndex,
                "FailJob" => Verdict::FailsJob(format!("{cause} matching FailJob rule at index {at}")),
                _ => Verdict::Counts,
            };
        }
        Verdict::Counts
    }
}

impl Rule {
    /// What of the pod it matches, in upstream's words.
    fn cause(&self, namespace: &str, name: &str, status: &Value) -> Option<String> {
        if let Some(codes) = &self.on_exit_codes {
            let lists = ["containerStatuses", "initContainerStatuses"];
            let all = lists.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
            let mut codes = all.filter_map(|container| codes.matches(container).map(|code| (container, code)));
            let (container, code) = codes.next()?;
            let container = container["name"].as_str().unwrap_or_default();
            return Some(format!("Container {container} for pod {namespace}/{name} failed with exit code {code}"));
        }
        let stands = |wanted: &&Condition| {
            let list = status["conditions"].as_array();
            list.into_iter().flatten().any(|one| one["type"] == wanted.kind && one["status"] == wanted.status)
        };
        let found = self.on_pod_conditions.iter().find(stands)?;
        Some(format!("Pod {namespace}/{name} has condition {}", found.kind))
    }
}

impl ExitCodes {
    fn matches(&self, container: &Value) -> Option<i64> {
        let named = self.container_name.as_ref().is_none_or(|name| container["name"] == name.as_str());
        let code = container["state"]["terminated"]["exitCode"].as_i64().filter(|code| named && *code != 0)?;
        let listed = self.values.contains(&code);
        let wanted = if self.operator == "NotIn" { !listed } else { self.operator == "In" && listed };
        wanted.then_some(code)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SuccessPolicy {
    rules: Vec<SuccessRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SuccessRule {
    succeeded_indexes: Option<String>,
    succeeded_count: Option<i64>,
}

impl SuccessPolicy {
    /// The message of the first rule that is met.
    pub fn met(&self, succeeded: &Indexes, completions: i64) -> Option<String> {
        let is_met = |rule: &SuccessRule| match (&rule.succeeded_indexes, rule.succeeded_count) {
            (Some(text), count) => {
                let wanted = Indexes::parse(text, completions);
                wanted.common(succeeded) >= count.unwrap_or_else(|| wanted.total())
            }
            (None, Some(count)) => succeeded.total() >= count,
            (None, None) => false,
        };
        let at = self.rules.iter().position(is_met)?;
        Some(format!("Matched rules at index {at}"))
    }
}
