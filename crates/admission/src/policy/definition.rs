//! Policies and bindings, read once and compiled.

use crate::cel::{Conditions, Expression, Variable, variables, with_variables};
use crate::matching::{Constraint, selector, text, texts};
use expressions::admission::Sight;
use expressions::{JSON_PATCH, OBJECT, Type};
use meta::labels::Selector;
use serde_json::Value;

#[derive(Debug)]
pub(super) struct Policy {
    pub name: String,
    /// `failurePolicy: Ignore`
    pub ignores_failure: bool,
    pub constraint: Constraint,
    /// apiVersion and kind of what bindings may refer to.
    pub param_kind: Option<(String, String)>,
    pub variables: Vec<Variable>,
    pub conditions: Conditions,
    pub validations: Vec<Validation>,
    pub annotations: Vec<(String, Expression)>,
    pub mutations: Vec<Mutation>,
    /// Looked at again where others changed the object after it.
    pub reinvoked: bool,
}

#[derive(Debug)]
pub(super) struct Validation {
    pub expression: Expression,
    pub message: String,
    pub message_expression: Option<Expression>,
    pub reason: String,
}

#[derive(Debug)]
pub(super) enum Mutation {
    Apply(Expression),
    Patch(Expression),
}

#[derive(Debug)]
pub(super) struct Binding {
    pub name: String,
    pub policy: String,
    /// None: whatever the policy is about.
    pub constraint: Option<Constraint>,
    pub params: Option<ParamRef>,
    /// As they are written: Deny, Warn, Audit.
    pub actions: Vec<String>,
}

#[derive(Debug)]
pub(super) struct ParamRef {
    pub name: String,
    pub namespace: String,
    pub selector: Option<Selector>,
    /// `parameterNotFoundAction: Allow`
    pub may_be_missing: bool,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Policy {
    pub fn read(policy: &Value) -> Policy {
        let spec = &policy["spec"];
        let kind = &spec["paramKind"];
        let param_kind = kind.is_object().then(|| (text(kind, "apiVersion").to_owned(), text(kind, "kind").to_owned()));
        let sight = Sight { params: param_kind.is_some(), authorizer: true };
        let mutates = !list(&spec["mutations"]).is_empty();
        let variables = variables(&spec["variables"], sight, mutates);
        let environment = with_variables(sight, &variables);
        // What is said to the client does not depend on what he may do.
        let messages = with_variables(Sight { authorizer: false, ..sight }, &variables);
        let validation = |one: &Value| Validation {
            expression: Expression::new(text(one, "expression"), &environment, &[Type::Bool]),
            message: text(one, "message").trim().to_owned(),
            message_expression: Some(text(one, "messageExpression"))
                .filter(|source| !source.is_empty())
                .map(|source| Expression::new(source, &messages, &[Type::STRING])),
            reason: text(one, "reason").to_owned(),
        };
        let annotation = |one: &Value| {
            let value = Expression::new(text(one, "valueExpression"), &environment, &[Type::STRING, Type::Null]);
            (text(one, "key").to_owned(), value)
        };
        let building = environment.clone().building();
        let mutation = |one: &Value| match text(one, "patchType") {
            "JSONPatch" => {
                let wanted = Type::list(Type::built(JSON_PATCH));
                Mutation::Patch(Expression::new(text(&one["jsonPatch"], "expression"), &building, &[wanted]))
            }
            _ => {
                let source = text(&one["applyConfiguration"], "expression");
                Mutation::Apply(Expression::new(source, &building, &[Type::built(OBJECT)]))
            }
        };
        Policy {
            name: text(&policy["metadata"], "name").to_owned(),
            ignores_failure: text(spec, "failurePolicy") == "Ignore",
            constraint: Constraint::read(&spec["matchConstraints"], "resourceRules"),
            conditions: Conditions::read(spec, sight, &variables),
            validations: list(&spec["validations"]).iter().map(validation).collect(),
            annotations: list(&spec["auditAnnotations"]).iter().map(annotation).collect(),
            mutations: list(&spec["mutations"]).iter().map(mutation).collect(),
            reinvoked: text(spec, "reinvocationPolicy") == "IfNeeded",
            param_kind,
            variables,
        }
    }
}

impl Binding {
    pub fn read(binding: &Value) -> Binding {
        let spec = &binding["spec"];
        let params = &spec["paramRef"];
        let resources = &spec["matchResources"];
        Binding {
            name: text(&binding["metadata"], "name").to_owned(),
            policy: text(spec, "policyName").to_owned(),
            constraint: resources
                .is_object()
                .then(|| Constraint { narrows: true, ..Constraint::read(resources, "resourceRules") }),
            params: params.is_object().then(|| ParamRef {
                name: text(params, "name").to_owned(),
                namespace: text(params, "namespace").to_owned(),
                selector: params["selector"].is_object().then(|| selector(&params["selector"])),
                may_be_missing: text(params, "parameterNotFoundAction") == "Allow",
            }),
            actions: texts(&spec["validationActions"]),
        }
    }
}
