//! Labels, annotations, images and replicas.

use super::fields::{ANNOTATIONS, COMMON_LABELS, METADATA_LABELS, Spec, TEMPLATE_LABELS, set_pairs, visit};
use super::file::{Kustomization, pairs};
use super::resource::Resource;
use crate::failure::{Failure, Outcome};
use serde_json::{Map, Value, json};

fn set_everywhere(all: &mut [Resource], specs: &[Spec], wanted: &Map<String, Value>) {
    if wanted.is_empty() {
        return;
    }
    for resource in all {
        let kind = resource.kind().to_owned();
        set_pairs(&mut resource.object, &kind, specs, wanted);
    }
}

pub fn labels(file: &Kustomization, all: &mut [Resource]) {
    for entry in file.list("labels") {
        let specs = match (entry["includeSelectors"] == true, entry["includeTemplates"] == true) {
            (true, _) => COMMON_LABELS,
            (_, true) => TEMPLATE_LABELS,
            _ => METADATA_LABELS,
        };
        let wanted = pairs(&entry["pairs"]);
        set_everywhere(all, specs, &wanted);
        for field in entry["fields"].as_array().into_iter().flatten() {
            let path = field["path"].as_str().unwrap_or_default().replace("[]", "");
            let kind = field["kind"].as_str().unwrap_or_default();
            let create = field["create"] == true;
            for resource in all.iter_mut().filter(|resource| kind.is_empty() || resource.kind() == kind) {
                visit(&mut resource.object, &path, create, &mut |found| {
                    if found.is_null() {
                        *found = json!({});
                    }
                    if let Some(map) = found.as_object_mut() {
                        map.extend(wanted.clone());
                    }
                });
            }
        }
    }
    set_everywhere(all, COMMON_LABELS, &file.pairs("commonLabels"));
}

pub fn annotations(file: &Kustomization, all: &mut [Resource]) {
    set_everywhere(all, ANNOTATIONS, &file.pairs("commonAnnotations"));
}

const SCALED: &[&str] = &["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"];

pub fn replicas(file: &Kustomization, all: &mut [Resource]) -> Outcome {
    for entry in file.list("replicas") {
        let (name, count) = (entry["name"].as_str().unwrap_or_default(), entry["count"].clone());
        let mut found = false;
        for resource in all.iter_mut().filter(|one| SCALED.contains(&one.kind()) && one.was_called(name)) {
            resource.object["spec"]["replicas"] = count.clone();
            found = true;
        }
        if !found {
            let kinds = SCALED.join(" ");
            return Err(Failure::message(format!(
                "resource with name {name} does not match a config with the following GVK [{kinds}]"
            )));
        }
    }
    Ok(())
}

pub fn images(file: &Kustomization, all: &mut [Resource]) {
    for entry in file.list("images") {
        for resource in all.iter_mut().filter(|one| one.kind() != "CustomResourceDefinition") {
            in_containers(&mut resource.object, entry);
        }
    }
}

/// Wherever containers are, also in kinds nobody knows.
fn in_containers(value: &mut Value, entry: &Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    for container in child.as_array_mut().into_iter().flatten() {
                        if let Some(new) = container["image"].as_str().and_then(|image| changed(image, entry)) {
                            container["image"] = json!(new);
                        }
                    }
                }
                in_containers(child, entry);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| in_containers(item, entry)),
        _ => {}
    }
}

/// The image under its new name, tag or digest, where the entry is for it.
fn changed(image: &str, entry: &Value) -> Option<String> {
    let text = |field: &str| entry[field].as_str().filter(|text| !text.is_empty());
    let (named, digest) = image.split_once('@').map_or((image, None), |(named, digest)| (named, Some(digest)));
    // A colon before the last slash is a port.
    let tag_at = named.rfind(':').filter(|at| !named[*at..].contains('/'));
    let (name, tag) = tag_at.map_or((named, None), |at| (&named[..at], Some(&named[at + 1..])));
    if name != entry["name"].as_str().unwrap_or_default() {
        return None;
    }
    let name = text("newName").unwrap_or(name);
    let mut tag = tag.map(str::to_owned);
    let mut digest = digest.map(str::to_owned);
    match (text("newTag"), text("digest")) {
        (Some(new), Some(sum)) => (tag, digest) = (Some(new.to_owned()), Some(sum.to_owned())),
        (Some(new), None) => (tag, digest) = (Some(new.to_owned()), None),
        (None, Some(sum)) => (tag, digest) = (None, Some(sum.to_owned())),
        (None, None) => {}
    }
    if let (Some(tag), Some(suffix)) = (&mut tag, text("tagSuffix")) {
        tag.push_str(suffix);
    }
    let tag = tag.map_or_else(String::new, |tag| format!(":{tag}"));
    let digest = digest.map_or_else(String::new, |digest| format!("@{digest}"));
    Some(format!("{name}{tag}{digest}"))
}
