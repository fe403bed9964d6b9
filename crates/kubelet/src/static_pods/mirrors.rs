//! Which mirrors have to be made and which have to go. Pure.

use super::manifest::StaticPod;
use crate::names;
use crate::pod::PodRef;
use meta::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the API server shows of a static pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub pod: PodRef,
    /// The uid of the pod that it shows.
    pub hash: String,
    pub is_deleting: bool,
}

impl Mirror {
    /// None: the pod is no mirror.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let hash = meta.annotations.get(names::CONFIG_MIRROR)?.clone();
        let pod = PodRef { namespace: meta.namespace.clone(), name: meta.name.clone(), uid: meta.uid.clone() };
        Some(Mirror { pod, hash, is_deleting: meta.is_deleting() })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Make(Arc<StaticPod>),
    Remove(Mirror),
}

/// `running`: the pods that have a worker, wanted or not.
pub fn plan(
    wanted: &BTreeMap<String, Arc<StaticPod>>,
    running: &BTreeMap<String, PodRef>,
    mirrors: &[Mirror],
) -> Vec<Step> {
    let full_name = |pod: &PodRef| (pod.namespace.clone(), pod.name.clone());
    let is_wanted =
        |mirror: &Mirror| wanted.get(&mirror.hash).is_some_and(|pod| full_name(&pod.pod) == full_name(&mirror.pod));
    // One that shows a pod which still ends is right until that has ended.
    let is_ending = |mirror: &Mirror| running.contains_key(&mirror.hash) && !wanted.contains_key(&mirror.hash);
    let stale = mirrors.iter().filter(|mirror| mirror.is_deleting || !(is_wanted(mirror) || is_ending(mirror)));
    // The name is free for the new one only when the old one has gone.
    let has_none = |pod: &&Arc<StaticPod>| !mirrors.iter().any(|mirror| full_name(&mirror.pod) == full_name(&pod.pod));
    let missing = wanted.values().filter(has_none);
    stale.cloned().map(Step::Remove).chain(missing.cloned().map(Step::Make)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::static_pods::manifest;
    use serde_json::json;
    use std::path::Path;

    fn pod(name: &str) -> Arc<StaticPod> {
        let value = json!({"metadata": {"name": name}, "spec": {"containers": []}});
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Arc::new(manifest::make(value, Path::new("/x/pod.yaml"), "node", now).unwrap())
    }

    #[test]
    fn mirrors_follow_the_pods() {
        let (a, b) = (pod("a"), pod("b"));
        let mirror = |of: &StaticPod, hash: &str, is_deleting: bool| Mirror {
            pod: PodRef { uid: format!("m-{}", of.pod.name), ..of.pod.clone() },
            hash: hash.to_owned(),
            is_deleting,
        };
        let uid = a.pod.uid.as_str();
        let (fresh, deleted, old) = (mirror(&a, uid, false), mirror(&a, uid, true), mirror(&a, "before", false));
        let stray = mirror(&b, &b.pod.uid, false);
        let ending = PodRef { uid: "before".to_owned(), ..a.pod.clone() };
        for (mirrors, running, expected) in [
            (vec![], None, vec![Step::Make(a.clone())]),
            (vec![fresh.clone()], None, vec![]),
            (vec![deleted.clone()], None, vec![Step::Remove(deleted)]),
            (vec![old.clone()], Some(ending), vec![]),
            (vec![old.clone()], None, vec![Step::Remove(old)]),
            (vec![fresh, stray.clone()], None, vec![Step::Remove(stray)]),
        ] {
            let wanted = [(a.pod.uid.clone(), a.clone())].into();
            let running = running.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
            assert_eq!(plan(&wanted, &running, &mirrors), expected, "{mirrors:?}");
        }
    }
}
