//! The status of a claim: which devices it got, for whom, and how they do.

use super::claim::{configuration, reference, references};
use super::names::{self, fits, itself, unique};
use crate::check;
use crate::core::pod_validation::node_selector;
use crate::storage::driver_name;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Upstream's numbers.
const MAX_CONSUMERS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONFIGS: usize = 64;
const MAX_CONDITIONS: usize = 8;
const MAX_DATA: usize = 10 * 1024;
const MAX_INTERFACE_NAME: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;
const MAX_ADDRESSES: usize = 16;

/// What makes a device of one claim another than its others.
fn id(device: &Value) -> String {
    let part = |field: &str| text(device, field);
    let id = format!("{}/{}/{}", part("driver"), part("pool"), part("device"));
    if part("shareID").is_empty() { id } else { format!("{id}/{}", part("shareID")) }
}

fn results(status: &Value) -> &[Value] {
    items(&status["allocation"]["devices"], "results")
}

/// Devices that the claim lost take what was said of them along.
pub fn drop_deallocated(claim: &mut Value) {
    let kept: Vec<String> = results(&claim["status"]).iter().map(id).collect();
    let Some(status) = claim.get_mut("status").and_then(Value::as_object_mut) else { return };
    let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) else { return };
    devices.retain(|device| kept.contains(&id(device)));
    if devices.is_empty() {
        status.remove("devices");
    }
}

pub fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, before, path) = (&new["status"], &old["status"], Path::new("status"));
    let is_deleting = new["metadata"]["deletionTimestamp"].is_string();
    consumers(status, before, is_deleting, &path.child("reservedFor"), errors);
    let (devices, here) = (items(status, "devices"), path.child("devices"));
    for (at, device) in devices.iter().enumerate() {
        self::device(device, results(status), &here.index(at), errors);
    }
    unique(devices, id, &here, errors);
    let here = path.child("allocation");
    match (&status["allocation"], &before["allocation"]) {
        (Value::Null, _) => {}
        (now, Value::Null) => allocation(now, items(&new["spec"]["devices"], "requests"), &here, errors),
        (now, before) => check::immutable(errors, &here, now, before),
    }
}

fn consumers(status: &Value, before: &Value, is_deleting: bool, path: &Path, errors: &mut ErrorList) {
    let list = items(status, "reservedFor");
    if !fits(list, MAX_CONSUMERS, path, errors) {
        return;
    }
    for (at, consumer) in list.iter().enumerate() {
        for field in ["resource", "name", "uid"] {
            check::required(errors, &path.index(at).child(field), text(consumer, field));
        }
    }
    unique(list, |consumer| text(consumer, "uid").to_owned(), path, errors);
    if list.is_empty() {
        return;
    }
    if status["allocation"].is_null() {
        errors.push(FieldError::forbidden(path, "may not be specified when `allocated` is not set"));
    } else if is_deleting && list.iter().any(|one| !items(before, "reservedFor").contains(one)) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn allocation(allocation: &Value, requests: &[Value], path: &Path, errors: &mut ErrorList) {
    let (devices, here) = (&allocation["devices"], path.child("devices"));
    let (results, at_results) = (items(devices, "results"), here.child("results"));
    if fits(results, MAX_RESULTS, &at_results, errors) {
        for (at, result) in results.iter().enumerate() {
            let here = at_results.index(at);
            reference(text(result, "request"), requests, &here.child("request"), errors);
            place(result, &here, errors);
        }
    }
    let (configs, here) = (items(devices, "config"), here.child("config"));
    if fits(configs, MAX_CONFIGS, &here, errors) {
        for (at, config) in configs.iter().enumerate() {
            let here = here.index(at);
            let known = ["FromClaim", "FromClass"];
            check::required_one_of(errors, &here.child("source"), text(config, "source"), &known);
            references(config, requests, &here, errors);
            configuration(config, &here, errors);
        }
    }
    if allocation["nodeSelector"].is_object() {
        node_selector(&allocation["nodeSelector"], &path.child("nodeSelector"), errors);
    }
}

/// Driver, pool and name of a device.
fn place(device: &Value, path: &Path, errors: &mut ErrorList) {
    driver_name(text(device, "driver"), &path.child("driver"), errors);
    names::pool(text(device, "pool"), &path.child("pool"), errors);
    names::label(text(device, "device"), &path.child("device"), errors);
}

fn device(device: &Value, allocated: &[Value], path: &Path, errors: &mut ErrorList) {
    place(device, path, errors);
    if !allocated.iter().any(|one| id(one) == id(device)) {
        errors.push(FieldError::invalid(path, id(device), "must be an allocated device in the claim"));
    }
    fits(items(device, "conditions"), MAX_CONDITIONS, &path.child("conditions"), errors);
    if !device["data"].is_null() {
        names::opaque(&device["data"], MAX_DATA, &path.child("data"), errors);
    }
    let (network, here) = (&device["networkData"], path.child("networkData"));
    for (field, most) in [("interfaceName", MAX_INTERFACE_NAME), ("hardwareAddress", MAX_HARDWARE_ADDRESS)] {
        if text(network, field).len() > most {
            errors.push(FieldError::too_long(&here.child(field), most));
        }
    }
    let (addresses, here) = (items(network, "ips"), here.child("ips"));
    if fits(addresses, MAX_ADDRESSES, &here, errors) {
        for (at, address) in addresses.iter().enumerate() {
            let address = address.as_str().unwrap_or_default();
            if !check::is_cidr(address) {
                let why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
                errors.push(FieldError::invalid(&here.index(at), address, why));
            }
        }
        unique(addresses, itself, &here, errors);
    }
}
