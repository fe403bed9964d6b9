//! Who has to go first when something is short: upstream's order. Pure.

use super::signals::Signal;
use super::usage::{Disk, PodUsage};
use crate::pod::PodRef;
use crate::resources::pod_request;
use k8s_openapi::api::core::v1::Pod;
use std::cmp::Reverse;

pub struct Candidate {
    pub pod: Pod,
    pub usage: PodUsage,
}

/// Which files count: all, where images and pods share a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub one_disk: bool,
}

impl Layout {
    /// What the pod takes of the disk that runs short.
    fn disk(self, signal: Signal, usage: &PodUsage) -> Disk {
        let of_images = matches!(signal, Signal::ImagefsAvailable | Signal::ImagefsInodesFree);
        let (root, rest) = (self.one_disk || of_images, self.one_disk || !of_images);
        let containers = usage.containers.iter().flat_map(|own| [(root, own.root), (rest, own.logs)]);
        let volumes = usage.volumes.values().map(|volume| (rest, *volume));
        containers.chain(volumes).filter(|(counts, _)| *counts).map(|(_, disk)| disk).sum()
    }
}

/// First those that take more than they asked for, then the less important, then by how much more.
pub fn rank(signal: Signal, layout: Layout, candidates: &mut [Candidate]) {
    let key = |candidate: &Candidate| {
        let Candidate { pod, usage } = candidate;
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        let resource = signal.resource();
        let request = || pod_request(pod, resource).value();
        let over = match resource {
            "memory" => usage.memory - request(),
            "ephemeral-storage" => layout.disk(signal, usage).bytes - request(),
            "inodes" => layout.disk(signal, usage).files - request(),
            // Nobody can ask for processes.
            _ => return (Reverse(false), priority, Reverse(usage.pids), PodRef::of(pod)),
        };
        (Reverse(over > 0), priority, Reverse(over), PodRef::of(pod))
    };
    candidates.sort_by_cached_key(key);
}

#[cfg(test)]
mod tests {
    use super::super::usage::ContainerUsage;
    use super::*;
    use serde_json::json;

    /// Name, priority, request in Mi; memory, root, logs and volume in Mi; processes.
    type Case = (&'static str, i32, i64, [i64; 4], i64);

    fn candidate((name, priority, request, [memory, root, logs, volume], pids): Case) -> Candidate {
        let requests = json!({"memory": format!("{request}Mi"), "ephemeral-storage": format!("{request}Mi")});
        let container = json!({"name": "c", "resources": {"requests": requests}});
        let pod = json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": [container]}});
        let disk = |mebibytes: i64| Disk { bytes: mebibytes << 20, files: mebibytes };
        let container =
            ContainerUsage { name: "c".to_owned(), memory: memory << 20, root: disk(root), logs: disk(logs) };
        let volumes = [("v".to_owned(), disk(volume))].into();
        let usage = PodUsage { memory: memory << 20, pids, containers: vec![container], volumes };
        Candidate { pod: serde_json::from_value(pod).unwrap(), usage }
    }

    #[test]
    fn the_greediest_of_the_least_important_goes_first() {
        let cases: [Case; 5] = [
            ("modest", 0, 100, [90, 0, 0, 0], 50),
            ("greedy", 0, 10, [90, 0, 0, 5], 1),
            ("greedier", 0, 10, [95, 0, 9, 0], 2),
            ("important", 7, 10, [900, 900, 0, 0], 900),
            ("image", 0, 10, [0, 50, 0, 1], 0),
        ];
        let order = |signal: Signal, one_disk: bool| {
            let mut all: Vec<Candidate> = cases.into_iter().map(candidate).collect();
            rank(signal, Layout { one_disk }, &mut all);
            all.iter().map(|one| one.pod.metadata.name.clone().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (signal, one_disk, expected) in [
            (Signal::MemoryAvailable, true, "greedier greedy important image modest"),
            (Signal::PidAvailable, true, "modest greedier greedy image important"),
            (Signal::NodefsAvailable, true, "image important greedier greedy modest"),
            (Signal::NodefsAvailable, false, "greedier greedy image modest important"),
            (Signal::ImagefsAvailable, false, "image important greedier greedy modest"),
            (Signal::NodefsInodesFree, true, "image greedier greedy important modest"),
        ] {
            assert_eq!(order(signal, one_disk), expected, "{signal:?} {one_disk}");
        }
    }
}
