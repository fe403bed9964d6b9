//! The downward API's fields: what a container may learn of its own pod, for volumes and for
//! environment variables.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector, ResourceRequirements};
use meta::Quantity;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the node can give to pods, by resource name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocatable(pub BTreeMap<String, Quantity>);

impl Allocatable {
    pub fn memory(&self) -> Quantity {
        self.get("memory")
    }

    pub fn get(&self, resource: &str) -> Quantity {
        self.0.get(resource).copied().unwrap_or(Quantity::ZERO)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("unsupported fieldPath: {0}")]
    UnknownField(String),
    #[error("unsupported container resource : {0}")]
    UnknownResource(String),
    #[error("container {0} not found")]
    NoSuchContainer(String),
}

/// A field of the pod that never changes or is a label or annotation.
///
/// # Errors
/// There is no such field, or only environment variables may use it.
pub fn pod_field(pod: &Pod, path: &str) -> Result<String, FieldError> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(FieldError::UnknownField(path.to_owned())),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    match path {
        "metadata.name" => Ok(text(&meta.name)),
        "metadata.namespace" => Ok(text(&meta.namespace)),
        "metadata.uid" => Ok(text(&meta.uid)),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        _ => Err(FieldError::UnknownField(path.to_owned())),
    }
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// One `key="value"` a line, in order of key.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (key, value) in map.into_iter().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(key);
        text.push('=');
        quote(value, &mut text);
    }
    text
}

/// As Go's `%q` prints a string.
fn quote(value: &str, text: &mut String) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{7}' => text.push_str("\\a"),
            '\u{8}' => text.push_str("\\b"),
            '\u{b}' => text.push_str("\\v"),
            '\u{c}' => text.push_str("\\f"),
            // Writing to a String cannot fail.
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
                let _ = write!(text, "\\x{:02x}", u32::from(control));
            }
            control if control.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
}

/// `limits.cpu`, `requests.memory` and the like of a container, in units of the divisor, rounded
/// up. A container without limits is told what the node can give.
///
/// # Errors
/// No such container or resource.
pub fn resource_field(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
    allocatable: &Allocatable,
) -> Result<String, FieldError> {
    let found = find_container(pod, container).ok_or_else(|| FieldError::NoSuchContainer(container.to_owned()))?;
    let divisor = selector.divisor.as_ref().and_then(|divisor| divisor.0.parse().ok()).unwrap_or(Quantity::ZERO);
    let unknown = || FieldError::UnknownResource(selector.resource.clone());
    let (side, resource) = selector.resource.split_once('.').ok_or_else(unknown)?;
    if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") && !resource.starts_with("hugepages-") {
        return Err(unknown());
    }
    let amount = match side {
        "limits" => limit_of(found.resources.as_ref(), resource)
            .filter(|limit| !limit.is_zero())
            .unwrap_or_else(|| allocatable.get(resource)),
        "requests" => request_of(found.resources.as_ref(), resource).unwrap_or(Quantity::ZERO),
        _ => return Err(unknown()),
    };
    Ok(amount.divided_by(divisor).to_string())
}

fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|container| container.name == name)
}

pub fn limit_of(resources: Option<&ResourceRequirements>, name: &str) -> Option<Quantity> {
    resources?.limits.as_ref()?.get(name)?.0.parse().ok()
}

pub fn request_of(resources: Option<&ResourceRequirements>, name: &str) -> Option<Quantity> {
    resources?.requests.as_ref()?.get(name)?.0.parse().ok()
}

/// The memory that all containers of a pod may use together; None where one of them has no limit.
pub fn pod_memory_limit(pod: &Pod) -> Option<Quantity> {
    let spec = pod.spec.as_ref()?;
    let limits: Option<Vec<Quantity>> =
        spec.containers.iter().map(|container| limit_of(container.resources.as_ref(), "memory")).collect();
    limits.map(|limits| limits.into_iter().fold(Quantity::ZERO, |sum, limit| sum + limit))
}
