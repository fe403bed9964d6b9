//! Devices: classes, claims and slices of them.

mod claim;
mod names;
mod slice;
mod status;
#[cfg(test)]
mod tests;

use crate::declared::Declared;
use crate::rules::{Context, Strategy, keep_all_but_status};
use crate::tree::{default, default_text, items_mut, text};
use meta::field::{ErrorList, Path};
use serde_json::Value;

const GROUP: &str = "resource.k8s.io";

pub const DEVICE_CLASS: Declared =
    Declared::new(GROUP, "DeviceClass").with_generation().validates(|class, old, errors| {
        claim::class_spec(&class["spec"], old.map(|old| &old["spec"]), &Path::new("spec"), errors);
    });

pub const DEVICE_TAINT_RULE: Declared = Declared::new(GROUP, "DeviceTaintRule")
    .with_generation()
    .creates(|rule, context| set_time(&mut rule["spec"]["taint"], context))
    .updates(|rule, old, context| {
        let (taint, old) = (&mut rule["spec"]["taint"], &old["spec"]["taint"]);
        // Another effect begins now, whatever the time that was read and sent back.
        if taint["effect"] != old["effect"] && taint["timeAdded"] == old["timeAdded"] {
            taint["timeAdded"] = Value::Null;
        }
        set_time(taint, context);
    })
    .validates(|rule, old, errors| slice::taint_rule(&rule["spec"], old.map(|old| &old["spec"]), errors));

pub const RESOURCE_CLAIM_TEMPLATE: Declared = Declared::new(GROUP, "ResourceClaimTemplate")
    .defaults(|template| {
        if let Some(spec) = template.pointer_mut("/spec/spec") {
            requests(spec);
        }
    })
    .validates(|template, old, errors| {
        let path = Path::new("spec");
        match old {
            Some(old) => crate::check::immutable(errors, &path, &template["spec"], &old["spec"]),
            None => claim::template_spec(&template["spec"], &path, errors),
        }
    });

pub const RESOURCE_SLICE: Declared = Declared::new(GROUP, "ResourceSlice")
    .with_generation()
    .selected_by(|slice| {
        let spec = |field: &str| text(&slice["spec"], field).to_owned();
        vec![("spec.nodeName".into(), spec("nodeName")), ("spec.driver".into(), spec("driver"))]
    })
    .creates(set_times)
    .updates(|slice, _, context| set_times(slice, context))
    .validates(|slice, old, errors| slice::spec(&slice["spec"], old.map(|old| &old["spec"]), errors));

/// Beside its spec a claim has a status whose writers must keep to what the spec asks for.
pub struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn group_kind(&self) -> (&'static str, &'static str) {
        (GROUP, "ResourceClaim")
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn default(&self, claim: &mut Value) {
        if let Some(spec) = claim.get_mut("spec") {
            requests(spec);
        }
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let path = Path::new("spec");
        match old {
            Some(old) => crate::check::immutable(errors, &path, &new["spec"], &old["spec"]),
            None => claim::spec(&new["spec"], &path, errors),
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_all_but_status(new, old);
        status::drop_deallocated(new);
    }

    fn validate_status_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        status::validate(new, old, &mut errors);
        errors
    }
}

fn requests(spec: &mut Value) {
    let Some(devices) = spec.get_mut("devices") else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly").filter(|exactly| exactly.is_object()) {
            amount(exactly);
        }
        for alternative in items_mut(request, "firstAvailable") {
            amount(alternative);
        }
    }
}

fn amount(request: &mut Value) {
    default_text(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        default(request, "count", 1);
    }
}

/// A taint counts from when it was first seen.
fn set_times(slice: &mut Value, context: &Context<'_>) {
    let Some(spec) = slice.get_mut("spec") else { return };
    for device in items_mut(spec, "devices") {
        items_mut(device, "taints").for_each(|taint| set_time(taint, context));
    }
}

fn set_time(taint: &mut Value, context: &Context<'_>) {
    if taint.is_object() {
        default(taint, "timeAdded", meta::time::format(context.now));
    }
}
