//! Webhooks, admission policies and flow control.

use super::cells::{NONE, UNSET, age, at, at_or, condition, len, name, number, number_or, selector};
use super::{AGE, NAME, Printer, integer, text};
use crate::tree::text as text_of;
use base::Timestamp;
use serde_json::Value;

const GROUP: &str = "admissionregistration.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";

pub const MUTATING_WEBHOOKS: Printer = Printer {
    group: GROUP,
    kind: "MutatingWebhookConfiguration",
    columns: &[NAME, integer("Webhooks"), AGE],
    cells: webhooks,
};

pub const VALIDATING_WEBHOOKS: Printer = Printer {
    group: GROUP,
    kind: "ValidatingWebhookConfiguration",
    columns: MUTATING_WEBHOOKS.columns,
    cells: webhooks,
};

pub const VALIDATING_POLICY: Printer = Printer {
    group: GROUP,
    kind: "ValidatingAdmissionPolicy",
    columns: &[NAME, integer("Validations"), text("ParamKind"), AGE],
    cells: |policy, now| {
        vec![name(policy), len(policy, "/spec/validations").into(), param_kind(policy), age(policy, now)]
    },
};

pub const MUTATING_POLICY: Printer = Printer {
    group: GROUP,
    kind: "MutatingAdmissionPolicy",
    columns: &[NAME, integer("Mutations"), text("ParamKind"), AGE],
    cells: |policy, now| {
        vec![name(policy), len(policy, "/spec/mutations").into(), param_kind(policy), age(policy, now)]
    },
};

pub const VALIDATING_POLICY_BINDING: Printer = Printer {
    group: GROUP,
    kind: "ValidatingAdmissionPolicyBinding",
    columns: &[NAME, text("PolicyName"), text("ParamRef"), AGE],
    cells: policy_binding,
};

pub const MUTATING_POLICY_BINDING: Printer = Printer {
    group: GROUP,
    kind: "MutatingAdmissionPolicyBinding",
    columns: VALIDATING_POLICY_BINDING.columns,
    cells: policy_binding,
};

pub const FLOW_SCHEMA: Printer = Printer {
    group: FLOW,
    kind: "FlowSchema",
    columns: &[
        NAME,
        text("PriorityLevel"),
        text("MatchingPrecedence"),
        text("DistinguisherMethod"),
        AGE,
        text("MissingPL"),
    ],
    cells: |schema, now| {
        let dangling = condition(schema, "Dangling");
        vec![
            name(schema),
            at_or(schema, "/spec/priorityLevelConfiguration/name", ""),
            number(schema, "/spec/matchingPrecedence").into(),
            at_or(schema, "/spec/distinguisherMethod/type", NONE),
            age(schema, now),
            if dangling.is_empty() { "?".into() } else { dangling.into() },
        ]
    },
};

pub const PRIORITY_LEVEL: Printer = Printer {
    group: FLOW,
    kind: "PriorityLevelConfiguration",
    columns: &[
        NAME,
        text("Type"),
        text("NominalConcurrencyShares"),
        text("Queues"),
        text("HandSize"),
        text("QueueLengthLimit"),
        AGE,
    ],
    cells: |level, now| {
        let queuing = |field: &str| number_or(level, &format!("/spec/limited/limitResponse/queuing/{field}"), NONE);
        vec![
            name(level),
            at_or(level, "/spec/type", ""),
            number_or(level, "/spec/limited/nominalConcurrencyShares", NONE),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
            age(level, now),
        ]
    },
};

fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), len(object, "/webhooks").into(), age(object, now)]
}

fn param_kind(policy: &Value) -> Value {
    let kind = &policy["spec"]["paramKind"];
    match kind.is_object() {
        true => format!("{}/{}", text_of(kind, "apiVersion"), text_of(kind, "kind")).into(),
        false => UNSET.into(),
    }
}

fn policy_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let parameter = &binding["spec"]["paramRef"];
    let shown = match (text_of(parameter, "name"), text_of(parameter, "namespace")) {
        ("", _) if parameter["selector"].is_object() => selector(&parameter["selector"]),
        ("", _) => UNSET.to_owned(),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![name(binding), at(binding, "/spec/policyName").into(), shown.into(), age(binding, now)]
}
