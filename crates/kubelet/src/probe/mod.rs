//! Probes: asking running containers whether they are alive, ready and started.
//!
//! One task per probe and container instance, which lives as long as that container. Verdicts are
//! read by the pod's worker, which is woken when one turns.

mod grpc;
mod handler;
mod http;
pub(crate) mod listening;
mod task;

pub(crate) use handler::{Outcome, http_get, tcp_connect};

use crate::agent::Agent;
use crate::names;
use crate::pod::spec::{self, PodRef, Slot};
use container::runtime::ContainerStatus;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    pub const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

    pub fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            ProbeKind::Startup => container.startup_probe.as_ref(),
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure,
}

/// The latest verdicts, by container id; None: not known yet.
pub trait Verdicts {
    fn verdict(&self, container_id: &str, kind: ProbeKind) -> Option<Verdict>;
}

impl Verdicts for BTreeMap<(String, ProbeKind), Verdict> {
    fn verdict(&self, container_id: &str, kind: ProbeKind) -> Option<Verdict> {
        self.get(&(container_id.to_owned(), kind)).copied()
    }
}

#[derive(Default)]
pub struct Probes {
    state: Mutex<BTreeMap<(String, ProbeKind), Running>>,
}

struct Running {
    pod_uid: String,
    verdict: Option<Verdict>,
    task: Option<JoinHandle<()>>,
}

/// What a probe task knows of its container.
pub(crate) struct Target {
    pub pod: PodRef,
    pub slot: Slot,
    pub container: Container,
    pub container_id: String,
    pub started_at: i64,
    pub address: Option<IpAddr>,
    pub kind: ProbeKind,
    pub probe: Probe,
}

impl Verdicts for Probes {
    fn verdict(&self, container_id: &str, kind: ProbeKind) -> Option<Verdict> {
        self.lock().get(&(container_id.to_owned(), kind)).and_then(|running| running.verdict)
    }
}

impl Probes {
    /// Probes this running container from now on, unless it is probed already. `was_ready`: what
    /// the API server had last heard of it, where it was running before kutter was.
    pub fn watch(
        &self,
        agent: &Arc<Agent>,
        pod: &Pod,
        slot: Slot,
        status: &ContainerStatus,
        address: Option<IpAddr>,
        was_ready: bool,
    ) {
        let Some(container) = spec::container(pod, slot) else { return };
        for kind in ProbeKind::ALL {
            let awaited = status.annotations.get(names::AWAITED_PORTS).filter(|_| kind == ProbeKind::Readiness);
            let probe = kind.of(&container);
            let key = (status.id.clone(), kind);
            if (probe.is_none() && awaited.is_none()) || self.lock().contains_key(&key) {
                continue;
            }
            let verdict = (was_ready && kind != ProbeKind::Liveness).then_some(Verdict::Success);
            let pod_ref = PodRef::of(pod);
            let running = Running { pod_uid: pod_ref.uid.clone(), verdict, task: None };
            self.lock().insert(key.clone(), running);
            let target = Target {
                pod: pod_ref,
                slot,
                container: container.clone().into_owned(),
                container_id: status.id.clone(),
                started_at: status.started_at,
                address,
                kind,
                probe: probe.cloned().unwrap_or_default(),
            };
            let task = match awaited {
                Some(ports) => {
                    agent.env.tasks.spawn("listening", listening::run(agent.clone(), target, status.pid, ports.clone()))
                }
                None => agent.env.tasks.spawn("probe", task::run(agent.clone(), target)),
            };
            if let Some(running) = self.lock().get_mut(&key) {
                running.task = Some(task);
            }
        }
    }

    /// Ends the probes of the pod's containers other than those that `keep` names, or of one kind.
    pub fn retain(&self, pod_uid: &str, keep: impl Fn(&str, ProbeKind) -> bool) {
        self.lock().retain(|(id, kind), running| {
            let stays = running.pod_uid != pod_uid || keep(id, *kind);
            if !stays {
                running.task.iter().for_each(JoinHandle::abort);
            }
            stays
        });
    }

    /// Takes a verdict; whether it is another than before.
    pub(crate) fn set(&self, container_id: &str, kind: ProbeKind, verdict: Verdict) -> bool {
        match self.lock().get_mut(&(container_id.to_owned(), kind)) {
            Some(running) => running.verdict.replace(verdict) != Some(verdict),
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, ProbeKind), Running>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
