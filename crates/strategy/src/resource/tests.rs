//! Cases of what is refused, and in which words.

use crate::find;
use crate::rules::Strategy;
use crate::tests::context;
use serde_json::{Value, json};

fn told(errors: &meta::field::ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn object(kind: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    strategy(kind).default(&mut object);
    object
}

fn strategy(kind: &str) -> &'static dyn Strategy {
    find("resource.k8s.io", kind)
}

fn refusals(kind: &str, spec: &Value) -> Vec<String> {
    told(&strategy(kind).validate_create(&object(kind, spec), &context()))
}

fn claim(exactly: Value) -> Value {
    json!({"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}})
}

#[test]
fn claims_ask_for_what_can_be_had() {
    let request = "spec.devices.requests[0]";
    let too_dear = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, \
                    device.attributes.all(d, a.matches(b + c + d)))))";
    let with = |field: &str, value: Value| {
        let mut exactly = json!({"deviceClassName": "gpu.example.com"});
        exactly[field] = value;
        claim(exactly)
    };
    for (spec, wanted) in [
        (with("count", json!(3)), vec![]),
        (with("selectors", json!([{"cel": {"expression": "device.driver == 'a'"}}])), vec![]),
        (
            json!({"devices": {"requests": [{"name": "gpu"}]}}),
            vec!["@: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (claim(json!({})), vec!["@.exactly.deviceClassName: Required value"]),
        (with("count", json!(-1)), vec!["@.exactly.count: Invalid value: -1: must be greater than zero"]),
        (
            with("allocationMode", json!("Some")),
            vec!["@.exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\""],
        ),
        (
            with("selectors", json!([{"cel": {"expression": "device.driver"}}])),
            vec![
                "@.exactly.selectors[0].cel.expression: Invalid value: \"device.driver\": must evaluate to bool or the \
                 unknown type, not string",
            ],
        ),
        (
            with("selectors", json!([{"cel": {"expression": too_dear}}])),
            vec!["@.exactly.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
        ),
        (with("selectors", json!([{}])), vec!["@.exactly.selectors[0].cel: Required value"]),
        (
            with("tolerations", json!([{"key": "k", "operator": "Exists", "value": "v"}])),
            vec!["@.exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`"],
        ),
    ] {
        let wanted: Vec<String> = wanted.iter().map(|line| line.replace('@', request)).collect();
        assert_eq!(refusals("ResourceClaim", &spec), wanted, "{spec}");
    }
}

#[test]
fn claims_name_their_own_requests() {
    let alternatives = json!([{"name": "big", "deviceClassName": "a"}, {"name": "small", "deviceClassName": "b"}]);
    let spec = |more: Value| {
        let mut devices = json!({"requests": [{"name": "gpu", "firstAvailable": alternatives}]});
        devices.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"devices": devices})
    };
    let unknown =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    for (more, wanted) in [
        (json!({"constraints": [{"requests": ["gpu/big"], "matchAttribute": "a.example.com/numa"}]}), vec![]),
        (
            json!({"constraints": [{"requests": ["gpu/none"], "matchAttribute": "numa"}]}),
            vec![
                format!("spec.devices.constraints[0].requests[0]: Invalid value: \"gpu/none\": {unknown}"),
                "spec.devices.constraints[0].matchAttribute: Invalid value: \"numa\": a fully qualified name must be a \
                 domain and a name separated by a slash"
                    .to_owned(),
            ],
        ),
        (json!({"constraints": [{}]}), vec!["spec.devices.constraints[0].matchAttribute: Required value".to_owned()]),
        (json!({"config": [{}]}), vec!["spec.devices.config[0].opaque: Required value".to_owned()]),
        (
            json!({"config": [{"opaque": {"driver": "a.example.com", "parameters": 5}}]}),
            vec![
                "spec.devices.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON \
                 object"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(refusals("ResourceClaim", &spec(more.clone())), wanted, "{more}");
    }
}

#[test]
fn slices_say_where_their_devices_are() {
    let slice = |more: Value| {
        let mut spec =
            json!({"driver": "a.example.com", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let device = |more: Value| {
        let mut device = json!({"name": "d"});
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        slice(json!({"nodeName": "n", "devices": [device]}))
    };
    for (spec, wanted) in [
        (slice(json!({"allNodes": true})), vec![]),
        (
            device(json!({"attributes": {"a": {"int": 5}, "b.example.com/v": {"version": "1.2.3-rc.1"}},
                          "capacity": {"memory": {"value": "1Gi"}}})),
            vec![],
        ),
        (
            slice(json!({})),
            vec![
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, \
                 `perDeviceNodeSelection` is required",
            ],
        ),
        (
            slice(json!({"allNodes": true, "nodeName": "n"})),
            vec![
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, \
                 `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            ],
        ),
        (
            device(json!({"attributes": {"a": {"bool": true, "int": 5}, "b": {}, "c": {"version": "1.02.3"}}})),
            vec![
                "spec.devices[0].attributes[a]: Invalid value: {\"bool\":true,\"int\":5}: exactly one value must be \
                 specified",
                "spec.devices[0].attributes[b]: Invalid value: \"\": exactly one value must be specified",
                "spec.devices[0].attributes[c].version: Invalid value: \"1.02.3\": must be a string compatible with \
                 semver.org spec 2.0.0",
            ],
        ),
        (
            device(json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]})),
            vec![
                "spec.devices[0].taints[0].effect: Unsupported value: \"PreferNoSchedule\": supported values: \
                 \"NoExecute\", \"NoSchedule\", \"None\"",
            ],
        ),
        (
            slice(json!({"nodeName": "n", "devices": [{"name": "d"}, {"name": "d"}]})),
            vec!["spec.devices[1]: Duplicate value: \"d\""],
        ),
    ] {
        assert_eq!(refusals("ResourceSlice", &spec), wanted, "{spec}");
    }
}

#[test]
fn specs_of_claims_stay_and_statuses_keep_to_them() {
    let strategy = strategy("ResourceClaim");
    let old = object("ResourceClaim", &claim(json!({"deviceClassName": "a"})));
    let mut changed = old.clone();
    changed["spec"]["devices"]["requests"][0]["exactly"]["count"] = json!(2);
    let refused = told(&strategy.validate_update(&changed, &old, &context()));
    assert!(refused.len() == 1 && refused[0].ends_with(": field is immutable"), "{refused:?}");
    let result = |request: &str| json!({"request": request, "driver": "a.example.com", "pool": "p", "device": "d"});
    let allocation = |request: &str| json!({"devices": {"results": [result(request)]}});
    let pod = json!({"resource": "pods", "name": "p", "uid": "u"});
    for (before, status, wanted) in [
        (json!({}), json!({"allocation": allocation("gpu"), "reservedFor": [pod]}), vec![]),
        (
            json!({}),
            json!({"reservedFor": [pod]}),
            vec!["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        (
            json!({}),
            json!({"allocation": allocation("gpu"), "reservedFor": [pod, pod]}),
            vec!["status.reservedFor[1]: Duplicate value: \"u\""],
        ),
        (
            json!({}),
            json!({"allocation": allocation("gpu"),
                   "devices": [{"driver": "a.example.com", "pool": "p", "device": "other"}]}),
            vec![
                "status.devices[0]: Invalid value: \"a.example.com/p/other\": must be an allocated device in the claim",
            ],
        ),
        (json!({"allocation": allocation("gpu")}), json!({}), vec![]),
    ] {
        let [mut old, mut new] = [old.clone(), old.clone()];
        old["status"] = before;
        new["status"] = status;
        assert_eq!(told(&strategy.validate_status_update(&new, &old, &context())), wanted, "{new}");
    }
    let mut other = old.clone();
    other["status"] = json!({"allocation": allocation("none")});
    let refused = told(&strategy.validate_status_update(&other, &old, &context()));
    assert!(refused[0].starts_with("status.allocation.devices.results[0].request: Invalid value: \"none\""));
}

#[test]
fn what_was_said_of_a_lost_device_goes_with_it() {
    let device = json!({"driver": "a.example.com", "pool": "p", "device": "d"});
    let mut old = object("ResourceClaim", &claim(json!({"deviceClassName": "a"})));
    old["status"] = json!({"allocation": {"devices": {"results": [device]}}, "devices": [device]});
    let mut new = old.clone();
    new["status"].as_object_mut().unwrap().remove("allocation");
    strategy("ResourceClaim").prepare_status_update(&mut new, &old, &context());
    assert_eq!(new["status"], json!({}));
}

#[test]
fn a_taint_says_since_when_it_has_its_effect() {
    let now = meta::time::format(context().now);
    let before = "2020-01-01T00:00:00Z";
    let rule = |effect: &str, at: &str| {
        let mut taint = json!({"key": "k", "effect": effect});
        if !at.is_empty() {
            taint["timeAdded"] = json!(at);
        }
        object("DeviceTaintRule", &json!({"taint": taint}))
    };
    let old = rule("None", before);
    for (new, wanted) in [
        (rule("None", before), before),
        (rule("NoExecute", before), now.as_str()),
        (rule("NoExecute", "2021-01-01T00:00:00Z"), "2021-01-01T00:00:00Z"),
        (rule("None", ""), now.as_str()),
    ] {
        let mut new = new;
        strategy("DeviceTaintRule").prepare_update(&mut new, &old, &context());
        assert_eq!(new["spec"]["taint"]["timeAdded"], *wanted, "{new}");
    }
    let slice = |taint: Value| object("ResourceSlice", &json!({"devices": [{"name": "d", "taints": [taint]}]}));
    let mut new = slice(json!({"key": "k", "effect": "NoExecute"}));
    strategy("ResourceSlice").prepare_update(&mut new, &slice(Value::Null), &context());
    assert_eq!(new["spec"]["devices"][0]["taints"][0]["timeAdded"], *now);
}
