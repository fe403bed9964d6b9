//! The objects that every cluster has: mandatory ones, whose specs nobody may change, and suggested
//! ones, which are kept as they are here for as long as their annotation says so.

use serde_json::{Value, json};

/// "true": the server keeps the spec; "false": whoever changed it does.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Queues, hand size, longest queue.
type Queuing = (u32, u32, u32);

struct Level {
    name: &'static str,
    /// Seats it has a right to, by proportion; None: the exempt level.
    shares: Option<u32>,
    lendable: u32,
    /// None: what finds no seat is refused.
    queuing: Option<Queuing>,
}

const fn level(name: &'static str, shares: u32, lendable: u32, queuing: Option<Queuing>) -> Level {
    Level { name, shares: Some(shares), lendable, queuing }
}

const LEVELS: &[Level] = &[
    Level { name: "exempt", shares: None, lendable: 0, queuing: None },
    level("catch-all", 5, 0, None),
    level("system", 30, 33, Some((64, 6, 50))),
    level("node-high", 40, 25, Some((64, 6, 50))),
    level("leader-election", 10, 0, Some((16, 4, 50))),
    level("workload-high", 40, 50, Some((128, 6, 50))),
    level("workload-low", 100, 90, Some((128, 6, 50))),
    level("global-default", 20, 50, Some((128, 6, 50))),
];

#[derive(Clone, Copy)]
enum Subject {
    User(&'static str),
    Group(&'static str),
    /// Of kube-system.
    Account(&'static str),
}
use Subject::{Account, Group, User};

/// Verbs, groups, resources, whether cluster scope counts.
type Rule = (&'static [&'static str], &'static [&'static str], &'static [&'static str], bool);

struct Schema {
    name: &'static str,
    precedence: u32,
    level: &'static str,
    distinguisher: &'static str,
    subjects: &'static [Subject],
    resources: &'static [Rule],
    /// Verbs and paths that are no resources.
    paths: Option<(&'static [&'static str], &'static [&'static str])>,
}

const EVERYTHING: &[Rule] = &[(&["*"], &["*"], &["*"], true)];
const EVERY_PATH: Option<(&[&str], &[&str])> = Some((&["*"], &["*"]));
const ANYBODY: &[Subject] = &[Group("system:unauthenticated"), Group("system:authenticated")];
const ELECTION: &[&str] = &["get", "create", "update"];
const LEASES: Rule = (ELECTION, &["coordination.k8s.io"], &["leases"], false);

const fn all(
    name: &'static str,
    precedence: u32,
    level: &'static str,
    distinguisher: &'static str,
    subjects: &'static [Subject],
) -> Schema {
    Schema { name, precedence, level, distinguisher, subjects, resources: EVERYTHING, paths: EVERY_PATH }
}

const fn some(
    name: &'static str,
    precedence: u32,
    level: &'static str,
    subjects: &'static [Subject],
    resources: &'static [Rule],
) -> Schema {
    Schema { name, precedence, level, distinguisher: "ByUser", subjects, resources, paths: None }
}

const SCHEMAS: &[Schema] = &[
    all("exempt", 1, "exempt", "", &[Group("system:masters")]),
    Schema {
        name: "probes",
        precedence: 2,
        level: "exempt",
        distinguisher: "",
        subjects: ANYBODY,
        resources: &[],
        paths: Some((&["get"], &["/healthz", "/readyz", "/livez"])),
    },
    some(
        "system-leader-election",
        100,
        "leader-election",
        &[User("system:kube-controller-manager"), User("system:kube-scheduler"), Account("*")],
        &[LEASES],
    ),
    some(
        "endpoint-controller",
        150,
        "workload-high",
        &[
            User("system:kube-controller-manager"),
            Account("endpoint-controller"),
            Account("endpointslicemirroring-controller"),
        ],
        &[(ELECTION, &[""], &["endpoints"], false)],
    ),
    some(
        "workload-leader-election",
        200,
        "leader-election",
        &[Account("*")],
        &[(ELECTION, &[""], &["endpoints", "configmaps"], false), LEASES],
    ),
    some(
        "system-node-high",
        400,
        "node-high",
        &[Group("system:nodes")],
        &[(&["*"], &[""], &["nodes", "nodes/status"], true), (&["*"], &["coordination.k8s.io"], &["leases"], false)],
    ),
    all("system-nodes", 500, "system", "ByUser", &[Group("system:nodes")]),
    all("kube-controller-manager", 800, "workload-high", "ByNamespace", &[User("system:kube-controller-manager")]),
    all("kube-scheduler", 800, "workload-high", "ByNamespace", &[User("system:kube-scheduler")]),
    all("kube-system-service-accounts", 900, "workload-high", "ByNamespace", &[Account("*")]),
    all("service-accounts", 9000, "workload-low", "ByUser", &[Group("system:serviceaccounts")]),
    all("global-default", 9900, "global-default", "ByUser", ANYBODY),
    all("catch-all", 10000, "catch-all", "ByUser", ANYBODY),
];

const MANDATORY: &[&str] = &["exempt", "catch-all"];

pub fn is_mandatory(name: &str) -> bool {
    MANDATORY.contains(&name)
}

/// All priority levels, as they are created.
pub fn levels() -> impl Iterator<Item = Value> {
    LEVELS.iter().map(|level| {
        let spec = match (level.shares, level.queuing) {
            (None, _) => json!({
                "type": "Exempt",
                "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": level.lendable},
            }),
            (Some(shares), queuing) => {
                let response = match queuing {
                    None => json!({"type": "Reject"}),
                    Some((queues, hand, longest)) => json!({
                        "type": "Queue",
                        "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": longest},
                    }),
                };
                json!({
                    "type": "Limited",
                    "limited": {
                        "nominalConcurrencyShares": shares,
                        "limitResponse": response,
                        "lendablePercent": level.lendable,
                    },
                })
            }
        };
        object("PriorityLevelConfiguration", level.name, spec)
    })
}

/// All flow schemas, as they are created.
pub fn schemas() -> impl Iterator<Item = Value> {
    SCHEMAS.iter().map(|schema| object("FlowSchema", schema.name, schema_spec(schema)))
}

fn schema_spec(schema: &Schema) -> Value {
    let subjects: Vec<Value> = schema
        .subjects
        .iter()
        .map(|subject| match subject {
            User(name) => json!({"kind": "User", "user": {"name": name}}),
            Group(name) => json!({"kind": "Group", "group": {"name": name}}),
            Account(name) => {
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}})
            }
        })
        .collect();
    let resources: Vec<Value> = schema
        .resources
        .iter()
        .map(|(verbs, groups, resources, cluster)| {
            let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]});
            if *cluster {
                rule["clusterScope"] = true.into();
            }
            rule
        })
        .collect();
    let mut rule = json!({"subjects": subjects});
    if !resources.is_empty() {
        rule["resourceRules"] = resources.into();
    }
    if let Some((verbs, paths)) = schema.paths {
        rule["nonResourceRules"] = json!([{"verbs": verbs, "nonResourceURLs": paths}]);
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": schema.level},
        "matchingPrecedence": schema.precedence,
        "rules": [rule],
    });
    if !schema.distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": schema.distinguisher});
    }
    spec
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    })
}

/// The spec that a mandatory object must have; None for others.
pub fn fixed_spec(kind: &str, name: &str) -> Option<Value> {
    if !is_mandatory(name) {
        return None;
    }
    let mut objects: Box<dyn Iterator<Item = Value>> = match kind {
        "FlowSchema" => Box::new(schemas()),
        _ => Box::new(levels()),
    };
    objects.find(|object| object["metadata"]["name"] == name).map(|mut object| object["spec"].take())
}

/// What is to be done with one object.
#[derive(Debug, PartialEq)]
pub enum Upkeep {
    UpToDate,
    Create,
    /// Write this in its place.
    Update(Value),
}

/// Compares what is stored with what is wanted. Of a suggested object the annotation decides, and
/// without one its generation: whoever touched it, keeps it.
pub fn upkeep(stored: Option<&Value>, wanted: &Value) -> Upkeep {
    let Some(stored) = stored else { return Upkeep::Create };
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    let told = stored["metadata"]["annotations"][AUTOUPDATE].as_str();
    let ours = match told {
        _ if is_mandatory(name) => true,
        Some("true") => true,
        Some("false") => false,
        _ => stored["metadata"]["generation"].as_i64() == Some(1),
    };
    let marked = told == Some(if ours { "true" } else { "false" });
    if marked && (!ours || stored["spec"] == wanted["spec"]) {
        return Upkeep::UpToDate;
    }
    let mut object = stored.clone();
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][AUTOUPDATE] = ours.to_string().into();
    if ours {
        object["spec"] = wanted["spec"].clone();
    }
    Upkeep::Update(object)
}

/// Whether a stored object that is wanted no longer is the server's to remove.
pub fn is_left_over(stored: &Value, kind: &str) -> bool {
    let name = stored["metadata"]["name"].as_str().unwrap_or_default();
    let known = match kind {
        "FlowSchema" => SCHEMAS.iter().any(|schema| schema.name == name),
        _ => LEVELS.iter().any(|level| level.name == name),
    };
    !known && stored["metadata"]["annotations"][AUTOUPDATE] == "true"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_objects_are_kept_until_somebody_takes_them_over() {
        let wanted = levels().find(|level| level["metadata"]["name"] == "system").unwrap();
        assert_eq!(upkeep(None, &wanted), Upkeep::Create);
        assert_eq!(upkeep(Some(&wanted), &wanted), Upkeep::UpToDate);
        let mut changed = wanted.clone();
        changed["spec"]["limited"]["nominalConcurrencyShares"] = 1.into();
        assert_eq!(upkeep(Some(&changed), &wanted), Upkeep::Update(wanted.clone()));
        changed["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(upkeep(Some(&changed), &wanted), Upkeep::UpToDate);
        // Without an annotation: somebody else's once it was changed.
        changed["metadata"] = json!({"name": "system", "generation": 2});
        let Upkeep::Update(marked) = upkeep(Some(&changed), &wanted) else { panic!("not marked") };
        assert_eq!(marked["metadata"]["annotations"][AUTOUPDATE], "false");
        assert_eq!(marked["spec"], changed["spec"]);
    }

    #[test]
    fn mandatory_specs_are_fixed_whatever_the_annotation_says() {
        let mut stored = schemas().find(|schema| schema["metadata"]["name"] == "catch-all").unwrap();
        let wanted = stored.clone();
        stored["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(upkeep(Some(&stored), &wanted), Upkeep::Update(wanted.clone()));
        assert_eq!(fixed_spec("FlowSchema", "catch-all").as_ref(), Some(&wanted["spec"]));
        assert_eq!(fixed_spec("FlowSchema", "probes"), None);
    }
}
