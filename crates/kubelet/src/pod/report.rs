//! Handing a pod's status over to the status manager, with the last words of its containers.

use super::spec::PodRef;
use super::status::{self, Inputs};
use super::worker::PodState;
use crate::agent::Agent;
use crate::names;
use bytes::Bytes;
use container::runtime::{ContainerState, ContainerStatus};
use k8s_openapi::api::core::v1::Pod;
use std::path::Path;

/// Upstream's limits: of the file, and of the log where that stands in.
const MESSAGE_BYTES: usize = 4096;
const LOG_BYTES: u64 = 2048;
const LOG_LINES: usize = 80;

/// Reads what containers that ended have left behind, once each.
pub fn read_messages(agent: &Agent, pod: &PodRef, state: &mut PodState) {
    let runtime = agent.view.pod(&pod.uid);
    for status in runtime.containers.iter().filter(|status| status.state == ContainerState::Exited) {
        if !state.messages.contains_key(&status.id) {
            let message = last_words(status, &agent.log_directory(pod).join(&status.log_path));
            state.messages.insert(status.id.clone(), message);
        }
    }
    state.messages.retain(|id, _| runtime.containers.iter().any(|status| status.id == *id));
}

fn last_words(status: &ContainerStatus, log: &Path) -> String {
    let path = status.annotations.get(names::TERMINATION_MESSAGE_PATH).map_or("", String::as_str);
    let file = status.mounts.iter().find(|mount| mount.container_path == Path::new(path));
    let text = file.and_then(|mount| std::fs::read(&mount.host_path).ok()).unwrap_or_default();
    let text = &text[..text.len().min(MESSAGE_BYTES)];
    if !text.is_empty() {
        return String::from_utf8_lossy(text).into_owned();
    }
    let from_log =
        status.annotations.get(names::TERMINATION_MESSAGE_POLICY).map(String::as_str) == Some("FallbackToLogsOnError");
    if from_log && status.exit_code != 0 { crate::logs::tail(log, LOG_LINES, LOG_BYTES) } else { String::new() }
}

/// `delete`: nothing of the pod is left, so its object may go as well.
pub fn publish(agent: &Agent, pod: &Pod, state: &mut PodState, delete: bool) {
    let pod_ref = PodRef::of(pod);
    let reported = state.reported.as_deref().and_then(|json| serde_json::from_slice(json).ok());
    let runtime = agent.view.pod(&pod_ref.uid);
    let failure = state.failure.as_ref().map(|failure| (failure.reason.as_str(), failure.message.as_str()));
    // The end is told when nothing of the pod runs any more.
    let failure = failure.filter(|_| state.stopped || runtime.running().next().is_none());
    let inputs = Inputs {
        pod,
        reported,
        runtime: &runtime,
        verdicts: agent.probes.as_ref(),
        waiting: &state.waiting,
        messages: &state.messages,
        applied: &state.applied,
        resize: state.resize.as_ref(),
        node_ips: &agent.options.node_ips,
        now: agent.env.clock.now(),
        terminal: state.stopped,
        failure,
        disrupted: state.disrupted,
    };
    let status = status::generate(&inputs);
    state.reported = serde_json::to_vec(&status).ok().map(Bytes::from);
    if !agent.report_static(&pod_ref, &status) {
        agent.statuses.set(&pod_ref, &status, delete);
    }
}
