//! The policy file: which requests are recorded, and how much of them. The first rule that matches
//! decides; a request that no rule matches is not recorded.

use meta::Attributes;
use serde::Deserialize;

/// For servers that are given no policy: who did what, once it is done; nothing of health checks, which
/// would bury the rest.
pub const STANDARD_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: Metadata
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// As the file has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    api_version: String,
    kind: String,
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("failed to read file path {path:?}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("failed decoding: {0}")]
    Decode(String),
    #[error("unknown group version field {version:?} and kind {kind:?} in policy")]
    Unknown { version: String, kind: String },
    #[error("loaded illegal policy with 0 rules")]
    NoRules,
    #[error("{0}")]
    Rule(String),
}

/// What a policy says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    /// # Errors
    /// No file, or no policy in it.
    pub fn load(path: &std::path::Path) -> Result<Self, PolicyError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| PolicyError::Read { path: shown, error })?;
        Self::parse(&text)
    }

    /// # Errors
    /// It is none, or has no rules.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let value = wire::yaml::parse(text).map_err(|error| PolicyError::Decode(error.to_string()))?;
        let policy: Policy = serde_json::from_value(value).map_err(|error| PolicyError::Decode(error.to_string()))?;
        if policy.kind != "Policy" || policy.api_version != "audit.k8s.io/v1" {
            return Err(PolicyError::Unknown { version: policy.api_version, kind: policy.kind });
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            rule.check(at)?;
        }
        Ok(policy)
    }

    pub fn judge(&self, asked: &Attributes<'_>) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(asked)) else {
            return Verdict {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            };
        };
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(&rule.omit_stages);
        Verdict {
            level: rule.level,
            omit_stages,
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

/// An empty list stands for everything.
fn lets(list: &[String], word: &str) -> bool {
    list.is_empty() || list.iter().any(|own| own == word)
}

impl Rule {
    fn check(&self, at: usize) -> Result<(), PolicyError> {
        let fail = |why: &str| Err(PolicyError::Rule(format!("rules[{at}].{why}")));
        let has_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if has_resources && !self.non_resource_urls.is_empty() {
            return fail(
                "nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        for url in &self.non_resource_urls {
            if url != "*" && !url.starts_with('/') {
                return fail(&format!(
                    "nonResourceURLs: Invalid value: {url:?}: non-resource URL rules must begin with a '/' character"
                ));
            }
            if url != "*" && url.trim_end_matches('*').contains('*') {
                return fail(&format!(
                    "nonResourceURLs: Invalid value: {url:?}: non-resource URL wildcards '*' must be the final character of the rule"
                ));
            }
        }
        if let Some(group) =
            self.resources.iter().find(|group| !group.resource_names.is_empty() && group.resources.is_empty())
        {
            return fail(&format!(
                "resources.resourceNames: Invalid value: {:?}: using resourceNames requires at least one resource",
                group.resource_names
            ));
        }
        Ok(())
    }

    fn matches(&self, asked: &Attributes<'_>) -> bool {
        let in_groups = || asked.user.groups.iter().any(|group| self.user_groups.contains(group));
        if !lets(&self.users, &asked.user.name)
            || !(self.user_groups.is_empty() || in_groups())
            || !lets(&self.verbs, asked.verb)
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.is_resource() && self.has_resource(asked);
        }
        if !self.non_resource_urls.is_empty() {
            return !asked.is_resource() && self.non_resource_urls.iter().any(|url| covers(url, asked.path));
        }
        true
    }

    fn has_resource(&self, asked: &Attributes<'_>) -> bool {
        if !lets(&self.namespaces, asked.namespace) {
            return false;
        }
        let has = |group: &GroupResources| {
            let named = || lets(&group.resource_names, asked.name);
            let any = || group.resources.iter().any(|own| is_resource(own, asked.resource, asked.subresource));
            group.group == asked.group && (group.resources.is_empty() || (named() && any()))
        };
        self.resources.is_empty() || self.resources.iter().any(has)
    }
}

/// `pods`, `pods/log`, `*`, `*/log` or `pods/*`.
fn is_resource(own: &str, resource: &str, subresource: &str) -> bool {
    match own.split_once('/') {
        None => own == "*" || (own == resource && subresource.is_empty()),
        Some(("*", sub)) => sub == subresource,
        Some((of, "*")) => of == resource,
        Some((of, sub)) => of == resource && sub == subresource,
    }
}

fn covers(url: &str, path: &str) -> bool {
    match url.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => url == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::User;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
omitManagedFields: true
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: ["watch"]
  resources:
  - group: ""
    resources: ["endpoints", "services"]
- level: None
  userGroups: ["system:nodes"]
  nonResourceURLs: ["/healthz*", "/version"]
- level: Request
  resources:
  - group: ""
    resources: ["configmaps"]
    resourceNames: ["one"]
  namespaces: ["kube-system"]
  omitManagedFields: false
- level: RequestResponse
  resources:
  - group: ""
    resources: ["pods", "pods/*", "*/token"]
  omitStages: ["ResponseStarted"]
- level: Metadata
  resources:
  - group: "apps"
"#;

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy::parse(POLICY).unwrap();
        let (jane, proxy) = (User::new("jane", &["dev"]), User::new("system:kube-proxy", &[]));
        let node = User::new("system:node:a", &["system:nodes"]);
        let base = Attributes::resource(&jane, "get", "", "pods");
        for (asked, level) in [
            (Attributes { user: &proxy, verb: "watch", resource: "services", ..base }, Level::None),
            (Attributes { user: &node, path: "/healthz/ping", resource: "", ..base }, Level::None),
            (Attributes { resource: "configmaps", name: "one", namespace: "kube-system", ..base }, Level::Request),
            (Attributes { resource: "configmaps", name: "two", namespace: "kube-system", ..base }, Level::None),
            (base, Level::RequestResponse),
            (Attributes { subresource: "log", ..base }, Level::RequestResponse),
            (Attributes { resource: "serviceaccounts", subresource: "token", ..base }, Level::RequestResponse),
            (Attributes { resource: "serviceaccounts", ..base }, Level::None),
            (Attributes { group: "apps", resource: "deployments", subresource: "scale", ..base }, Level::Metadata),
        ] {
            assert_eq!(policy.judge(&asked).level, level, "{asked:?}");
        }
        let verdict = policy.judge(&base);
        assert_eq!(verdict.omit_stages, [Stage::RequestReceived, Stage::ResponseStarted]);
        assert!(verdict.omit_managed_fields);
        let one = Attributes { resource: "configmaps", name: "one", namespace: "kube-system", ..base };
        assert!(!policy.judge(&one).omit_managed_fields);
    }

    #[test]
    fn the_standard_policy_tells_of_all_but_health_checks_once() {
        let policy = Policy::parse(STANDARD_POLICY).unwrap();
        let jane = User::new("jane", &[]);
        for (path, resource, level) in
            [("", "secrets", Level::Metadata), ("/version", "", Level::Metadata), ("/readyz/ping", "", Level::None)]
        {
            let verdict = policy.judge(&Attributes { path, ..Attributes::resource(&jane, "get", "", resource) });
            assert_eq!(verdict.level, level, "{path}{resource}");
            assert_eq!(verdict.omit_stages, [Stage::RequestReceived]);
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (text, why) in [
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\n", "0 rules"),
            ("apiVersion: v1\nkind: Policy\nrules: [{level: None}]\n", "unknown group version"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Some}]\n", "failed decoding"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: [a]}]\n", "begin with"),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
