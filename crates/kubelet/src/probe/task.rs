//! One probe of one container instance: when to ask, and when an answer counts.

use super::{Outcome, ProbeKind, Target, Verdict, Verdicts, handler};
use crate::agent::Agent;
use crate::events::Kind;
use crate::pod::spec;
use k8s_openapi::api::core::v1::Probe;
use std::sync::Arc;
use std::time::Duration;

/// Successes and failures in a row.
#[derive(Default)]
struct Run {
    successes: i32,
    failures: i32,
}

pub(super) async fn run(agent: Arc<Agent>, target: Target) {
    let probe = &target.probe;
    let period = Duration::from_secs(seconds(probe.period_seconds, 10));
    wait_initial_delay(&agent, &target).await;
    let mut run = Run::default();
    loop {
        if may_ask(&agent, &target) {
            ask(&agent, &target, &mut run).await;
        } else if is_over(&agent, &target) {
            return;
        } else {
            // Waiting for the startup probe: look again soon, so that readiness follows at once.
            agent.env.clock.sleep(period.min(Duration::from_millis(200))).await;
            continue;
        }
        agent.env.clock.sleep(period).await;
    }
}

/// The initial delay counts from the start of the container, also after a restart of kutter. Where
/// there is none, probes of pods that were there already are spread over their period.
async fn wait_initial_delay(agent: &Agent, target: &Target) {
    let delay = seconds(target.probe.initial_delay_seconds, 0);
    let age = agent.env.clock.now().as_nanosecond() - i128::from(target.started_at);
    let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
    let wait = Duration::from_secs(delay).saturating_sub(age);
    agent.env.clock.sleep(wait).await;
    if i128::from(target.started_at) < agent.started_at.as_nanosecond() {
        let period = seconds(target.probe.period_seconds, 10).max(1);
        agent.env.clock.sleep(Duration::from_millis(agent.env.rng.u64(0..period * 1000))).await;
    }
}

/// The container has ended, or its start was seen.
fn is_over(agent: &Agent, target: &Target) -> bool {
    let started = target.kind == ProbeKind::Startup
        && agent.probes.verdict(&target.container_id, ProbeKind::Startup) == Some(Verdict::Success);
    started || !running(agent, target)
}

fn running(agent: &Agent, target: &Target) -> bool {
    agent
        .view
        .container(&target.container_id)
        .is_some_and(|status| status.state == container::runtime::ContainerState::Running)
}

/// Liveness and readiness wait for the startup probe; the startup probe ends with its success. A
/// container that failed is left alone until it has been replaced.
fn may_ask(agent: &Agent, target: &Target) -> bool {
    if !running(agent, target) {
        return false;
    }
    let verdict = |kind| agent.probes.verdict(&target.container_id, kind);
    match target.kind {
        ProbeKind::Startup => verdict(ProbeKind::Startup).is_none(),
        ProbeKind::Liveness if verdict(ProbeKind::Liveness) == Some(Verdict::Failure) => false,
        _ => target.container.startup_probe.is_none() || verdict(ProbeKind::Startup) == Some(Verdict::Success),
    }
}

async fn ask(agent: &Arc<Agent>, target: &Target, run: &mut Run) {
    let outcome = handler::probe(agent, target).await;
    report(agent, target, &outcome);
    let verdict = match outcome {
        Outcome::Success | Outcome::Warning(_) => count(run, &target.probe, true),
        Outcome::Failure(_) => count(run, &target.probe, false),
        // The probe itself could not run: that says nothing about the container.
        Outcome::Error(_) => None,
    };
    let Some(verdict) = verdict else { return };
    if agent.probes.set(&target.container_id, target.kind, verdict) {
        agent.wake(&target.pod.uid);
    }
    if verdict == Verdict::Failure && target.kind != ProbeKind::Readiness {
        *run = Run::default();
    }
}

fn count(run: &mut Run, probe: &Probe, success: bool) -> Option<Verdict> {
    if success {
        *run = Run { successes: run.successes.saturating_add(1), failures: 0 };
        (run.successes >= probe.success_threshold.unwrap_or(1).max(1)).then_some(Verdict::Success)
    } else {
        *run = Run { successes: 0, failures: run.failures.saturating_add(1) };
        (run.failures >= probe.failure_threshold.unwrap_or(3).max(1)).then_some(Verdict::Failure)
    }
}

fn report(agent: &Agent, target: &Target, outcome: &Outcome) {
    let kind = target.kind.as_str();
    let (reason, message) = match outcome {
        Outcome::Success => return,
        Outcome::Warning(text) => ("ProbeWarning", format!("{kind} probe warning: {text}")),
        Outcome::Failure(text) => ("Unhealthy", format!("{kind} probe failed: {text}")),
        Outcome::Error(text) => ("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {text}")),
    };
    let path = spec::field_path(target.slot, &target.container.name);
    agent.events.pod(&target.pod, Some(path), Kind::Warning, reason, message);
}

fn seconds(value: Option<i32>, default: u64) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_its_threshold_in_a_row() {
        let probe = Probe { failure_threshold: Some(3), success_threshold: Some(2), ..Probe::default() };
        let mut run = Run::default();
        let answers = [false, false, true, false, false, false, true, true];
        let verdicts: Vec<_> = answers.into_iter().map(|answer| count(&mut run, &probe, answer)).collect();
        assert_eq!(verdicts, [None, None, None, None, None, Some(Verdict::Failure), None, Some(Verdict::Success)]);
    }
}
