//! Slices: the devices that a driver has, and where; and taints that administrators give to devices.

use super::claim::taint;
use super::names::{self, by_name, fits, itself, unique};
use crate::check;
use crate::core::pod_validation::node_selector;
use crate::storage::driver_name;
use crate::tree::{items, text};
use meta::Quantity;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

/// Upstream's numbers.
const MAX_DEVICES: usize = 128;
const MAX_DEVICES_WITH_MORE: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;
const MAX_COUNTED_SETS: usize = 2;
const MAX_PROPERTIES: usize = 32;
const MAX_VALUE: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_CONDITIONS: usize = 4;

pub fn spec(spec: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::new("spec");
    driver_name(text(spec, "driver"), &path.child("driver"), errors);
    let (pool, here) = (&spec["pool"], path.child("pool"));
    names::pool(text(pool, "name"), &here.child("name"), errors);
    let (count, generation) = (pool["resourceSliceCount"].as_i64(), pool["generation"].as_i64());
    if let Some(count) = Some(count.unwrap_or_default()).filter(|count| *count <= 0) {
        errors.push(FieldError::invalid(&here.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    if let Some(generation) = generation.filter(|generation| *generation < 0) {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&here.child("generation"), generation, why));
    }
    if let Some(old) = old {
        check::immutable(errors, &here.child("name"), &pool["name"], &old["pool"]["name"]);
        for field in ["driver", "nodeName"] {
            check::immutable(errors, &path.child(field), &spec[field], &old[field]);
        }
    }
    nodes(spec, &path, errors);
    devices(spec, old, &path, errors);
}

/// Where the devices can be used: one of four ways to say it.
fn nodes(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const WAYS: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = named_nodes(spec, path, "must be either unset or set to a non-empty string", errors);
    let terms = &spec["nodeSelector"]["nodeSelectorTerms"];
    if spec["nodeSelector"].is_object() && terms.as_array().map_or(0, Vec::len) != 1 {
        let here = path.child("nodeSelector").child("nodeSelectorTerms");
        errors.push(FieldError::invalid(&here, terms.clone(), "must have exactly one node selector term"));
    }
    flag(spec, "perDeviceNodeSelection", "`perDeviceNodeSelection`", &mut set, path, errors);
    match set.as_slice() {
        [] => errors.push(FieldError::required(path, WAYS)),
        [_] => {}
        several => {
            let shown = format!("{{{}}}", several.join(", "));
            errors.push(FieldError::invalid(path, shown, &format!("{WAYS}, but multiple fields are set")));
        }
    }
}

/// The ways that slices and devices share.
fn named_nodes(owner: &Value, path: &Path, empty: &str, errors: &mut ErrorList) -> Vec<&'static str> {
    let mut set = Vec::new();
    match owner["nodeName"].as_str() {
        None => {}
        Some("") => errors.push(FieldError::invalid(&path.child("nodeName"), "", empty)),
        Some(name) => {
            set.push("`nodeName`");
            check::all(errors, &path.child("nodeName"), name, validation::dns1123_subdomain(name));
        }
    }
    if owner["nodeSelector"].is_object() {
        set.push("`nodeSelector`");
        node_selector(&owner["nodeSelector"], &path.child("nodeSelector"), errors);
    }
    flag(owner, "allNodes", "`allNodes`", &mut set, path, errors);
    set
}

/// A flag that is on, or not there.
fn flag(
    owner: &Value,
    field: &str,
    shown: &'static str,
    set: &mut Vec<&'static str>,
    path: &Path,
    errors: &mut ErrorList,
) {
    match owner[field].as_bool() {
        None => {}
        Some(true) => set.push(shown),
        Some(false) => {
            errors.push(FieldError::invalid(&path.child(field), false, "must be either unset or set to true"));
        }
    }
}

fn devices(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    if spec["sharedCounters"].is_array() && spec["devices"].is_array() {
        errors.push(FieldError::invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let (devices, here) = (items(spec, "devices"), path.child("devices"));
    let has_more = |device: &Value| ["taints", "consumesCounters"].iter().any(|field| !items(device, field).is_empty());
    let most = if devices.iter().any(has_more) { MAX_DEVICES_WITH_MORE } else { MAX_DEVICES };
    if fits(devices, most, &here, errors) {
        let per_device = spec["perDeviceNodeSelection"] == true;
        for (at, device) in devices.iter().enumerate() {
            let before = old.into_iter().flat_map(|old| items(old, "devices"));
            let before = before.into_iter().find(|one| one["name"] == device["name"]);
            self::device(device, before, per_device, &here.index(at), errors);
        }
        unique(devices, by_name, &here, errors);
    }
    let (sets, here) = (items(spec, "sharedCounters"), path.child("sharedCounters"));
    if fits(sets, MAX_COUNTER_SETS, &here, errors) {
        for (at, set) in sets.iter().enumerate() {
            let here = here.index(at);
            counters(set, "name", &here, errors);
        }
        unique(sets, by_name, &here, errors);
    }
}

/// A set of counters, or what a device takes of one; `name` is the field that names the set.
fn counters(set: &Value, name: &str, path: &Path, errors: &mut ErrorList) {
    let here = path.child(name);
    if check::required(errors, &here, text(set, name)) {
        names::label(text(set, name), &here, errors);
    }
    let here = path.child("counters");
    let Some(counters) = set["counters"].as_object().filter(|counters| !counters.is_empty()) else {
        return errors.push(FieldError::required(&here, ""));
    };
    if counters.len() > MAX_COUNTERS {
        return errors.push(FieldError::too_many(&here, counters.len(), MAX_COUNTERS));
    }
    counters.keys().for_each(|name| names::label(name, &here.key(name), errors));
}

fn device(device: &Value, old: Option<&Value>, per_device: bool, path: &Path, errors: &mut ErrorList) {
    names::label(text(device, "name"), &path.child("name"), errors);
    let properties = |field: &str| device[field].as_object().into_iter().flatten();
    let count = properties("attributes").count() + properties("capacity").count();
    if count > MAX_PROPERTIES {
        let why = format!("the total number of attributes and capacities must not exceed {MAX_PROPERTIES}");
        errors.push(FieldError::invalid(path, count, &why));
    }
    for (name, attribute) in properties("attributes") {
        let here = path.child("attributes").key(name);
        names::qualified(name, &here, errors);
        self::attribute(attribute, &here, errors);
    }
    for (name, capacity) in properties("capacity") {
        let here = path.child("capacity").key(name);
        names::qualified(name, &here, errors);
        self::capacity(capacity, device["allowMultipleAllocations"] == true, &here, errors);
    }
    let (taints, here) = (items(device, "taints"), path.child("taints"));
    if old.is_none_or(|old| old["taints"] != device["taints"]) && fits(taints, MAX_TAINTS, &here, errors) {
        taints.iter().enumerate().for_each(|(at, one)| taint(one, None, &here.index(at), errors));
    }
    let (sets, here) = (items(device, "consumesCounters"), path.child("consumesCounters"));
    if fits(sets, MAX_COUNTED_SETS, &here, errors) {
        sets.iter().enumerate().for_each(|(at, set)| counters(set, "counterSet", &here.index(at), errors));
        unique(sets, |set| text(set, "counterSet").to_owned(), &here, errors);
    }
    own_nodes(device, per_device, path, errors);
    conditions(device, path, errors);
}

/// Where a device can be used by itself, if its slice leaves that to each.
fn own_nodes(device: &Value, per_device: bool, path: &Path, errors: &mut ErrorList) {
    if !per_device {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| !device[field].is_null()) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                       true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, Value::Null, why));
        }
        return;
    }
    let set = named_nodes(device, path, "must not be empty", errors);
    let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is \
               set to true in the ResourceSlice spec";
    match set.as_slice() {
        [] => errors.push(FieldError::required(path, why)),
        [_] => {}
        several => errors.push(FieldError::invalid(path, format!("{{{}}}", several.join(", ")), why)),
    }
}

fn attribute(attribute: &Value, path: &Path, errors: &mut ErrorList) {
    let long = |field: &str| text(attribute, field).len() > MAX_VALUE;
    for field in ["string", "version"].into_iter().filter(|field| long(field)) {
        errors.push(FieldError::too_long(&path.child(field), MAX_VALUE));
    }
    if let Some(version) = attribute["version"].as_str().filter(|version| !is_semver(version)) {
        let why = "must be a string compatible with semver.org spec 2.0.0";
        errors.push(FieldError::invalid(&path.child("version"), version, why));
    }
    let set = attribute.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).count();
    match set {
        0 => errors.push(FieldError::invalid(path, "", "exactly one value must be specified")),
        1 => {}
        _ => errors.push(FieldError::invalid(path, attribute.clone(), "exactly one value must be specified")),
    }
}

fn is_semver(text: &str) -> bool {
    let number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric());
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && before.is_none_or(|before| before.split('.').all(|part| word(part) && (!is_digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// How much may be asked for of a capacity that several claims share.
fn capacity(capacity: &Value, is_shared: bool, path: &Path, errors: &mut ErrorList) {
    let (policy, path) = (&capacity["requestPolicy"], path.child("requestPolicy"));
    if !policy.is_object() {
        return;
    }
    if !is_shared {
        return errors.push(FieldError::forbidden(&path, "allowMultipleAllocations must be true"));
    }
    let Some(whole) = check::quantity(&capacity["value"]) else { return };
    let (values, range) = (items(policy, "validValues"), &policy["validRange"]);
    let normal = check::quantity(&policy["default"]);
    match (values.is_empty(), range.is_object(), normal) {
        (false, true, _) => {
            let why = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                       same time";
            errors.push(FieldError::forbidden(&path, why));
        }
        (true, false, _) => {}
        (is_range, _, None) => {
            let field = if is_range { "validRange" } else { "validValues" };
            errors.push(FieldError::required(&path.child("default"), &format!("required when {field} is defined")));
        }
        (false, false, Some(normal)) => valid_values(values, &normal, &whole, &path.child("validValues"), errors),
        (true, true, Some(normal)) => valid_range(range, &normal, &whole, &path.child("validRange"), errors),
    }
}

fn valid_values(values: &[Value], normal: &Quantity, whole: &Quantity, path: &Path, errors: &mut ErrorList) {
    const MAX_VALUES: usize = 10;
    let amounts: Vec<Quantity> = values.iter().filter_map(check::quantity).collect();
    for (at, pair) in amounts.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let here = path.index(at + 1);
        errors.push(FieldError::invalid(&here, pair[1].to_string(), "values must be sorted in ascending order"));
    }
    if !fits(values, MAX_VALUES, path, errors) {
        return;
    }
    for (at, amount) in amounts.iter().enumerate().filter(|(_, amount)| *amount > whole) {
        let why = format!("option is larger than capacity value: {whole}");
        errors.push(FieldError::invalid(&path.index(at), amount.to_string(), &why));
    }
    unique(values, itself, path, errors);
    if !amounts.contains(normal) {
        let why = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path, normal.to_string(), why));
    }
}

fn valid_range(range: &Value, normal: &Quantity, whole: &Quantity, path: &Path, errors: &mut ErrorList) {
    let amount = |field: &str| check::quantity(&range[field]);
    let Some(least) = amount("min") else {
        return errors.push(FieldError::required(&path.child("min"), "required when validRange is defined"));
    };
    let mut refuse = |field: &str, value: &Quantity, why: String| {
        errors.push(FieldError::invalid(&path.child(field), value.to_string(), &why));
    };
    if least > *whole {
        refuse("min", &least, format!("min is larger than capacity value: {whole}"));
    }
    if *normal < least {
        refuse("min", normal, format!("default is less than min: {least}"));
    }
    if let Some(most) = amount("max") {
        if least > most {
            refuse("max", &least, format!("min is larger than max: {most}"));
        }
        if most > *whole {
            refuse("max", &most, format!("max is larger than capacity value: {whole}"));
        }
        if *normal > most {
            refuse("max", normal, format!("default is more than max: {most}"));
        }
    }
    let Some(step) = amount("step").filter(|step| step.value() != 0) else { return };
    for value in [Some(*normal), amount("max")].into_iter().flatten() {
        if (value.value() - least.value()) % step.value() != 0 {
            let why = format!("value is not a multiple of a given step ({step}) from ({least})");
            refuse("step", &value, why);
        }
    }
}

/// What must come true of a device before its pod is bound.
fn conditions(device: &Value, path: &Path, errors: &mut ErrorList) {
    let [wanted, failing] = ["bindingConditions", "bindingFailureConditions"];
    for field in [wanted, failing] {
        let (list, here) = (items(device, field), path.child(field));
        if fits(list, MAX_CONDITIONS, &here, errors) {
            for (at, name) in list.iter().enumerate() {
                let name = name.as_str().unwrap_or_default();
                check::all(errors, &here.index(at), name, validation::qualified_name(name));
            }
        }
        unique(list, itself, &here, errors);
    }
    for (at, name) in items(device, failing).iter().enumerate() {
        if items(device, wanted).contains(name) {
            let why = "bindingFailureConditions must not overlap with bindingConditions";
            errors.push(FieldError::invalid(&path.child(failing).index(at), name.clone(), why));
        }
    }
    for (missing, other) in [(wanted, failing), (failing, wanted)] {
        if items(device, missing).is_empty() && !items(device, other).is_empty() {
            let why = format!("{missing} are required to use {other}");
            errors.push(FieldError::invalid(&path.child(missing), Value::Null, &why));
        }
    }
}

pub fn taint_rule(spec: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (selector, path) = (&spec["deviceSelector"], Path::new("spec"));
    let here = path.child("deviceSelector");
    if let Some(driver) = selector["driver"].as_str() {
        driver_name(driver, &here.child("driver"), errors);
    }
    if let Some(pool) = selector["pool"].as_str() {
        names::pool(pool, &here.child("pool"), errors);
    }
    if let Some(device) = selector["device"].as_str() {
        names::label(device, &here.child("device"), errors);
    }
    taint(&spec["taint"], old.map(|old| &old["taint"]), &path.child("taint"), errors);
}
