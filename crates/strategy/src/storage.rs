//! Kinds of the group storage.k8s.io.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

const GROUP: &str = "storage.k8s.io";
/// A driver's name is part of paths and of label keys.
const MAX_DRIVER_NAME: usize = 63;

pub const STORAGE_CLASS: Declared = Declared::new(GROUP, "StorageClass")
    .defaults(|class| {
        default_text(class, "reclaimPolicy", "Delete");
        default_text(class, "volumeBindingMode", "Immediate");
    })
    .validates(storage_class);

pub const VOLUME_ATTACHMENT: Declared =
    Declared::new(GROUP, "VolumeAttachment").with_status_alone().updated_with_revision().validates(volume_attachment);

pub const VOLUME_ATTRIBUTES_CLASS: Declared =
    Declared::new(GROUP, "VolumeAttributesClass").validates(volume_attributes_class);

pub const CSI_DRIVER: Declared =
    Declared::new(GROUP, "CSIDriver").updated_with_revision().defaults(csi_driver_defaults).validates(csi_driver);

pub const CSI_NODE: Declared = Declared::new(GROUP, "CSINode").updated_with_revision().validates(csi_node);

pub const CSI_STORAGE_CAPACITY: Declared = Declared::new(GROUP, "CSIStorageCapacity").updated_with_revision();

fn storage_class(class: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let provisioner = text(class, "provisioner");
    if check::required(errors, &Path::new("provisioner"), provisioner) {
        let lower = provisioner.to_lowercase();
        check::all(errors, &Path::new("provisioner"), provisioner, meta::validation::qualified_name(&lower));
    }
    for key in class["parameters"].as_object().into_iter().flatten().map(|(key, _)| key) {
        if key.is_empty() {
            let why = "field can not be empty.";
            errors.push(FieldError::invalid(&Path::new("parameters"), key.as_str(), why));
        }
    }
    check::one_of(errors, &Path::new("reclaimPolicy"), text(class, "reclaimPolicy"), &["Delete", "Retain"]);
    let Some(old) = old else { return };
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if class[field] != old[field] {
            let why = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(&Path::new(field), &why));
        }
    }
    let mode = &class["volumeBindingMode"];
    check::immutable(errors, &Path::new("volumeBindingMode"), mode, &old["volumeBindingMode"]);
}

fn volume_attachment(attachment: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&attachment["spec"], Path::new("spec"));
    check::required(errors, &path.child("attacher"), text(spec, "attacher"));
    check::required(errors, &path.child("nodeName"), text(spec, "nodeName"));
    let source = &spec["source"];
    let named = !text(source, "persistentVolumeName").is_empty();
    if !named && source["inlineVolumeSpec"].is_null() {
        let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        errors.push(FieldError::required(&path.child("source"), why));
    }
    if let Some(old) = old {
        check::immutable(errors, &path, spec, &old["spec"]);
    }
}

fn volume_attributes_class(class: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    check::required(errors, &Path::new("driverName"), text(class, "driverName"));
    let Some(old) = old else { return };
    for field in ["driverName", "parameters"] {
        if class[field] != old[field] {
            let why = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(&Path::new(field), &why));
        }
    }
}

fn csi_driver_defaults(driver: &mut Value) {
    default(driver, "spec", json!({}));
    let spec = &mut driver["spec"];
    default(spec, "attachRequired", true);
    default_text(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        default(spec, field, false);
    }
    default(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

pub fn driver_name(name: &str, path: &Path, errors: &mut ErrorList) {
    if !check::required(errors, path, name) {
        return;
    }
    if name.len() > MAX_DRIVER_NAME {
        errors.push(FieldError::too_long(path, MAX_DRIVER_NAME));
    }
    check::all(errors, path, name, meta::validation::dns1123_subdomain(&name.to_lowercase()));
}

fn csi_driver(driver: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    driver_name(text(&driver["metadata"], "name"), &Path::new("metadata").child("name"), errors);
    let Some(old) = old else { return };
    let path = Path::new("spec");
    for field in ["attachRequired", "volumeLifecycleModes"] {
        check::immutable(errors, &path.child(field), &driver["spec"][field], &old["spec"][field]);
    }
}

fn csi_node(node: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::new("spec").child("drivers");
    let mut names: Vec<&str> = Vec::new();
    for (at, driver) in items(&node["spec"], "drivers").iter().enumerate() {
        let here = path.index(at);
        let name = text(driver, "name");
        driver_name(name, &here.child("name"), errors);
        check::required(errors, &here.child("nodeID"), text(driver, "nodeID"));
        if names.contains(&name) {
            errors.push(FieldError::duplicate(&here.child("name"), name));
        }
        names.push(name);
    }
}
