//! A kind of object as quotas count it.

use crate::amounts::Amounts;
use crate::pod::{self, list};
use crate::scope;
use base::Timestamp;
use meta::Quantity;
use meta::quantity::Format;
use serde_json::Value;

const CLASS_REQUESTS: &str = ".storageclass.storage.k8s.io/requests.storage";
const CLASS_CLAIMS: &str = ".storageclass.storage.k8s.io/persistentvolumeclaims";

/// Resources that have a name of their own beside `count/…`.
const PLAIN_COUNTS: [&str; 5] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets", "services"];

/// A resource that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject<'a> {
    pub group: &'a str,
    pub resource: &'a str,
}

impl<'a> Subject<'a> {
    /// Whose objects a name in `spec.hard` counts; None: nobody's.
    pub fn of_name(name: &'a str) -> Option<Self> {
        let core = |resource| Some(Subject { group: "", resource });
        if let Some(counted) = name.strip_prefix("count/") {
            let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Some(Subject { group, resource });
        }
        match name {
            "requests.storage" | "persistentvolumeclaims" => core("persistentvolumeclaims"),
            "services.loadbalancers" | "services.nodeports" => core("services"),
            "pods" | "cpu" | "memory" | "ephemeral-storage" => core("pods"),
            name if PLAIN_COUNTS.contains(&name) => core(name),
            name if name.ends_with(CLASS_REQUESTS) || name.ends_with(CLASS_CLAIMS) => core("persistentvolumeclaims"),
            name if ["requests.", "limits.", "hugepages-"].iter().any(|start| name.starts_with(start)) => core("pods"),
            _ => None,
        }
    }

    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource
    }

    /// True where the name in `spec.hard` counts objects of this kind.
    pub fn counts(&self, name: &str) -> bool {
        Subject::of_name(name).is_some_and(|subject| subject.is(self.group, self.resource))
    }

    /// Whether the quota looks at the object; `hard` are its names.
    pub fn is_seen_by(&self, quota: &Value, hard: &Amounts, object: &Value) -> bool {
        hard.keys().any(|name| self.counts(name)) && scope::all_match(quota, self, object)
    }

    /// What the object counts.
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        match (self.group, self.resource) {
            ("", "pods") => pod::usage(object, now),
            ("", "services") => service_usage(object),
            ("", "persistentvolumeclaims") => claim_usage(object),
            _ => self.count(),
        }
    }

    /// What of a pod has to be stated and is not; other kinds state everything.
    pub fn unstated(&self, object: &Value, hard: &Amounts) -> Option<String> {
        let required: Vec<&String> = hard.keys().filter(|name| self.counts(name)).collect();
        if self.is("", "pods") { pod::unstated(object, &required) } else { None }
    }

    fn count(&self) -> Amounts {
        let one = Quantity::new(1, Format::DecimalSi);
        let mut used = Amounts::from([(self.count_name(), one)]);
        if self.group.is_empty() && PLAIN_COUNTS.contains(&self.resource) {
            used.insert(self.resource.to_owned(), one);
        }
        used
    }

    fn count_name(&self) -> String {
        match self.group {
            "" => format!("count/{}", self.resource),
            group => format!("count/{}.{group}", self.resource),
        }
    }
}

fn number(number: usize) -> Quantity {
    Quantity::new(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

fn service_usage(service: &Value) -> Amounts {
    let spec = &service["spec"];
    let ports = list(spec, "ports");
    let given = ports.iter().filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0)).count();
    let (nodeports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (given, 1),
        Some("LoadBalancer") => (ports.len(), 1),
        _ => (0, 0),
    };
    Amounts::from([
        ("count/services".to_owned(), number(1)),
        ("services".to_owned(), number(1)),
        ("services.loadbalancers".to_owned(), number(balancers)),
        ("services.nodeports".to_owned(), number(nodeports)),
    ])
}

fn claim_usage(claim: &Value) -> Amounts {
    let class = match claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str() {
        Some(class) => class,
        None => claim["spec"]["storageClassName"].as_str().unwrap_or_default(),
    };
    let mut used = Amounts::from([
        ("count/persistentvolumeclaims".to_owned(), number(1)),
        ("persistentvolumeclaims".to_owned(), number(1)),
    ]);
    let of = |value: &Value| crate::amounts::amounts(value).get("storage").copied();
    let wanted = of(&claim["spec"]["resources"]["requests"]);
    // An expansion under way is paid for until it is given up.
    let allocated = of(&claim["status"]["allocatedResources"]);
    let storage = wanted.map(|wanted| allocated.filter(|allocated| *allocated > wanted).unwrap_or(wanted));
    let storage = storage.map(|amount| match amount.is_whole() {
        true => amount,
        false => Quantity::new(amount.value(), amount.format()),
    });
    if !class.is_empty() {
        used.insert(format!("{class}{CLASS_CLAIMS}"), number(1));
    }
    if let Some(storage) = storage {
        used.insert("requests.storage".to_owned(), storage);
        if !class.is_empty() {
            used.insert(format!("{class}{CLASS_REQUESTS}"), storage);
        }
    }
    used
}
