//! Pods that come from a node's own files: read, defaulted and judged as if they had come in a
//! request, without a server.

use meta::User;
use serde_json::Value;
use strategy::Context;
use wire::decode::Strictness;

/// The Pod that a YAML or JSON text is.
///
/// # Errors
/// Why it is none, or which rules it breaks.
pub fn pod(text: &str) -> Result<Value, String> {
    let value = wire::yaml::parse(text).map_err(|error| error.to_string())?;
    let (version, kind) = (&value["apiVersion"], &value["kind"]);
    if version != "v1" || kind != "Pod" {
        return Err(format!("a v1 Pod is wanted, and this is {version} {kind}"));
    }
    let schema = kinds::schema();
    let id = kinds::type_of("", "v1", "Pod").ok_or("pods are not known here")?;
    let (mut pod, _) =
        wire::decode::from_value(value, schema, id, Strictness::Strict).map_err(|error| error.to_string())?;
    wire::defaults::apply_declared(&mut pod, schema, id);
    let rules = strategy::find("", "Pod");
    rules.default(&mut pod);
    let nobody = User::default();
    let context = Context {
        now: base::Timestamp::UNIX_EPOCH,
        user_name: &nobody.name,
        user_uid: &nobody.uid,
        user_groups: &nobody.groups,
        user_extra: &nobody.extra,
        subresource: "",
    };
    rules.prepare_create(&mut pod, &context);
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let mut wrong: Vec<String> = rules
        .validate_name(name, false)
        .into_iter()
        .map(|why| format!("metadata.name: Invalid value: {why}"))
        .collect();
    wrong.extend(rules.validate_create(&pod, &context).iter().map(ToString::to_string));
    if wrong.is_empty() { Ok(pod) } else { Err(wrong.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_defaulted_and_judged() {
        let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";
        let made = pod(&format!("{head}spec:\n  containers:\n  - {{name: c, image: i}}\n")).unwrap();
        assert_eq!(made["spec"]["restartPolicy"], "Always");
        assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
        for (text, expected) in [
            ("a: [", ""),
            ("apiVersion: v1\nkind: Service\nmetadata: {name: a}", "a v1 Pod is wanted"),
            (format!("{head}spec: {{containers: [], wrong: 1}}").as_str(), "unknown field \"spec.wrong\""),
            (format!("{head}spec: {{containers: []}}").as_str(), "spec.containers: Required value"),
            ("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, image: i}]}", "metadata.name"),
        ] {
            let refused = pod(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
