//! StorageClasses, PersistentVolumes and the claims to them.

use super::events::events;
use super::page::{Page, items, plain, time, titled};
use super::service::joined;
use super::{Subject, Written, volume};
use crate::print::age::since;
use crate::print::table::label_text;
use crate::session::Call;
use serde_json::Value;

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// Where the class stood before it was a field.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Go's time of nothing.
const NEVER: &str = "Mon, 01 Jan 0001 00:00:00 +0000";

pub fn class<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        let annotations = &object["metadata"]["annotations"];
        page.field(0, "Name", plain(&object["metadata"]["name"]));
        page.field(0, "IsDefaultClass", if annotations[IS_DEFAULT] == "true" { "Yes" } else { "No" });
        page.field(0, "Annotations", label_text(annotations));
        page.field(0, "Provisioner", plain(&object["provisioner"]));
        page.field(0, "Parameters", label_text(&object["parameters"]));
        let expansion = object["allowVolumeExpansion"].as_bool().map_or("<unset>", titled);
        page.field(0, "AllowVolumeExpansion", expansion);
        if items(&object["mountOptions"]).next().is_none() {
            page.field(0, "MountOptions", "<none>");
        } else {
            page.line(0, "MountOptions:");
            items(&object["mountOptions"]).for_each(|option| page.line(1, plain(option)));
        }
        page.text(0, "ReclaimPolicy", &object["reclaimPolicy"]);
        page.text(0, "VolumeBindingMode", &object["volumeBindingMode"]);
        let terms = &object["allowedTopologies"];
        if items(terms).next().is_some() {
            page.field(0, "AllowedTopologies", "");
        }
        for (at, term) in items(terms).enumerate() {
            let one = |of: &Value| format!("{} in [{}]", plain(&of["key"]), values(of));
            lines(page, 1, at, items(&term["matchLabelExpressions"]).map(one).collect());
        }
        events(subject, page).await
    })
}

fn values(of: &Value) -> String {
    items(&of["values"]).map(plain).collect::<Vec<_>>().join(", ")
}

/// A numbered term, one expression a line.
fn lines(page: &mut Page, level: usize, at: usize, expressions: Vec<String>) {
    let mut rest = expressions.into_iter();
    page.field(level, &format!("Term {at}"), rest.next().unwrap_or_else(|| "<none>".to_owned()));
    rest.for_each(|expression| page.line(level, format!("\t{expression}")));
}

pub fn volume<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.pairs("", "Labels", &metadata["labels"]);
        page.annotations("", &metadata["annotations"]);
        page.field(0, "Finalizers", finalizers(metadata));
        page.field(0, "StorageClass", class_of(subject.object));
        page.field(0, "Status", phase(subject));
        let claim = &spec["claimRef"];
        let claim = match claim {
            Value::Null => String::new(),
            claim => format!("{}/{}", plain(&claim["namespace"]), plain(&claim["name"])),
        };
        page.field(0, "Claim", claim);
        page.field(0, "Reclaim Policy", plain(&spec["persistentVolumeReclaimPolicy"]));
        page.field(0, "Access Modes", access_modes(&spec["accessModes"]));
        page.text(0, "VolumeMode", &spec["volumeMode"]);
        page.field(0, "Capacity", plain(&spec["capacity"]["storage"]));
        affinity(page, &spec["nodeAffinity"]["required"]);
        page.field(0, "Message", plain(&subject.object["status"]["message"]));
        page.line(0, "Source:");
        source(page, spec);
        events(subject, page).await
    })
}

fn affinity(page: &mut Page, required: &Value) {
    if required.is_null() {
        return page.field(0, "Node Affinity", "<none>");
    }
    page.field(0, "Node Affinity", "");
    page.field(1, "Required Terms", if items(&required["nodeSelectorTerms"]).next().is_none() { "<none>" } else { "" });
    for (at, term) in items(&required["nodeSelectorTerms"]).enumerate() {
        let one = |of: &Value| {
            let operator = plain(&of["operator"]).to_lowercase();
            let list = if items(&of["values"]).next().is_none() { String::new() } else { format!(" [{}]", values(of)) };
            format!("{} {operator}{list}", plain(&of["key"]))
        };
        lines(page, 2, at, items(&term["matchExpressions"]).map(one).collect());
    }
}

/// What is not the same as of a pod's volume.
fn source(page: &mut Page, spec: &Value) {
    let csi = &spec["csi"];
    if spec["local"].is_object() {
        page.field(2, "Type", "LocalVolume (a persistent volume backed by local storage on a node)");
        page.field(2, "Path", plain(&spec["local"]["path"]));
    } else if csi.is_object() {
        page.field(2, "Type", "CSI (a Container Storage Interface (CSI) volume source)");
        page.field(2, "Driver", plain(&csi["driver"]));
        page.field(2, "FSType", plain(&csi["fsType"]));
        page.field(2, "VolumeHandle", plain(&csi["volumeHandle"]));
        page.field(2, "ReadOnly", csi["readOnly"] == true);
        let mut pairs: Vec<String> = csi["volumeAttributes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("    {key}={}", plain(value)))
            .collect();
        if pairs.is_empty() {
            pairs.push("<none>".to_owned());
        }
        page.column("    ", "VolumeAttributes", &pairs);
    } else {
        volume::source(page, spec);
    }
}

pub fn claim<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        let status = &subject.object["status"];
        page.field(0, "Name", plain(&metadata["name"]));
        page.field(0, "Namespace", plain(&metadata["namespace"]));
        page.field(0, "StorageClass", class_of(subject.object));
        page.field(0, "Status", phase(subject));
        page.field(0, "Volume", plain(&spec["volumeName"]));
        page.pairs("", "Labels", &metadata["labels"]);
        page.annotations("", &metadata["annotations"]);
        page.field(0, "Finalizers", finalizers(metadata));
        // What was asked for is shown nowhere; what there is only with a volume.
        let (mut capacity, mut modes) = (String::new(), String::new());
        if !plain(&spec["volumeName"]).is_empty() {
            let size = &status["capacity"]["storage"];
            capacity = if size.is_null() { "0".to_owned() } else { plain(size) };
            modes = access_modes(&status["accessModes"]);
        }
        page.field(0, "Capacity", capacity);
        page.field(0, "Access Modes", modes);
        page.text(0, "VolumeMode", &spec["volumeMode"]);
        if spec["dataSource"].is_object() {
            page.line(0, "DataSource:");
            page.text(1, "APIGroup", &spec["dataSource"]["apiGroup"]);
            page.field(1, "Kind", plain(&spec["dataSource"]["kind"]));
            page.field(1, "Name", plain(&spec["dataSource"]["name"]));
        }
        page.column("", "Used By", &users(subject).await);
        conditions(page, &status["conditions"]);
        events(subject, page).await
    })
}

/// The pods that mount the claim.
async fn users(subject: &Subject<'_>) -> Vec<String> {
    let metadata = &subject.object["metadata"];
    let (namespace, claim) = (plain(&metadata["namespace"]), plain(&metadata["name"]));
    let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods"));
    let list = subject.session.json(call).await.unwrap_or_default();
    let mounts = |pod: &&Value| {
        let pod_name = plain(&pod["metadata"]["name"]);
        items(&pod["spec"]["volumes"]).any(|volume| {
            let is_made = volume["ephemeral"].is_object() && format!("{pod_name}-{}", plain(&volume["name"])) == claim;
            volume["persistentVolumeClaim"]["claimName"] == claim.as_str() || is_made
        })
    };
    let mut names: Vec<String> =
        items(&list["items"]).filter(mounts).map(|pod| plain(&pod["metadata"]["name"])).collect();
    if names.is_empty() {
        names.push("<none>".to_owned());
    }
    names
}

fn conditions(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in items(list) {
        let text = |field: &str| plain(&condition[field]);
        let at = |field: &str| if condition[field].is_null() { NEVER.to_owned() } else { time(&condition[field]) };
        let (probed, changed) = (at("lastProbeTime"), at("lastTransitionTime"));
        let (reason, message) = (text("reason"), text("message"));
        page.line(1, format!("{} \t{} \t{probed} \t{changed} \t{reason} \t{message}", text("type"), text("status")));
    }
}

fn finalizers(metadata: &Value) -> String {
    format!("[{}]", items(&metadata["finalizers"]).map(plain).collect::<Vec<_>>().join(" "))
}

fn class_of(object: &Value) -> String {
    match object["metadata"]["annotations"][OLD_CLASS].as_str() {
        Some(class) => class.to_owned(),
        None => plain(&object["spec"]["storageClassName"]),
    }
}

fn phase(subject: &Subject<'_>) -> String {
    match subject.object["metadata"]["deletionTimestamp"].as_str() {
        Some(at) => format!("Terminating (lasts {})", since(at, subject.session.env.clock.now())),
        None => plain(&subject.object["status"]["phase"]),
    }
}

/// `RWO,ROX`
fn access_modes(list: &Value) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let given: Vec<&str> = items(list).filter_map(Value::as_str).collect();
    let shown = short.iter().filter(|(mode, _)| given.contains(mode)).map(|(_, short)| Value::from(*short));
    joined(&Value::Array(shown.collect()))
}
