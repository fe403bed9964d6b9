//! Job. Its selector is the server's to make, unless the user insists.

use crate::check;
use crate::core::{pod_defaults, pod_template};
use crate::declared::Declared;
use crate::tree::{default, default_text, items, items_mut, object, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const JOB: Declared =
    Declared::new("batch", "Job").with_generation().defaults(defaults).creates(create).validates(validate).selected_by(
        |job| vec![("status.successful".into(), job["status"]["succeeded"].as_i64().unwrap_or(0).to_string())],
    );

const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const MAX_PARALLEL_INDEXED: i64 = 100_000;

fn defaults(job: &mut Value) {
    let labels = job.pointer("/spec/template/metadata/labels").cloned();
    let has_none = job.pointer("/metadata/labels").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    if let Some(labels) =
        labels.filter(|labels| has_none && labels.as_object().is_some_and(|labels| !labels.is_empty()))
    {
        job["metadata"]["labels"] = labels;
    }
    let Some(spec) = job.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        spec["completions"] = 1.into();
    }
    default(spec, "parallelism", 1);
    let limit = if spec["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    default(spec, "backoffLimit", limit);
    default_text(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    let replaced = if spec["podFailurePolicy"].is_object() { "Failed" } else { "TerminatingOrFailed" };
    default_text(spec, "podReplacementPolicy", replaced);
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for rule in items_mut(policy, "rules") {
            for condition in items_mut(rule, "onPodConditions") {
                default_text(condition, "status", "True");
            }
        }
    }
    if let Some(template) = spec.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(template);
    }
}

/// Gives the pods labels that only this job can have, and selects by them.
fn create(job: &mut Value, _context: &crate::Context<'_>) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (job["metadata"]["name"].clone(), job["metadata"]["uid"].clone());
    let Some(spec) = job.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let Some(selector) = object(spec, "selector") else { return };
    if let Some(labels) =
        selector.entry("matchLabels").or_insert_with(|| Value::Object(Default::default())).as_object_mut()
    {
        labels.entry(UID_LABEL).or_insert_with(|| uid.clone());
    }
    let Some(template) = spec.get_mut("template").filter(|template| template.is_object()) else { return };
    if object(template, "metadata").is_none() {
        return;
    }
    let Some(labels) = object(&mut template["metadata"], "labels") else { return };
    for (label, value) in
        [("job-name", &name), ("batch.kubernetes.io/job-name", &name), ("controller-uid", &uid), (UID_LABEL, &uid)]
    {
        labels.entry(label).or_insert_with(|| value.clone());
    }
}

fn validate(job: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&job["spec"], Path::new("spec"));
    if spec["selector"].is_null() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    } else {
        check::label_selector(errors, &path.child("selector"), &spec["selector"]);
        let labels = &spec["template"]["metadata"]["labels"];
        if !check::selects(&spec["selector"], labels) {
            let here = path.child("template").child("metadata").child("labels");
            errors.push(FieldError::invalid(&here, labels.clone(), "`selector` does not match template `labels`"));
        }
    }
    if spec["manualSelector"] != true
        && text(&spec["selector"]["matchLabels"], UID_LABEL) != text(&job["metadata"], "uid")
    {
        let why = "`selector` not auto-generated";
        errors.push(FieldError::invalid(&path.child("selector"), spec["selector"].clone(), why));
    }
    job_spec(spec, &path, errors);
    let Some(old) = old else { return };
    let was = &old["spec"];
    for field in
        ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy"]
    {
        check::immutable(errors, &path.child(field), &spec[field], &was[field]);
    }
    let is_elastic = text(spec, "completionMode") == "Indexed" && spec["completions"] == spec["parallelism"];
    if !is_elastic {
        check::immutable(errors, &path.child("completions"), &spec["completions"], &was["completions"]);
    }
    let mut expected = was["template"].clone();
    if may_retarget(old) {
        keep_directives(&mut expected, &spec["template"]);
    }
    if spec["template"] != expected {
        errors.push(FieldError::invalid(&path.child("template"), spec["template"].clone(), check::IMMUTABLE));
    }
}

/// Suspended, and either never started or at rest by now.
fn may_retarget(old: &Value) -> bool {
    let status = &old["status"];
    let is_suspended = meta::conditions::is_true(&status["conditions"], "Suspended");
    let at_rest = is_suspended && status["active"].as_i64().unwrap_or(0) == 0;
    old["spec"]["suspend"] == true && (status["startTime"].is_null() || at_rest)
}

/// Takes over what a suspended job may have changed: where its pods go and what they get there.
fn keep_directives(template: &mut Value, new: &Value) {
    let copy = |to: &mut Value, from: &Value, field: &str| {
        let Some(fields) = to.as_object_mut() else { return };
        match from.get(field) {
            Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
            None => drop(fields.remove(field)),
        }
    };
    if new["metadata"].is_object() && object(template, "metadata").is_some() {
        for field in ["labels", "annotations"] {
            copy(&mut template["metadata"], &new["metadata"], field);
        }
    }
    let (Some(spec), from) = (template.get_mut("spec"), &new["spec"]) else { return };
    for field in ["affinity", "nodeSelector", "tolerations", "schedulingGates"] {
        copy(spec, from, field);
    }
    for list in ["containers", "initContainers"] {
        for (container, from) in items_mut(spec, list).zip(items(from, list)) {
            copy(container, from, "resources");
        }
    }
}

/// Also of the jobs that a CronJob makes.
pub fn job_spec(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check::non_negative(errors, path, spec, field);
    }
    let is_indexed = text(spec, "completionMode") == "Indexed";
    for field in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
        if !is_indexed && !spec[field].is_null() {
            let why = "requires indexed completion mode";
            errors.push(FieldError::invalid(&path.child(field), spec[field].clone(), why));
        }
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), why));
    }
    if spec["podFailurePolicy"].is_object() {
        let policy = text(spec, "podReplacementPolicy");
        check::one_of(errors, &path.child("podReplacementPolicy"), policy, &["Failed"]);
        if text(&spec["template"]["spec"], "restartPolicy") == "OnFailure" {
            let here = path.child("template").child("spec").child("restartPolicy");
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(&here, "OnFailure", why));
        }
    }
    success_policy(&spec["successPolicy"], &path.child("successPolicy"), errors);
    if is_indexed {
        if spec["completions"].is_null() {
            errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
        }
        if spec["parallelism"].as_i64().is_some_and(|parallel| parallel > MAX_PARALLEL_INDEXED) {
            let why = format!("must be less than or equal to {MAX_PARALLEL_INDEXED} when completion mode is Indexed");
            errors.push(FieldError::invalid(&path.child("parallelism"), spec["parallelism"].clone(), &why));
        }
    }
    for (at, rule) in items(&spec["podFailurePolicy"], "rules").iter().enumerate() {
        let here = path.child("podFailurePolicy").child("rules").index(at);
        if rule["onExitCodes"].is_object() != items(rule, "onPodConditions").is_empty() {
            let why = "exactly one of `onExitCodes` or `onPodConditions` must be specified";
            errors.push(FieldError::invalid(&here, rule.clone(), why));
        }
    }
    let here = path.child("template");
    pod_template::template(&spec["template"], &here, errors);
    let policy = here.child("spec").child("restartPolicy");
    match text(&spec["template"]["spec"], "restartPolicy") {
        "" => errors.push(FieldError::required(&policy, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(&policy, other, &["OnFailure", "Never"])),
    }
}

fn success_policy(policy: &Value, path: &Path, errors: &mut ErrorList) {
    if !policy.is_object() {
        return;
    }
    let (rules, here) = (items(policy, "rules"), path.child("rules"));
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&here, why));
    }
    for (at, rule) in rules.iter().enumerate() {
        let here = here.index(at);
        if rule["succeededCount"].is_null() && rule["succeededIndexes"].is_null() {
            let why = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&here, why));
        }
        check::non_negative(errors, &here, rule, "succeededCount");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Strategy as _;
    use crate::tests::context;
    use serde_json::json;

    fn made(spec: Value) -> Value {
        let mut job = json!({"metadata": {"name": "j", "uid": "1-2"}, "spec": spec});
        JOB.default(&mut job);
        JOB.prepare_create(&mut job, &context());
        job
    }

    fn told(job: &Value, old: Option<&Value>) -> String {
        let mut errors = ErrorList::new();
        JOB.validate(job, old, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_job_selects_its_own_pods() {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]});
        let job = made(json!({"template": {"spec": pod}}));
        assert_eq!(job["spec"]["selector"]["matchLabels"], json!({UID_LABEL: "1-2"}));
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
        assert_eq!(job["spec"]["completions"], 1);
        assert_eq!(told(&job, None), "");
        assert_eq!(told(&job, Some(&job)), "");
        let mut again = job.clone();
        JOB.default(&mut again);
        assert_eq!(again["spec"], job["spec"], "defaults do nothing the second time");
        let mut changed = job.clone();
        changed["spec"]["completions"] = 2.into();
        assert_eq!(told(&changed, Some(&job)), "spec.completions: Invalid value: 2: field is immutable");
    }

    #[test]
    fn a_job_s_pods_end() {
        let pod = json!({"containers": [{"name": "a", "image": "b"}]});
        let job = made(json!({"template": {"spec": pod}, "parallelism": -1}));
        assert_eq!(
            told(&job, None),
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0; \
             spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""
        );
    }

    #[test]
    fn a_suspended_job_may_be_sent_elsewhere_but_not_become_another() {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]});
        let job = made(json!({"template": {"spec": pod}, "suspend": true}));
        let changed = |edit: &dyn Fn(&mut Value)| {
            let mut job = job.clone();
            edit(&mut job["spec"]["template"]);
            job
        };
        let moved = changed(&|template| template["spec"]["nodeSelector"] = json!({"disk": "ssd"}));
        let other = changed(&|template| template["spec"]["containers"][0]["image"] = json!("c"));
        let ran = |active: i64| {
            let mut job = job.clone();
            let condition = json!({"type": "Suspended", "status": "True"});
            job["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "active": active, "conditions": [condition]});
            job
        };
        assert_eq!(told(&moved, Some(&job)), "");
        assert_eq!(told(&moved, Some(&ran(0))), "");
        assert!(told(&moved, Some(&ran(1))).ends_with("field is immutable"));
        assert!(told(&other, Some(&job)).ends_with("field is immutable"));
    }

    #[test]
    fn what_only_indexed_jobs_have_is_theirs_alone() {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]});
        let job = made(json!({"template": {"spec": pod}, "maxFailedIndexes": 1, "successPolicy": {"rules": [{}]}}));
        assert_eq!(
            told(&job, None),
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode; \
             spec.successPolicy: Invalid value: {\"rules\":[{}]}: requires indexed completion mode; \
             spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified; \
             spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"
        );
    }
}
