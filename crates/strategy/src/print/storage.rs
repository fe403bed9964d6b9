//! Volumes, claims and what provides them.

use super::cells::{NONE, UNSET, age, at, at_or, is_deleting, joined, len, name};
use super::{AGE, NAME, Printer, boolean, formatted, integer, text, wide};
use crate::tree::{items, text as text_of};
use serde_json::Value;

const GROUP: &str = "storage.k8s.io";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub const VOLUME: Printer = Printer {
    group: "",
    kind: "PersistentVolume",
    columns: &[
        NAME,
        text("Capacity"),
        text("Access Modes"),
        text("Reclaim Policy"),
        text("Status"),
        text("Claim"),
        text("StorageClass"),
        text("VolumeAttributesClass"),
        text("Reason"),
        AGE,
        wide("VolumeMode"),
    ],
    cells: |volume, now| {
        let spec = &volume["spec"];
        let claim = &spec["claimRef"];
        let claim = match claim.is_object() {
            true => format!("{}/{}", text_of(claim, "namespace"), text_of(claim, "name")),
            false => String::new(),
        };
        vec![
            name(volume),
            at_or(spec, "/capacity/storage", "0"),
            access_modes(items(spec, "accessModes")).into(),
            at_or(spec, "/persistentVolumeReclaimPolicy", ""),
            phase(volume).into(),
            claim.into(),
            class(volume).into(),
            at_or(spec, "/volumeAttributesClassName", UNSET),
            at_or(volume, "/status/reason", ""),
            age(volume, now),
            at_or(spec, "/volumeMode", UNSET),
        ]
    },
};

pub const CLAIM: Printer = Printer {
    group: "",
    kind: "PersistentVolumeClaim",
    columns: &[
        NAME,
        text("Status"),
        text("Volume"),
        text("Capacity"),
        text("Access Modes"),
        text("StorageClass"),
        text("VolumeAttributesClass"),
        AGE,
        wide("VolumeMode"),
    ],
    cells: |claim, now| {
        let is_bound = !at(claim, "/spec/volumeName").is_empty();
        let status = if is_bound { &claim["status"] } else { &Value::Null };
        vec![
            name(claim),
            phase(claim).into(),
            at_or(claim, "/spec/volumeName", ""),
            if is_bound { at_or(status, "/capacity/storage", "0") } else { "".into() },
            access_modes(items(status, "accessModes")).into(),
            class(claim).into(),
            at_or(claim, "/spec/volumeAttributesClassName", UNSET),
            age(claim, now),
            at_or(claim, "/spec/volumeMode", UNSET),
        ]
    },
};

pub const CLASS: Printer = Printer {
    group: GROUP,
    kind: "StorageClass",
    columns: &[
        NAME,
        text("Provisioner"),
        text("ReclaimPolicy"),
        text("VolumeBindingMode"),
        text("AllowVolumeExpansion"),
        AGE,
    ],
    cells: |class, now| {
        vec![
            name_with_default(class),
            class["provisioner"].clone(),
            at_or(class, "/reclaimPolicy", "Delete"),
            at_or(class, "/volumeBindingMode", "Immediate"),
            (class["allowVolumeExpansion"] == true).into(),
            age(class, now),
        ]
    },
};

pub const VOLUME_ATTRIBUTES_CLASS: Printer = Printer {
    group: GROUP,
    kind: "VolumeAttributesClass",
    columns: &[NAME, text("DriverName"), AGE],
    cells: |class, now| vec![name_with_default(class), class["driverName"].clone(), age(class, now)],
};

pub const VOLUME_ATTACHMENT: Printer = Printer {
    group: GROUP,
    kind: "VolumeAttachment",
    columns: &[NAME, formatted("Attacher", "string", 0, "name"), text("PV"), text("Node"), boolean("Attached"), AGE],
    cells: |attachment, now| {
        vec![
            name(attachment),
            at_or(attachment, "/spec/attacher", ""),
            at_or(attachment, "/spec/source/persistentVolumeName", ""),
            at_or(attachment, "/spec/nodeName", ""),
            (attachment["status"]["attached"] == true).into(),
            age(attachment, now),
        ]
    },
};

pub const CSI_NODE: Printer = Printer {
    group: GROUP,
    kind: "CSINode",
    columns: &[NAME, integer("Drivers"), AGE],
    cells: |node, now| vec![name(node), len(node, "/spec/drivers").into(), age(node, now)],
};

pub const CSI_DRIVER: Printer = Printer {
    group: GROUP,
    kind: "CSIDriver",
    columns: &[
        NAME,
        boolean("AttachRequired"),
        boolean("PodInfoOnMount"),
        boolean("StorageCapacity"),
        text("TokenRequests"),
        boolean("RequiresRepublish"),
        text("Modes"),
        AGE,
    ],
    cells: |driver, now| {
        let spec = &driver["spec"];
        let tokens = &spec["tokenRequests"];
        let audiences: Vec<&str> = items(spec, "tokenRequests").iter().map(|one| text_of(one, "audience")).collect();
        vec![
            name(driver),
            (spec["attachRequired"] != false).into(),
            (spec["podInfoOnMount"] == true).into(),
            (spec["storageCapacity"] == true).into(),
            if tokens.is_null() { UNSET.into() } else { audiences.join(",").into() },
            (spec["requiresRepublish"] == true).into(),
            joined(items(spec, "volumeLifecycleModes"), ",", NONE).into(),
            age(driver, now),
        ]
    },
};

pub const CSI_CAPACITY: Printer = Printer {
    group: GROUP,
    kind: "CSIStorageCapacity",
    columns: &[NAME, text("StorageClassName"), text("Capacity")],
    cells: |capacity, _| {
        vec![name(capacity), capacity["storageClassName"].clone(), at_or(capacity, "/capacity", UNSET)]
    },
};

/// Short forms, in upstream's order, each once.
fn access_modes(modes: &[Value]) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let found: Vec<&str> =
        SHORT.iter().filter(|(mode, _)| modes.iter().any(|one| one == mode)).map(|(_, short)| *short).collect();
    found.join(",")
}

fn phase(object: &Value) -> String {
    let phase = at(object, "/status/phase");
    (if is_deleting(object) { "Terminating" } else { phase }).to_owned()
}

fn class(object: &Value) -> String {
    let annotation = object["metadata"]["annotations"][BETA_CLASS].as_str();
    annotation.unwrap_or_else(|| at(object, "/spec/storageClassName")).to_owned()
}

fn name_with_default(class: &Value) -> Value {
    let annotations = &class["metadata"]["annotations"];
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .into_iter()
            .any(|key| annotations[key] == "true");
    if is_default { format!("{} (default)", at(class, "/metadata/name")).into() } else { name(class) }
}
