//! CronJob.

use super::job;
use crate::check;
use crate::core::pod_defaults;
use crate::declared::Declared;
use crate::tree::{default, default_text, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const CRON_JOB: Declared =
    Declared::new("batch", "CronJob").with_generation().defaults(defaults).validates(validate);

/// Its jobs' names get eleven letters more.
const MAX_NAME: usize = 52;

fn defaults(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default_text(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = spec.pointer_mut("/jobTemplate/spec/template/spec") {
        pod_defaults::pod_spec(template);
    }
}

fn validate(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let name = text(&object["metadata"], "name");
    if old.is_none() && name.len() > MAX_NAME {
        let here = Path::new("metadata").child("name");
        errors.push(FieldError::invalid(&here, name, "must be no more than 52 characters"));
    }
    let schedule = text(spec, "schedule");
    let here = path.child("schedule");
    if check::required(errors, &here, schedule) {
        if schedule.contains("TZ") {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(FieldError::invalid(&here, schedule, why));
        } else if let Err(why) = cron::Schedule::parse(schedule) {
            errors.push(FieldError::invalid(&here, schedule, &why.to_string()));
        }
    }
    if let Some(zone) = spec["timeZone"].as_str() {
        if zone.is_empty() || zone.eq_ignore_ascii_case("local") {
            let why = match zone {
                "" => "timeZone must be nil or non-empty string",
                _ => "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            };
            errors.push(FieldError::invalid(&path.child("timeZone"), zone, why));
        } else if old.is_none_or(|old| old["spec"]["timeZone"] != *zone) && cron::zone(zone).is_none() {
            let why = format!("unknown time zone {zone}");
            errors.push(FieldError::invalid(&path.child("timeZone"), zone, &why));
        }
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::non_negative(errors, &path, spec, field);
    }
    let policy = text(spec, "concurrencyPolicy");
    check::required_one_of(errors, &path.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]);
    let (job, here) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
    if job["manualSelector"] == true {
        errors.push(FieldError::not_supported(&here.child("manualSelector"), true, &["nil", "false"]));
    }
    if !job["selector"].is_null() {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&here.child("selector"), job["selector"].clone(), why));
    }
    job::job_spec(job, &here, errors);
}
