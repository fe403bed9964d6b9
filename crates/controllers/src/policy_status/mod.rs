//! Says in the status of validating admission policies what is wrong with their expressions, were the
//! objects they are about of the types that are served: warnings, as the policies are enforced anyway.

#[cfg(test)]
mod tests;
mod types;

use crate::action::{Action, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key, Projection};
use expressions::admission::{Sight, environment};
use expressions::{Environment, Type, compile};
use meta::GroupVersionKind;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "validatingadmissionpolicy-status-controller",
    identity: "validatingadmissionpolicy-status-controller",
    component: "validatingadmissionpolicy-status-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// Upstream's number.
const MAX_TYPES: usize = 10;

/// Which state of a policy was looked at last.
struct PolicyView {
    generation: i64,
    observed: i64,
}

impl Projection for PolicyView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Numbers {
            generation: i64,
            observed_generation: i64,
        }
        #[derive(Deserialize)]
        struct Policy {
            #[serde(default)]
            metadata: Numbers,
            #[serde(default)]
            status: Numbers,
        }
        let policy: Policy = serde_json::from_slice(object)?;
        Ok(PolicyView { generation: policy.metadata.generation, observed: policy.status.observed_generation })
    }
}

/// What a definition defines; its schemas are read when they are asked for.
pub(super) struct DefinitionView {
    group: String,
    kind: String,
    plural: String,
}

impl Projection for DefinitionView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Names {
            plural: String,
            kind: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Spec {
            group: String,
            names: Names,
        }
        #[derive(Deserialize)]
        struct Definition {
            #[serde(default)]
            spec: Spec,
        }
        let Definition { spec } = serde_json::from_slice(object)?;
        Ok(DefinitionView { group: spec.group, kind: spec.names.kind, plural: spec.names.plural })
    }
}

struct Checker {
    policies: Arc<Cache<PolicyView>>,
    definitions: Arc<Cache<DefinitionView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let policies = rig.cache::<PolicyView>(&resource::VALIDATING_POLICIES);
    let definitions = rig.cache_if_served::<DefinitionView>(&resource::CUSTOM_RESOURCE_DEFINITIONS);
    rig.on_itself(&policies);
    Box::new(Checker { policies, definitions })
}

impl Room for Checker {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let new = |policy: &Arc<Item<PolicyView>>| policy.view.observed < policy.view.generation;
        let Some(policy) = self.policies.get_key(key).filter(new) else { return Ok(Plan::nothing()) };
        let object: Value = policy.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let warnings = self.warnings(&object["spec"]);
        let warnings = if warnings.is_empty() { Value::Null } else { Value::Array(warnings) };
        let status = json!({
            "observedGeneration": policy.view.generation,
            "typeChecking": {"expressionWarnings": warnings},
        });
        Ok(Plan::of(vec![Action::status(&resource::VALIDATING_POLICIES, key, status)]))
    }
}

impl Checker {
    fn warnings(&self, spec: &Value) -> Vec<Value> {
        let kinds = self.kinds(&spec["matchConstraints"]);
        let typed: Vec<(GroupVersionKind, Type)> = kinds
            .into_iter()
            .filter_map(|kind| types::of(&kind, &self.definitions).map(|found| (kind, found)))
            .collect();
        let params = &spec["paramKind"];
        let mut warnings = Vec::new();
        for (at, validation) in list(&spec["validations"]).iter().enumerate() {
            for field in ["expression", "messageExpression"] {
                let source = validation[field].as_str().unwrap_or_default();
                if source.is_empty() {
                    continue;
                }
                let told: Vec<String> = typed
                    .iter()
                    .filter_map(|(kind, object)| {
                        let environment = surroundings(object, params, &spec["variables"]);
                        let error = compile(source, &environment, &[]).err()?.to_string();
                        let error = error.strip_prefix("compilation failed: ").unwrap_or(&error);
                        Some(format!("{kind}: {error}"))
                    })
                    .collect();
                if !told.is_empty() {
                    let place = format!("spec.validations[{at}].{field}");
                    warnings.push(json!({"fieldRef": place, "warning": told.join("\n")}));
                }
            }
        }
        warnings
    }

    /// The kinds that rules name outright, without stars.
    fn kinds(&self, constraints: &Value) -> Vec<GroupVersionKind> {
        let mut kinds: Vec<GroupVersionKind> = Vec::new();
        for rule in list(&constraints["resourceRules"]) {
            let texts = |field: &str| list(&rule[field]).iter().filter_map(Value::as_str).collect::<Vec<_>>();
            for group in texts("apiGroups") {
                for version in texts("apiVersions") {
                    for plural in texts("resources") {
                        let kind = types::kind(group, version, plural, &self.definitions);
                        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
                    }
                }
            }
        }
        kinds.sort_by_key(ToString::to_string);
        kinds.truncate(MAX_TYPES);
        kinds
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What expressions may name where the object is of this type.
fn surroundings(object: &Type, params: &Value, variables: &Value) -> Environment {
    let sight = Sight { params: params.is_object(), authorizer: true };
    let mut environment = environment(sight).with("object", object.clone()).with("oldObject", object.clone());
    for variable in list(variables) {
        let text = |field: &str| variable[field].as_str().unwrap_or_default();
        let kind = compile(text("expression"), &environment, &[]).map_or(Type::DYN, |program| program.kind().clone());
        environment.declare(&format!("variables.{}", text("name")), kind);
    }
    environment
}
