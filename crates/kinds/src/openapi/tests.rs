//! The documents read as upstream's.

use super::*;
use serde_json::Value;

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get("$ref").and_then(Value::as_str).map(str::to_owned));
            entries.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn assert_closed(document: &Value, models: &Value, prefix: &str) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(found.len() > 2);
    for reference in found {
        let name = reference.strip_prefix(prefix).unwrap_or_else(|| panic!("{reference}"));
        assert!(models.get(name).is_some(), "{name} is referred to and missing");
    }
}

#[test]
fn every_reference_leads_to_a_model() {
    let served: BTreeSet<_> = all().iter().map(|row| (row.group.as_ref(), row.version.as_ref())).collect();
    for (group, version) in served {
        let document = parse(&write_v3(group, version).unwrap());
        assert_closed(&document, &document["components"]["schemas"], "#/components/schemas/");
    }
    let document = parse(&write_v2(&|row| row.served_by_default, &[], &Others::default()));
    assert_closed(&document, &document["definitions"], "#/definitions/");
    assert!(write_v3("example.com", "v1").is_none());
}

#[test]
fn models_say_what_explain_and_apply_need() {
    let document = parse(&write_v3("", "v1").unwrap());
    let models = &document["components"]["schemas"];
    let spec = &models["io.k8s.api.core.v1.PodSpec"];
    let containers = &spec["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-map-keys"], serde_json::json!(["name"]));
    assert_eq!(spec["required"], serde_json::json!(["containers"]));
    assert!(containers["description"].as_str().unwrap().starts_with("List of containers"));
    let pod = &models["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
    assert!(pod["properties"]["metadata"]["allOf"][0]["$ref"].as_str().unwrap().ends_with("v1.ObjectMeta"));
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchCoreV1NamespacedPod");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|row| row["name"] == "fieldValidation"));
    let secret = &models["io.k8s.api.core.v1.Secret"]["properties"]["data"]["additionalProperties"];
    assert_eq!(secret["format"], "byte");
}

#[test]
fn the_index_names_each_document() {
    let index = parse(&write_v3_index("/openapi/v3", [("", "v1", 1), ("apps", "v1", 2)]));
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="));
    assert!(index["paths"]["api/v1"].is_object());
}

/// Reads back what old clients look for: kubectl 1.27 itself is the judge of the whole.
#[test]
fn the_protobuf_form_has_the_models() {
    let document = write_v2(&|row| row.group == "apps", &[], &Others::default());
    let bytes = write_v2_protobuf(&document);
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("io.k8s.api.apps.v1.Deployment") && holds("x-kubernetes-patch-merge-key"));
    // swagger: "2.0", then info.
    assert_eq!(bytes[..7], *b"\x0a\x032.0\x12\x15");
}

#[test]
fn other_servers_are_described_beside_ours() {
    let mut others = Others { fingerprint: 1, ..Others::default() };
    others.paths.insert("/apis/cats.example.com/v1/cats".to_owned(), serde_json::json!({"get": {}}));
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
    let theirs =
        ["com.example.Cat".to_owned(), format!("{meta}.ObjectMeta"), format!("{meta}.Time"), format!("{meta}.Strange")];
    for name in &theirs {
        others.definitions.insert(name.clone(), serde_json::json!({"description": "theirs"}));
    }
    let document = v2_document("application/json", &[], &others);
    assert_ne!(document.etag, v2_document("application/json", &[], &Others::default()).etag);
    let text = String::from_utf8(document.body.to_vec()).unwrap();
    let said = parse(text.as_bytes());
    assert!(said["paths"]["/apis/cats.example.com/v1/cats"]["get"].is_object());
    for (name, is_theirs) in theirs.iter().zip([true, false, false, true]) {
        assert_eq!(said["definitions"][name]["description"] == "theirs", is_theirs, "{name}");
        assert_eq!(text.matches(&format!("{name:?}:")).count(), 1, "{name}");
    }
    assert!(v2_document(V2_PROTOBUF, &[], &others).body.windows(15).any(|window| window == b"com.example.Cat"));
}

#[test]
fn documents_come_in_the_form_asked_for() {
    let plain = v2_document("application/json", &[], &Others::default());
    let old = v2_document(&format!("{V2_PROTOBUF}, */*"), &[], &Others::default());
    assert_eq!((plain.media_type, old.media_type), ("application/json", V2_PROTOBUF_ANSWER));
    assert_ne!(plain.etag, old.etag);
    assert!(plain.body.starts_with(b"{\"swagger\":\"2.0\"") && old.body.starts_with(b"\x0a\x032.0"));
    assert!(parse(&v3_index([]).body)["paths"]["apis/apps/v1"].is_object());
    assert!(v3_document("apps", "v1").is_some() && v3_document("apps", "v9").is_none());
}
