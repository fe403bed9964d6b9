//! FlowSchemas and PriorityLevelConfigurations, read once and laid out for matching.

use meta::{Attributes, User};
use serde_json::Value;
use std::hash::{DefaultHasher, Hasher as _};

const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distinguisher {
    None,
    ByUser,
    ByNamespace,
}

impl Distinguisher {
    pub fn of<'a>(self, asked: &Attributes<'a>) -> &'a str {
        match self {
            Distinguisher::None => "",
            Distinguisher::ByUser => &asked.user.name,
            Distinguisher::ByNamespace => asked.namespace,
        }
    }
}

/// What a FlowSchema says.
#[derive(Debug, Clone)]
pub struct SchemaSpec {
    pub name: String,
    pub uid: String,
    pub precedence: i64,
    pub level: String,
    pub distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Debug, Clone)]
enum Subject {
    AnyUser,
    User(String),
    AnyGroup,
    Group(String),
    Account { namespace: String, name: String },
}

#[derive(Debug, Clone)]
struct ResourceRule {
    verbs: Words,
    groups: Words,
    resources: Words,
    namespaces: Words,
    cluster: bool,
}

#[derive(Debug, Clone)]
struct PathRule {
    verbs: Words,
    paths: Words,
}

/// A list in which `*` stands for everything.
#[derive(Debug, Clone)]
struct Words {
    any: bool,
    words: Vec<String>,
}

impl Words {
    fn read(value: &Value) -> Self {
        let words: Vec<String> = texts(value).map(str::to_owned).collect();
        Words { any: words.iter().any(|word| word == "*"), words }
    }

    fn has(&self, word: &str) -> bool {
        self.any || self.words.iter().any(|own| own == word)
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        if subresource.is_empty() {
            return self.has(resource);
        }
        let is_it = |own: &String| own.split_once('/') == Some((resource, subresource));
        self.any || self.words.iter().any(is_it)
    }

    fn has_path(&self, path: &str) -> bool {
        let covers = |own: &String| match own.strip_suffix('*') {
            Some(start) if own.ends_with("/*") => path.starts_with(start),
            _ => own == path,
        };
        self.any || self.words.iter().any(covers)
    }
}

impl Subject {
    fn read(value: &Value) -> Option<Self> {
        let name = |field: &str| value[field]["name"].as_str().unwrap_or_default();
        Some(match value["kind"].as_str()? {
            "User" if name("user") == "*" => Subject::AnyUser,
            "User" => Subject::User(name("user").to_owned()),
            "Group" if name("group") == "*" => Subject::AnyGroup,
            "Group" => Subject::Group(name("group").to_owned()),
            "ServiceAccount" => Subject::Account {
                namespace: value["serviceAccount"]["namespace"].as_str().unwrap_or_default().to_owned(),
                name: name("serviceAccount").to_owned(),
            },
            _ => return None,
        })
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Subject::AnyUser => true,
            Subject::User(name) => *name == user.name,
            Subject::AnyGroup => !user.groups.is_empty(),
            Subject::Group(group) => user.in_group(group),
            Subject::Account { namespace, name } => {
                let account = user.name.strip_prefix(ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(own, account)| own == namespace && (name == "*" || name == account))
            }
        }
    }
}

impl ResourceRule {
    fn has(&self, asked: &Attributes<'_>) -> bool {
        let in_scope = if asked.namespace.is_empty() { self.cluster } else { self.namespaces.has(asked.namespace) };
        in_scope
            && self.verbs.has(asked.verb)
            && self.groups.has(asked.group)
            && self.resources.has_resource(asked.resource, asked.subresource)
    }
}

impl Rule {
    fn matches(&self, asked: &Attributes<'_>) -> bool {
        let covered = || match asked.path {
            "" => self.resources.iter().any(|rule| rule.has(asked)),
            path => self.paths.iter().any(|rule| rule.verbs.has(asked.verb) && rule.paths.has_path(path)),
        };
        self.subjects.iter().any(|subject| subject.is(asked.user)) && covered()
    }
}

impl SchemaSpec {
    pub fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let rules = items(&spec["rules"]).map(|rule| Rule {
            subjects: items(&rule["subjects"]).filter_map(Subject::read).collect(),
            resources: items(&rule["resourceRules"])
                .map(|rule| ResourceRule {
                    verbs: Words::read(&rule["verbs"]),
                    groups: Words::read(&rule["apiGroups"]),
                    resources: Words::read(&rule["resources"]),
                    namespaces: Words::read(&rule["namespaces"]),
                    cluster: rule["clusterScope"].as_bool().unwrap_or_default(),
                })
                .collect(),
            paths: items(&rule["nonResourceRules"])
                .map(|rule| PathRule {
                    verbs: Words::read(&rule["verbs"]),
                    paths: Words::read(&rule["nonResourceURLs"]),
                })
                .collect(),
        });
        SchemaSpec {
            name: name(object),
            uid: uid(object),
            precedence: spec["matchingPrecedence"].as_i64().unwrap_or(1000),
            level: spec["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default().to_owned(),
            distinguisher: match spec["distinguisherMethod"]["type"].as_str() {
                Some("ByUser") => Distinguisher::ByUser,
                Some("ByNamespace") => Distinguisher::ByNamespace,
                _ => Distinguisher::None,
            },
            rules: rules.collect(),
        }
    }

    pub fn matches(&self, asked: &Attributes<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
    }

    /// The same for all requests of one flow; `seed` keeps anybody from choosing names that
    /// share another's queues.
    pub fn flow(&self, asked: &Attributes<'_>, seed: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        hasher.write(self.name.as_bytes());
        hasher.write_u8(0);
        hasher.write(self.distinguisher.of(asked).as_bytes());
        hasher.finish()
    }
}

/// What a PriorityLevelConfiguration says.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelSpec {
    pub name: String,
    pub uid: String,
    pub exempt: bool,
    pub shares: u32,
    pub lendable_percent: u32,
    /// None: as much as there is.
    pub borrowing_percent: Option<u32>,
    /// None: what finds no seat is refused.
    pub queuing: Option<QueuingSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuingSpec {
    pub queues: u32,
    pub hand: u32,
    pub longest: u32,
}

/// More queues than this make nothing fairer; upstream's bound is ten million.
const MOST_QUEUES: u32 = 4096;

impl LevelSpec {
    pub fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let exempt = spec["type"] == "Exempt";
        let body = &spec[if exempt { "exempt" } else { "limited" }];
        let queuing = &body["limitResponse"]["queuing"];
        LevelSpec {
            name: name(object),
            uid: uid(object),
            exempt,
            shares: number(body, "nominalConcurrencyShares").unwrap_or(if exempt { 0 } else { 30 }),
            lendable_percent: number(body, "lendablePercent").unwrap_or_default(),
            borrowing_percent: number(body, "borrowingLimitPercent"),
            queuing: queuing.is_object().then(|| QueuingSpec {
                queues: number(queuing, "queues").unwrap_or(64).clamp(1, MOST_QUEUES),
                hand: number(queuing, "handSize").unwrap_or(8).max(1),
                longest: number(queuing, "queueLengthLimit").unwrap_or(50),
            }),
        }
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn number(object: &Value, field: &str) -> Option<u32> {
    object[field].as_u64().and_then(|number| u32::try_from(number).ok())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;

    fn asked<'a>(user: &'a User, verb: &'a str, resource: &'a str, namespace: &'a str) -> Attributes<'a> {
        let group = if resource == "leases" { "coordination.k8s.io" } else { "" };
        Attributes { version: "v1", namespace, ..Attributes::resource(user, verb, group, resource) }
    }

    #[test]
    fn the_standard_schemas_sort_requests_as_upstreams_do() {
        let mut schemas: Vec<SchemaSpec> = bootstrap::schemas().map(|schema| SchemaSpec::read(&schema)).collect();
        schemas.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        let known = |name: &str, groups: &[&str]| {
            let mut user = User::new(name, groups);
            user.groups.push("system:authenticated".to_owned());
            user
        };
        let masters = known("root", &["system:masters"]);
        let node = known("system:node:n1", &["system:nodes"]);
        let manager = known("system:kube-controller-manager", &[]);
        let account = known("system:serviceaccount:kube-system:coredns", &["system:serviceaccounts"]);
        let other = known("system:serviceaccount:default:app", &["system:serviceaccounts"]);
        let jane = known("jane", &[]);
        for (asked, schema) in [
            (asked(&masters, "list", "pods", ""), "exempt"),
            (asked(&node, "update", "nodes", ""), "system-node-high"),
            (asked(&node, "update", "leases", "kube-node-lease"), "system-node-high"),
            (asked(&node, "list", "pods", ""), "system-nodes"),
            (asked(&manager, "update", "leases", "kube-system"), "system-leader-election"),
            (asked(&manager, "update", "endpoints", "a"), "endpoint-controller"),
            (asked(&manager, "list", "pods", ""), "kube-controller-manager"),
            (asked(&account, "list", "services", ""), "kube-system-service-accounts"),
            (asked(&account, "get", "configmaps", "kube-system"), "workload-leader-election"),
            (asked(&other, "list", "services", "default"), "service-accounts"),
            (asked(&jane, "list", "pods", "default"), "global-default"),
            (Attributes { path: "/readyz", ..asked(&jane, "get", "", "") }, "probes"),
            (Attributes { path: "/version", ..asked(&jane, "get", "", "") }, "global-default"),
        ] {
            let found = schemas.iter().find(|schema| schema.matches(&asked)).unwrap();
            assert_eq!(found.name, schema, "{asked:?}");
        }
    }
}
