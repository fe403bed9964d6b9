//! Which volume suits a claim.

use super::{class, text};
use meta::Quantity;
use meta::labels::Selector;
use serde_json::Value;
use std::collections::BTreeMap;

/// Why a volume cannot be this claim's, in upstream's words; None: it can.
pub fn mismatch(volume: &Value, claim: &Value) -> Option<&'static str> {
    let wanted = size(&claim["spec"]["resources"]["requests"]);
    if size(&volume["spec"]["capacity"]) < wanted {
        return Some("requested PV is too small");
    }
    if class(volume) != class(claim) {
        return Some("storageClassName does not match");
    }
    let attributes = |object: &Value| text(object, "/spec/volumeAttributesClassName").to_owned();
    if attributes(volume) != attributes(claim) {
        return Some("VolumeAttributesClassName does not match");
    }
    if mode(volume) != mode(claim) {
        return Some("incompatible volumeMode");
    }
    let offered = list(&volume["spec"]["accessModes"]);
    let all = list(&claim["spec"]["accessModes"]).iter().all(|mode| offered.contains(mode));
    (!all).then_some("incompatible accessMode")
}

/// The volume that was kept for the claim, else the smallest that suits. A claim that waits for its
/// first pod takes only what was kept for it.
pub fn best<'v>(volumes: &'v [Value], claim: &Value, waits: bool) -> Option<&'v Value> {
    let selector = &claim["spec"]["selector"];
    let selector = if selector.is_null() { Selector::everything() } else { Selector::from_json(selector).ok()? };
    let mut best: Option<&Value> = None;
    for volume in volumes {
        if !volume["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let (kept, suits) = (is_for(volume, claim), mismatch(volume, claim).is_none());
        if kept && suits {
            return Some(volume);
        }
        let free = volume["spec"]["claimRef"].is_null() && text(volume, "/status/phase") == "Available";
        if kept || waits || !free || !suits || !selector.matches(&labels(volume)) {
            continue;
        }
        let smaller = |best: &Value| size(&volume["spec"]["capacity"]) < size(&best["spec"]["capacity"]);
        if best.is_none_or(smaller) {
            best = Some(volume);
        }
    }
    best
}

/// The volume names this very claim, or one of its name before that had a uid.
pub fn is_for(volume: &Value, claim: &Value) -> bool {
    let reference = &volume["spec"]["claimRef"];
    let uid = text(reference, "/uid");
    reference.is_object()
        && text(reference, "/name") == text(claim, "/metadata/name")
        && text(reference, "/namespace") == text(claim, "/metadata/namespace")
        && (uid.is_empty() || uid == text(claim, "/metadata/uid"))
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default()
}

/// How much storage these amounts speak of.
pub(super) fn size(amounts: &Value) -> Quantity {
    amounts["storage"].as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
}

fn mode(object: &Value) -> &str {
    object["spec"]["volumeMode"].as_str().unwrap_or("Filesystem")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
