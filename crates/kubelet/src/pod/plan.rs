//! What is to be done for a pod, from its spec and what the runtime shows. Pure: it starts and
//! stops nothing itself.

use super::runtime_view::PodRuntime;
use super::spec::{self, RestartPolicy, Slot};
use crate::probe::{ProbeKind, Verdict, Verdicts};
use container::runtime::{ContainerState, ContainerStatus, SandboxStatus};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::sync::Arc;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stop everything: the sandbox is bad, or nothing is left to run.
    pub kill_pod: bool,
    /// Number of the new sandbox.
    pub create_sandbox: Option<u32>,
    /// The one to use when none is created.
    pub sandbox: Option<String>,
    pub kill: Vec<Kill>,
    /// To be started, in this order.
    pub start: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    pub id: String,
    pub slot: Slot,
    /// The Killing event's text.
    pub message: String,
    /// A probe's own grace period takes the pod's place.
    pub cause: KillCause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillCause {
    Liveness,
    Startup,
    Changed,
    Lost,
}

pub fn plan(pod: &Pod, runtime: &PodRuntime, verdicts: &dyn Verdicts) -> Plan {
    match usable_sandbox(pod, runtime) {
        Ok(sandbox) => Planner { pod, runtime, verdicts, sandbox }.plan(),
        Err(attempt) => with_new_sandbox(pod, runtime, attempt),
    }
}

/// The sandbox to go on with, or the number of the one to make.
fn usable_sandbox<'a>(pod: &Pod, runtime: &'a PodRuntime) -> Result<&'a SandboxStatus, u32> {
    let Some(latest) = runtime.sandboxes.first() else { return Err(0) };
    let next = latest.config.attempt + 1;
    let several = runtime.sandboxes.iter().filter(|sandbox| sandbox.ready).count() > 1;
    let host_network = spec::is_host_network(pod);
    let addressless = !host_network && latest.addresses.is_empty();
    if several || !latest.ready || latest.config.host_network != host_network || addressless {
        return Err(next);
    }
    Ok(latest)
}

fn with_new_sandbox(pod: &Pod, runtime: &PodRuntime, attempt: u32) -> Plan {
    let mut plan = Plan { kill_pod: true, create_sandbox: Some(attempt), ..Plan::default() };
    let ran = !runtime.containers.is_empty();
    if spec::restart_policy(pod) == RestartPolicy::Never && attempt > 0 && ran {
        plan.create_sandbox = None;
        return plan;
    }
    let unfinished = |slot: &Slot| {
        let Some(container) = spec::container(pod, *slot) else { return false };
        let ended = runtime.latest(&container.name).filter(|status| status.state == ContainerState::Exited);
        ended.is_none_or(|status| spec::restarts(pod, *slot, &container, status.exit_code))
    };
    let mains: Vec<Slot> = (0..spec::main_containers(pod).len()).map(Slot::Main).filter(unfinished).collect();
    if mains.is_empty() {
        plan.create_sandbox = None;
        return plan;
    }
    plan.start = if spec::init_containers(pod).is_empty() { mains } else { vec![Slot::Init(0)] };
    plan
}

struct Planner<'a> {
    pod: &'a Pod,
    runtime: &'a PodRuntime,
    verdicts: &'a dyn Verdicts,
    sandbox: &'a SandboxStatus,
}

impl Planner<'_> {
    fn plan(&self) -> Plan {
        let mut plan = Plan { sandbox: Some(self.sandbox.id.clone()), ..Plan::default() };
        self.ephemeral(&mut plan);
        if !self.init(&mut plan) {
            return plan;
        }
        let mut kept = 0;
        for (index, container) in spec::main_containers(self.pod).iter().enumerate() {
            kept += usize::from(self.main(&mut plan, Slot::Main(index), container));
        }
        let starting = plan.start.iter().any(|slot| matches!(slot, Slot::Main(_)));
        if kept == 0 && !starting {
            // Sidecars alone do not keep a pod going.
            return Plan { kill_pod: true, ..Plan::default() };
        }
        plan
    }

    fn ephemeral(&self, plan: &mut Plan) {
        for (index, container) in spec::ephemeral_containers(self.pod).iter().enumerate() {
            if self.runtime.latest(&container.name).is_none() {
                plan.start.push(Slot::Ephemeral(index));
            }
        }
    }

    /// Whether the container stays (or will) as it is; what else is to be done goes into the plan.
    fn main(&self, plan: &mut Plan, slot: Slot, container: &Container) -> bool {
        let Some(status) = self.runtime.latest(&container.name) else {
            plan.start.push(slot);
            return false;
        };
        match status.state {
            ContainerState::Running => match self.reason_to_kill(slot, container, status) {
                Some((kill, restart)) => {
                    plan.kill.push(kill);
                    if restart {
                        plan.start.push(slot);
                    }
                    false
                }
                None => true,
            },
            ContainerState::Unknown => {
                plan.kill.push(lost(slot, container, status));
                plan.start.push(slot);
                false
            }
            ContainerState::Created => {
                plan.start.push(slot);
                false
            }
            ContainerState::Exited => {
                if spec::restarts(self.pod, slot, container, status.exit_code) {
                    plan.start.push(slot);
                }
                false
            }
        }
    }

    /// Why a running container must go, and whether it comes back.
    fn reason_to_kill(&self, slot: Slot, container: &Container, status: &ContainerStatus) -> Option<(Kill, bool)> {
        let name = &container.name;
        let may_restart = spec::is_sidecar(container) || spec::restart_policy(self.pod) != RestartPolicy::Never;
        let known = status.annotations.get(crate::names::HASH);
        let (cause, why, restart) = if known.is_some_and(|hash| *hash != spec::hash(container)) {
            (KillCause::Changed, "definition changed", true)
        } else if self.verdict(status, ProbeKind::Liveness) == Some(Verdict::Failure) {
            (KillCause::Liveness, "failed liveness probe", may_restart)
        } else if self.verdict(status, ProbeKind::Startup) == Some(Verdict::Failure) {
            (KillCause::Startup, "failed startup probe", may_restart)
        } else {
            return None;
        };
        let ending = if restart { ", will be restarted" } else { "" };
        let message = format!("Container {name} {why}{ending}");
        Some((Kill { id: status.id.clone(), slot, message, cause }, restart))
    }

    fn verdict(&self, status: &ContainerStatus, kind: ProbeKind) -> Option<Verdict> {
        self.verdicts.verdict(&status.id, kind)
    }

    /// Plans the init containers; whether the main ones may run.
    fn init(&self, plan: &mut Plan) -> bool {
        let containers = spec::init_containers(self.pod);
        if containers.is_empty() {
            return true;
        }
        let status_of = |container: &Container| self.runtime.latest_in(&self.sandbox.id, &container.name);
        if spec::main_containers(self.pod).iter().any(|container| status_of(container).is_some()) {
            self.keep_sidecars(plan, containers);
            return true;
        }
        let Some(current) = containers.iter().rposition(|container| status_of(container).is_some()) else {
            plan.start.push(Slot::Init(0));
            return false;
        };
        self.keep_sidecars(plan, &containers[..current]);
        let container = &containers[current];
        let Some(status) = status_of(container) else { return false };
        let done = if spec::is_sidecar(container) {
            self.sidecar(plan, Slot::Init(current), container, status)
        } else {
            self.run_once(plan, Slot::Init(current), container, status)
        };
        if done && current + 1 < containers.len() {
            plan.start.push(Slot::Init(current + 1));
        }
        done && current + 1 == containers.len()
    }

    /// Sidecars that were started before stay running whatever comes after them.
    fn keep_sidecars(&self, plan: &mut Plan, containers: &[Container]) {
        for (index, container) in containers.iter().enumerate().filter(|(_, container)| spec::is_sidecar(container)) {
            match self.runtime.latest_in(&self.sandbox.id, &container.name) {
                Some(status) => {
                    self.sidecar(plan, Slot::Init(index), container, status);
                }
                None => plan.start.push(Slot::Init(index)),
            }
        }
    }

    /// Whether the sidecar has started, so that the next container may.
    fn sidecar(&self, plan: &mut Plan, slot: Slot, container: &Container, status: &Arc<ContainerStatus>) -> bool {
        match status.state {
            ContainerState::Running => {
                if let Some((kill, _)) = self.reason_to_kill(slot, container, status) {
                    plan.kill.push(kill);
                    plan.start.push(slot);
                    return false;
                }
                let probed = container.startup_probe.is_some();
                !probed || self.verdict(status, ProbeKind::Startup) == Some(Verdict::Success)
            }
            ContainerState::Unknown => {
                plan.kill.push(lost(slot, container, status));
                plan.start.push(slot);
                false
            }
            ContainerState::Created | ContainerState::Exited => {
                plan.start.push(slot);
                false
            }
        }
    }

    /// Whether an init container has ended well.
    fn run_once(&self, plan: &mut Plan, slot: Slot, container: &Container, status: &ContainerStatus) -> bool {
        match status.state {
            ContainerState::Running => false,
            ContainerState::Created => {
                plan.start.push(slot);
                false
            }
            ContainerState::Exited if status.exit_code == 0 => true,
            ContainerState::Exited if spec::restarts(self.pod, slot, container, status.exit_code) => {
                plan.start.push(slot);
                false
            }
            ContainerState::Exited => {
                *plan = Plan { kill_pod: true, ..Plan::default() };
                false
            }
            ContainerState::Unknown => {
                plan.kill.push(lost(slot, container, status));
                plan.start.push(slot);
                false
            }
        }
    }
}

fn lost(slot: Slot, container: &Container, status: &ContainerStatus) -> Kill {
    let message = format!("Container {} is in unknown state, try killing it before restart", container.name);
    Kill { id: status.id.clone(), slot, message, cause: KillCause::Lost }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
