//! From requests and limits to cgroups: quality of service, shares, quotas, and who dies first.

use crate::pod::spec;
use container::runtime::Resources;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use meta::Quantity;
use std::collections::BTreeMap;
use volumes::fields::{limit_of, request_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn as_str(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

const QUOTA_PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const GUARANTEED_OOM: i32 = -997;
const BEST_EFFORT_OOM: i32 = 1000;
/// Pods from here up are the system's own.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

fn counted(pod: &Pod) -> impl Iterator<Item = &Container> {
    spec::init_containers(pod).iter().chain(spec::main_containers(pod))
}

/// What requests and limits of cpu and memory make of a pod.
pub fn qos(pod: &Pod) -> Qos {
    if let Some(own) = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()) {
        let class = class_of(std::iter::once(Some(own)));
        if class != Qos::BestEffort {
            return class;
        }
    }
    class_of(counted(pod).map(|container| container.resources.as_ref()))
}

fn class_of<'a>(all: impl Iterator<Item = Option<&'a ResourceRequirements>>) -> Qos {
    let mut guaranteed = true;
    let mut best_effort = true;
    for resources in all {
        for name in ["cpu", "memory"] {
            let limit = limit_of(resources, name).filter(|amount| !amount.is_zero());
            let request = request_of(resources, name).filter(|amount| !amount.is_zero());
            best_effort &= limit.is_none() && request.is_none();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (best_effort, guaranteed) {
        (true, _) => Qos::BestEffort,
        (_, true) => Qos::Guaranteed,
        _ => Qos::Burstable,
    }
}

/// The system needs it: the kernel takes it last, and no pressure evicts it.
pub fn is_critical(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|own| own >= SYSTEM_CRITICAL)
}

/// The pod's cgroup below the instance's root.
pub fn cgroup_parent(pod: &Pod, uid: &str) -> String {
    match qos(pod) {
        Qos::Guaranteed => format!("pod{uid}"),
        Qos::Burstable => format!("burstable/pod{uid}"),
        Qos::BestEffort => format!("besteffort/pod{uid}"),
    }
}

/// How readily the kernel kills it: by its share of the memory it asked for.
pub fn oom_score(pod: &Pod, container: &Container, node_memory: i64) -> i32 {
    match qos(pod) {
        _ if is_critical(pod) => GUARANTEED_OOM,
        Qos::Guaranteed => GUARANTEED_OOM,
        Qos::BestEffort => BEST_EFFORT_OOM,
        Qos::Burstable => {
            let own = burstable_oom(container, node_memory);
            if spec::is_sidecar(container) {
                // A sidecar outlives the containers it serves.
                let others = spec::main_containers(pod).iter().map(|main| burstable_oom(main, node_memory));
                others.min().map_or(own, |least| own.min(least))
            } else {
                own
            }
        }
    }
}

fn burstable_oom(container: &Container, node_memory: i64) -> i32 {
    let request = request_of(container.resources.as_ref(), "memory").map_or(0, |amount| amount.value());
    let score = 1000 - i128::from(request) * 1000 / i128::from(node_memory.max(1));
    i32::try_from(score.clamp(1000 + i128::from(GUARANTEED_OOM), i128::from(BEST_EFFORT_OOM) - 1)).unwrap_or(999)
}

/// The limits of one container.
pub fn of_container(pod: &Pod, container: &Container, node_memory: i64) -> Resources {
    let own = container.resources.as_ref();
    let request = request_of(own, "cpu").or_else(|| limit_of(own, "cpu")).unwrap_or(Quantity::ZERO);
    let mut resources = cpu_and_memory(request, limit_of(own, "cpu"), limit_of(own, "memory"));
    resources.oom_score_adj = oom_score(pod, container, node_memory);
    resources.hugepage_limits = hugepages(own);
    resources
}

/// The limits of a pod as a whole: requests add up; a limit stands only where every container has
/// one.
pub fn of_pod(pod: &Pod) -> Resources {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let request = request_of(own, "cpu").unwrap_or_else(|| pod_request(pod, "cpu"));
    let limit = |name: &str| limit_of(own, name).or_else(|| pod_limit(pod, name));
    let mut resources = cpu_and_memory(request, limit("cpu"), limit("memory"));
    for container in counted(pod) {
        for (size, bytes) in hugepages(container.resources.as_ref()) {
            *resources.hugepage_limits.entry(size).or_default() += bytes;
        }
    }
    resources
}

/// What the pod needs at any time: its containers and sidecars together, or its greediest init
/// container (with the sidecars started before it).
pub fn pod_request(pod: &Pod, name: &str) -> Quantity {
    let amount = |container: &Container| request_of(container.resources.as_ref(), name).unwrap_or(Quantity::ZERO);
    let overhead = pod.spec.as_ref().and_then(|spec| spec.overhead.as_ref()?.get(name)?.0.parse().ok());
    demand(pod, &amount) + overhead.unwrap_or(Quantity::ZERO)
}

fn demand(pod: &Pod, amount: &dyn Fn(&Container) -> Quantity) -> Quantity {
    let mut sidecars = Quantity::ZERO;
    let mut most = Quantity::ZERO;
    for container in spec::init_containers(pod) {
        if spec::is_sidecar(container) {
            sidecars += amount(container);
            most = most.max(sidecars);
        } else {
            most = most.max(sidecars + amount(container));
        }
    }
    let together = spec::main_containers(pod).iter().fold(sidecars, |sum, container| sum + amount(container));
    together.max(most)
}

fn pod_limit(pod: &Pod, name: &str) -> Option<Quantity> {
    let limit = |container: &Container| limit_of(container.resources.as_ref(), name);
    counted(pod)
        .all(|container| limit(container).is_some())
        .then(|| demand(pod, &|container| limit(container).unwrap_or(Quantity::ZERO)))
}

/// The limits of the containers that have one, together; None where none has.
pub fn limit_sum(pod: &Pod, name: &str) -> Option<Quantity> {
    let limit = |container: &Container| limit_of(container.resources.as_ref(), name);
    let any = counted(pod).any(|container| limit(container).is_some());
    any.then(|| demand(pod, &|container| limit(container).unwrap_or(Quantity::ZERO)))
}

fn cpu_and_memory(request: Quantity, cpu: Option<Quantity>, memory: Option<Quantity>) -> Resources {
    let quota = cpu
        .filter(|limit| !limit.is_zero())
        .map(|limit| (i128::from(limit.milli_value()) * i128::from(QUOTA_PERIOD) / 1000).max(i128::from(MIN_QUOTA)));
    Resources {
        cpu_shares: u64::try_from(shares(request.milli_value())).ok(),
        cpu_quota_micros: quota.and_then(|quota| i64::try_from(quota).ok()),
        cpu_period_micros: quota.and(u64::try_from(QUOTA_PERIOD).ok()),
        memory_limit_bytes: memory.filter(|limit| !limit.is_zero()).map(|limit| limit.value()),
        ..Resources::default()
    }
}

fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// `hugepages-2Mi: 4Mi` as `2MB` to bytes.
fn hugepages(resources: Option<&ResourceRequirements>) -> BTreeMap<String, u64> {
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let of = |(name, amount): (&String, &k8s_openapi::apimachinery::pkg::api::resource::Quantity)| {
        let size = name.strip_prefix("hugepages-")?;
        let page = size.parse::<Quantity>().ok()?.value();
        let name = match page {
            page if page % (1 << 30) == 0 => format!("{}GB", page >> 30),
            page if page % (1 << 20) == 0 => format!("{}MB", page >> 20),
            page => format!("{}KB", page >> 10),
        };
        Some((name, u64::try_from(amount.0.parse::<Quantity>().ok()?.value()).ok()?))
    };
    limits.into_iter().flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: serde_json::Value) -> Pod {
        let containers: Vec<serde_json::Value> = containers
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(index, resources)| json!({"name": format!("c{index}"), "resources": resources}))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": containers}})).unwrap()
    }

    #[test]
    fn the_systems_own_pods_are_spared() {
        for (pod, spared) in [
            (json!({"metadata": {}, "spec": {"containers": [], "priority": 1_000_000_000}}), false),
            (json!({"metadata": {}, "spec": {"containers": [], "priority": 2_000_000_000}}), true),
        ] {
            assert_eq!(is_critical(&serde_json::from_value(pod.clone()).unwrap()), spared, "{pod}");
        }
    }

    #[test]
    fn classes_follow_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}});
        for (containers, class) in [
            (json!([{}]), Qos::BestEffort),
            (json!([full]), Qos::Guaranteed),
            (json!([{"limits": {"cpu": "1", "memory": "1Gi"}}]), Qos::Guaranteed),
            (json!([full, {}]), Qos::Burstable),
            (json!([{"requests": {"cpu": "1m"}}]), Qos::Burstable),
            (json!([{"limits": {"cpu": "1"}}]), Qos::Burstable),
            (json!([{"requests": {"cpu": "0"}}]), Qos::BestEffort),
        ] {
            assert_eq!(qos(&pod(containers.clone())), class, "{containers}");
        }
    }

    #[test]
    fn numbers_for_the_kernel() {
        let both = pod(json!([
            {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "64Mi"}},
            {"limits": {"cpu": "1", "memory": "1Gi"}},
        ]));
        let first = of_container(&both, &spec::main_containers(&both)[0], 1 << 30);
        assert_eq!((first.cpu_shares, first.cpu_quota_micros), (Some(256), Some(50_000)));
        assert_eq!((first.memory_limit_bytes, first.oom_score_adj), (Some(64 << 20), 938));
        let whole = of_pod(&both);
        assert_eq!((whole.cpu_quota_micros, whole.memory_limit_bytes), (Some(150_000), Some((1 << 30) + (64 << 20))));
        let one = pod(json!([{"limits": {"memory": "1Gi"}}, {}]));
        assert_eq!(of_pod(&one).memory_limit_bytes, None, "the second container may use what it likes");
        let tiny = pod(json!([{"limits": {"cpu": "1m"}}]));
        assert_eq!(of_pod(&tiny).cpu_quota_micros, Some(1000));
        assert_eq!(cgroup_parent(&tiny, "u"), "burstable/podu");
        assert_eq!(of_container(&pod(json!([{}])), &Container::default(), 1).oom_score_adj, 1000);
    }
}
