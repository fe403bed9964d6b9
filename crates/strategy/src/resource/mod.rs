//! Devices: classes, claims and slices of them.

use crate::declared::Declared;
use crate::tree::{default, default_text, items_mut, text};
use serde_json::Value;

const GROUP: &str = "resource.k8s.io";

pub const DEVICE_CLASS: Declared = Declared::new(GROUP, "DeviceClass").with_generation();

pub const DEVICE_TAINT_RULE: Declared = Declared::new(GROUP, "DeviceTaintRule").with_generation();

pub const RESOURCE_CLAIM: Declared = Declared::new(GROUP, "ResourceClaim").with_status_alone().defaults(|claim| {
    if let Some(spec) = claim.get_mut("spec") {
        requests(spec);
    }
});

pub const RESOURCE_CLAIM_TEMPLATE: Declared = Declared::new(GROUP, "ResourceClaimTemplate").defaults(|template| {
    if let Some(spec) = template.pointer_mut("/spec/spec") {
        requests(spec);
    }
});

pub const RESOURCE_SLICE: Declared = Declared::new(GROUP, "ResourceSlice").with_generation().selected_by(|slice| {
    let spec = |field: &str| text(&slice["spec"], field).to_owned();
    vec![("spec.nodeName".into(), spec("nodeName")), ("spec.driver".into(), spec("driver"))]
});

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
