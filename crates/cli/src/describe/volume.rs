//! Volumes: what each is and where it comes from.

use super::page::{Page, items, number, plain, unset};
use serde_json::Value;

/// A source's field, its name and explanation, and the fields shown with their labels.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The sources that only list fields of theirs.
const SOURCES: &[Row] = &[
    ("hostPath", "HostPath (bare host directory volume)", &[("Path", "path"), ("HostPathType", "type")]),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName", "claimName"), ("ReadOnly", "readOnly")],
    ),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server", "server"), ("Path", "path"), ("ReadOnly", "readOnly")],
    ),
    ("image", "Image (a container image or OCI artifact)", &[("Reference", "reference"), ("PullPolicy", "pullPolicy")]),
    (
        "csi",
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[("Driver", "driver"), ("FSType", "fsType"), ("ReadOnly", "readOnly")],
    ),
    (
        "gitRepo",
        "GitRepo (a volume that is pulled from git when the pod is created)",
        &[("Repository", "repository"), ("Revision", "revision")],
    ),
];

pub fn volumes(page: &mut Page, list: &Value, indent: &str) {
    if items(list).next().is_none() {
        page.line(0, format!("{indent}Volumes:\t<none>"));
        return;
    }
    page.line(0, format!("{indent}Volumes:"));
    for volume in items(list) {
        let blank = if indent.is_empty() { "" } else { " " };
        page.line(1, format!("{blank}{}:", plain(&volume["name"])));
        source(page, volume);
    }
}

/// Where a volume comes from, whether it is a pod's or one by itself.
pub(super) fn source(page: &mut Page, volume: &Value) {
    if volume["emptyDir"].is_object() {
        page.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
        page.field(2, "Medium", plain(&volume["emptyDir"]["medium"]));
        page.field(2, "SizeLimit", unset(&volume["emptyDir"]["sizeLimit"]));
    } else if volume["secret"].is_object() {
        page.field(2, "Type", "Secret (a volume populated by a Secret)");
        page.field(2, "SecretName", plain(&volume["secret"]["secretName"]));
        page.field(2, "Optional", volume["secret"]["optional"] == true);
    } else if volume["configMap"].is_object() {
        page.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
        page.field(2, "Name", plain(&volume["configMap"]["name"]));
        page.field(2, "Optional", volume["configMap"]["optional"] == true);
    } else if volume["projected"].is_object() {
        page.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
        items(&volume["projected"]["sources"]).for_each(|source| projected(page, source));
    } else if volume["downwardAPI"].is_object() {
        page.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
        page.line(2, "Items:");
        for item in items(&volume["downwardAPI"]["items"]) {
            let from = match &item["fieldRef"] {
                Value::Null => plain(&item["resourceFieldRef"]["resource"]),
                field => plain(&field["fieldPath"]),
            };
            page.line(3, format!("{from} -> {}", plain(&item["path"])));
        }
    } else if let Some((field, kind, fields)) = SOURCES.iter().find(|(field, ..)| volume[*field].is_object()) {
        page.field(2, "Type", kind);
        for (label, name) in *fields {
            let value = &volume[*field][*name];
            match (*label, value) {
                ("ReadOnly", value) => page.field(2, label, value == &Value::Bool(true)),
                ("HostPathType", value) => {
                    let none = || if value.is_null() { "<none>".to_owned() } else { plain(value) };
                    page.field(2, label, none());
                }
                _ => page.field(2, label, plain(value)),
            }
        }
    } else {
        page.line(2, "<unknown>");
    }
}

fn projected(page: &mut Page, source: &Value) {
    // As upstream prints it: an optional source that is not said to be so has no value.
    let optional = |of: &Value| match of["optional"].as_bool() {
        Some(flag) => flag.to_string(),
        None => "false".to_owned(),
    };
    if source["secret"].is_object() {
        page.field(2, "SecretName", plain(&source["secret"]["name"]));
        page.field(2, "Optional", optional(&source["secret"]));
    } else if source["downwardAPI"].is_object() {
        page.field(2, "DownwardAPI", "true");
    } else if source["configMap"].is_object() {
        page.field(2, "ConfigMapName", plain(&source["configMap"]["name"]));
        page.field(2, "Optional", optional(&source["configMap"]));
    } else if source["serviceAccountToken"].is_object() {
        page.field(2, "TokenExpirationSeconds", number(&source["serviceAccountToken"]["expirationSeconds"]));
    }
}
