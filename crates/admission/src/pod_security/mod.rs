//! PodSecurity: holds pods to the level their namespace's labels name: privileged, baseline or
//! restricted; enforced, audited or warned about.

mod checks;
mod policy;

use crate::paths::{at, containers, items, labels, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use checks::Finding;
use meta::field::{FieldError, Path};
use meta::{GroupResource, Status};
use policy::{Level, Policy, Rule};
use serde_json::Value;
use std::collections::BTreeMap;

const AUDIT_PREFIX: &str = "pod-security.kubernetes.io/";
/// When a namespace's level is raised, this many of its pods are looked at and told of.
const PODS_LOOKED_AT: usize = 3000;

/// Workloads and where their pod template stands. They are audited and warned about; only pods are
/// refused.
const WORKLOADS: [(&str, &str, &[&str]); 8] = [
    ("", "replicationcontrollers", &["spec", "template"]),
    ("", "podtemplates", &["template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(PodSecurity)
}

struct PodSecurity;

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, notes: &mut Notes) -> Result<(), Status> {
        if request.is("", "namespaces") {
            return namespace(request, lookup, notes);
        }
        if request.is("", "pods") || request.is("", "pods/ephemeralcontainers") || request.is("", "pods/resize") {
            if request.old_object.is_some_and(|old| !changes_matter(&request.object, old)) {
                return Ok(());
            }
            let policy = policy_of(request.namespace, lookup)?;
            return pod(request, &request.object, &policy, true, notes);
        }
        let row = WORKLOADS.iter().find(|(group, resource, _)| request.is(group, resource));
        let Some(template) = row.and_then(|(_, _, path)| at(&request.object, path)) else { return Ok(()) };
        let policy = policy_of(request.namespace, lookup)?;
        pod(request, template, &policy, false, notes)
    }
}

fn policy_of(namespace: &str, lookup: &dyn Lookup) -> Result<Policy, Status> {
    let what = GroupResource { group: "".into(), resource: "namespaces".into() };
    let found = lookup.get("", "namespaces", "", namespace).ok_or_else(|| Status::not_found(&what, namespace))?;
    // Labels that cannot be read were refused when they were written.
    Ok(Policy::of(&found).0)
}

/// Evaluates a pod or template. A pod that is refused gets no warnings on top.
fn pod(
    request: &Attributes<'_>,
    pod: &Value,
    policy: &Policy,
    enforced: bool,
    notes: &mut Notes,
) -> Result<(), Status> {
    let mut known: BTreeMap<Rule, String> = BTreeMap::new();
    let mut problems = |rule: Rule| known.entry(rule).or_insert_with(|| described(&checks::run(rule, pod))).clone();
    let mut refusal = None;
    if enforced {
        notes.audit.insert(format!("{AUDIT_PREFIX}enforce-policy"), policy.enforce.to_string());
        let found = problems(policy.enforce);
        if !found.is_empty() {
            refusal = Some(request.forbid(&format!("violates PodSecurity \"{}\": {found}", policy.enforce)));
        }
    }
    let would = |rule: Rule, found: &str| format!("would violate PodSecurity \"{rule}\": {found}");
    let found = problems(policy.audit);
    if !found.is_empty() {
        notes.audit.insert(format!("{AUDIT_PREFIX}audit-violations"), would(policy.audit, &found));
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let found = problems(policy.warn);
    if !found.is_empty() {
        notes.warnings.push(would(policy.warn, &found));
    }
    Ok(())
}

fn described(findings: &[Finding]) -> String {
    let each = |finding: &Finding| match finding.detail.as_str() {
        "" => finding.reason.to_string(),
        detail => format!("{} ({detail})", finding.reason),
    };
    findings.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// Whether an update touches what the levels judge; most updates of pods cannot.
fn changes_matter(new: &Value, old: &Value) -> bool {
    let judged = |pod: &Value| {
        let images: Vec<String> =
            containers(&pod["spec"]).map(|container| text(container, &["image"]).to_owned()).collect();
        let profiles: Vec<(String, String)> = labels(pod, "annotations")
            .filter(|(key, _)| key.contains("seccomp") || key.contains("apparmor"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        (images, profiles)
    };
    let debuggers = |pod: &Value| items(&pod["spec"], &["ephemeralContainers"]).to_vec();
    judged(new) != judged(old) || debuggers(new) != debuggers(old)
}

/// Labels must be readable; and who raises the level is told which pods would not pass.
fn namespace(request: &Attributes<'_>, lookup: &dyn Lookup, notes: &mut Notes) -> Result<(), Status> {
    let (new, problems) = Policy::of(&request.object);
    let old = request.old_object.map(Policy::of);
    let old_problems = old.as_ref().map(|(_, problems)| problems.as_slice()).unwrap_or_default();
    if !problems.is_empty() && problems != old_problems {
        return Err(meta::field::invalid("", "Namespace", request.object_name(), &problems));
    }
    let Some((old, _)) = old else { return Ok(()) };
    let weaker = new.enforce.level == Level::Privileged
        || new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    if new.enforce == old.enforce || weaker {
        return Ok(());
    }
    let pods = lookup.list("", "pods", request.object_name());
    let mut failing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.iter().take(PODS_LOOKED_AT) {
        let findings = checks::run(new.enforce, pod);
        if !findings.is_empty() {
            let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason.as_ref()).collect();
            failing.entry(reasons.join(", ")).or_default().push(text(pod, &["metadata", "name"]).to_owned());
        }
    }
    if failing.is_empty() {
        return Ok(());
    }
    notes.warnings.push(format!(
        "existing pods in namespace \"{}\" violate the new PodSecurity enforce level \"{}\"",
        request.object_name(),
        new.enforce
    ));
    let mut lines: Vec<String> = failing.into_iter().map(|(reasons, pods)| one_line(&reasons, pods)).collect();
    lines.sort();
    notes.warnings.extend(lines);
    Ok(())
}

fn one_line(reasons: &str, mut pods: Vec<String>) -> String {
    pods.sort();
    let first = pods.first().map(String::as_str).unwrap_or_default();
    match pods.len() {
        1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        several => format!("{first} (and {} other pods): {reasons}", several - 1),
    }
}

/// The field error of a label that cannot be read.
fn bad_label(label: &str, value: &str, why: &str) -> FieldError {
    FieldError::invalid(&Path::new("metadata").child("labels").key(label), value, why)
}

#[cfg(test)]
mod tests;
