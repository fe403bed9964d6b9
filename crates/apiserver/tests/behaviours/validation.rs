//! Fields that are unknown or said twice, under `fieldValidation`: of built-in kinds and of custom
//! ones with all sorts of schemas.

use crate::rig::{HOME, Raw, Rig};
use http::Method;
use serde_json::{Value, json};

const YAML: &str = "application/yaml";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

/// Sends a body as `kubectl create` does, or `kubectl apply` by the server. Bodies are texts: a
/// parsed one could say nothing twice.
async fn write(rig: &Rig, place: &str, media: &str, validation: &str, body: &str) -> Raw {
    let query = format!("fieldValidation={validation}");
    match media {
        APPLY => {
            let path = format!("{place}/it?{query}&fieldManager=test&dryRun=All&force=true");
            rig.raw(Method::PATCH, &path, &[("content-type", APPLY)], body).await
        }
        media => rig.raw(Method::POST, &format!("{place}?{query}&dryRun=All"), &[("content-type", media)], body).await,
    }
}

struct Case {
    body: String,
    /// Every complaint, in order; none: the body is good.
    wrong: &'static [&'static str],
}

/// Strict refuses with all complaints at once, and Ignore lets all pass. A parser of YAML that finds
/// something said twice reads no further, and apply has words of its own.
async fn judge(rig: &Rig, place: &str, cases: &[Case]) {
    for Case { body, wrong } in cases {
        for media in [JSON, YAML, APPLY] {
            let strict = write(rig, place, media, "Strict", body).await;
            let message = strict.body["message"].as_str().unwrap_or_default();
            if wrong.is_empty() {
                assert!(strict.status < 300, "{media} {body}: {message}");
                continue;
            }
            assert!(strict.status == 400 || (media == APPLY && strict.status > 400), "{media}: {message}");
            let is_twice = |complaint: &&&str| complaint.starts_with("duplicate");
            let stops = media != JSON && wrong.iter().any(|complaint| is_twice(&complaint));
            for complaint in wrong.iter().filter(|complaint| !stops || is_twice(complaint)) {
                let field = complaint.split('"').nth(1).unwrap();
                let last = field.rsplit(['.', ']']).next().unwrap();
                // Of YAML it is the parser that finds what is said twice.
                let exact = media == JSON || (media == YAML && complaint.starts_with("unknown"));
                let told = message.contains(if exact { complaint } else { last });
                assert!(told, "{media}: no {complaint:?} in {message:?}");
            }
            if media == JSON {
                assert!(message.ends_with(&format!("strict decoding error: {}", wrong.join(", "))), "{message}");
                let lax = write(rig, place, media, "Ignore", body).await;
                assert!(lax.status < 300, "{body}: {:?}", lax.body["message"]);
            }
        }
    }
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/home/deployments";

fn deployment(metadata: &str, spec: &str, container: &str) -> String {
    format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "it"{metadata}}},
        "spec": {{"selector": {{"matchLabels": {{"app": "nginx"}}}}{spec}, "template": {{
        "metadata": {{"labels": {{"app": "nginx"}}}},
        "spec": {{"containers": [{{"name": "nginx", "image": "nginx:latest"{container}}}]}}}}}}}}"#
    )
}

#[tokio::test]
async fn unknown_and_duplicate_fields_of_a_typed_object_are_found() {
    let rig = Rig::start().await;
    let case = |spec: &str, container: &str, wrong| Case { body: deployment("", spec, container), wrong };
    let cases = [
        case("", "", &[]),
        case(r#", "unknownField": "bar""#, "", &[r#"unknown field "spec.unknownField""#]),
        case(r#", "paused": true, "paused": false"#, "", &[r#"duplicate field "spec.paused""#]),
        case(
            "",
            r#", "unknownNested": "x", "imagePullPolicy": "Always", "imagePullPolicy": "Never""#,
            &[
                r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
                r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
            ],
        ),
    ];
    judge(&rig, DEPLOYMENTS, &cases).await;
}

#[tokio::test]
async fn unknown_metadata_fields_of_a_typed_object_are_found() {
    let rig = Rig::start().await;
    let unknown = &[r#"unknown field "metadata.unknownMeta""#];
    judge(&rig, DEPLOYMENTS, &[Case { body: deployment(r#", "unknownMeta": "foo""#, "", ""), wrong: unknown }]).await;
}

fn definition(plural: &str, schema: &Value) -> Value {
    let kind = format!("Kind{plural}");
    json!({"metadata": {"name": format!("{plural}.example.com")}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": plural, "singular": plural, "kind": kind, "listKind": format!("{kind}List")},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

fn place(plural: &str) -> String {
    format!("/apis/example.com/v1/namespaces/{HOME}/{plural}")
}

fn custom(plural: &str, metadata: &str, rest: &str) -> String {
    format!(
        r#"{{"apiVersion": "example.com/v1", "kind": "Kind{plural}", "metadata": {{"name": "it"{metadata}}}{rest}}}"#
    )
}

fn schema() -> Value {
    let cron = json!({"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"});
    let port = json!({"type": "object", "required": ["containerPort", "protocol"], "properties": {
        "containerPort": {"type": "integer"}, "hostIP": {"type": "string"}, "hostPort": {"type": "integer"},
        "name": {"type": "string"}, "protocol": {"type": "string"}}});
    let ports = json!({"type": "array", "items": port, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"]});
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"cronSpec": cron, "ports": ports}},
        "embeddedObj": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object", "properties": {"field": {"type": "string"}}}}},
    }})
}

#[tokio::test]
async fn without_a_schema_unknown_fields_are_welcome() {
    let rig = Rig::start().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    rig.establish(&definition("opens", &open)).await;
    let body = custom("opens", "", r#", "spec": {"a": null, "b": [{"c": "d"}], "foo": "foo1"}"#);
    judge(&rig, &place("opens"), &[Case { body, wrong: &[] }]).await;
}

#[tokio::test]
async fn valid_custom_resources_pass_and_extra_properties_do_not() {
    let rig = Rig::start().await;
    rig.establish(&definition("crons", &schema())).await;
    let ports = r#""ports": [{"name": "x", "containerPort": 80, "protocol": "TCP"}]"#;
    let good = format!(r#", "spec": {{"cronSpec": "* * * * */5", {ports}}}"#);
    let extra = format!(r#", "spec": {{"cronSpec": "* * * * */5", {ports}, "extraProperty": "arbitrary-value"}}"#);
    let nested = r#", "spec": {"ports": [{"containerPort": 80, "protocol": "TCP", "unknownNested": 1, "hostPort": 1,
        "hostPort": 2}]}"#;
    let cases = [
        Case { body: custom("crons", "", &good), wrong: &[] },
        Case { body: custom("crons", "", &extra), wrong: &[r#"unknown field "spec.extraProperty""#] },
        Case {
            body: custom("crons", "", nested),
            wrong: &[r#"duplicate field "spec.ports[0].hostPort""#, r#"unknown field "spec.ports[0].unknownNested""#],
        },
    ];
    judge(&rig, &place("crons"), &cases).await;
    // What breaks the schema itself is invalid however fields are looked at.
    let body = custom("crons", "", r#", "spec": {"cronSpec": "every day"}"#);
    for validation in ["Strict", "Warn", "Ignore"] {
        let refusal = write(&rig, &place("crons"), JSON, validation, &body).await;
        assert_eq!(refusal.status, 422, "{:?}", refusal.body["message"]);
    }
}

#[tokio::test]
async fn duplicates_are_found_where_unknown_fields_are_preserved() {
    let rig = Rig::start().await;
    let mut schema = schema();
    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    schema["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] = json!(true);
    rig.establish(&definition("keeps", &schema)).await;
    let twice = r#", "spec": {"unknown1": "val1", "cronSpec": "* * * * */5", "cronSpec": "* * * * */6"}"#;
    let unknown = r#", "spec": {"unknownDup": "valDup", "unknownDup": "valDup2"}, "other": {"x": 1, "x": 2}"#;
    let cases = [
        Case { body: custom("keeps", "", r#", "spec": {"unknown1": "val1"}, "other": {"x": 1}"#), wrong: &[] },
        Case { body: custom("keeps", "", twice), wrong: &[r#"duplicate field "spec.cronSpec""#] },
        Case {
            body: custom("keeps", "", unknown),
            wrong: &[r#"duplicate field "spec.unknownDup""#, r#"duplicate field "other.x""#],
        },
    ];
    judge(&rig, &place("keeps"), &cases).await;
}

#[tokio::test]
async fn unknown_metadata_is_found_in_the_root_and_in_embedded_objects() {
    let rig = Rig::start().await;
    rig.establish(&definition("holds", &schema())).await;
    let embedded = |metadata: &str| {
        format!(
            r#", "embeddedObj": {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "inner"{metadata}}},
            "spec": {{"field": "x"}}}}"#
        )
    };
    let root = &[r#"unknown field "metadata.unknownMeta""#];
    let inner = &[r#"unknown field "embeddedObj.metadata.unknownEmbeddedMeta""#];
    let (unknown, unknown_inner) = (r#", "unknownMeta": "foo""#, r#", "unknownEmbeddedMeta": "bar""#);
    let cases = [
        Case { body: custom("holds", "", &embedded("")), wrong: &[] },
        Case { body: custom("holds", unknown, &embedded("")), wrong: root },
        Case { body: custom("holds", "", &embedded(unknown_inner)), wrong: inner },
    ];
    judge(&rig, &place("holds"), &cases).await;
}
