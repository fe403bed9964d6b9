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
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
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

/// Which state of a policy was looked at last, and which defined kinds it is about.
struct PolicyView {
    generation: i64,
    observed: i64,
    /// Group and plural of what its rules name outright and is not built in.
    defined: Vec<(String, String)>,
}

impl Projection for PolicyView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Numbers {
            generation: i64,
            observed_generation: i64,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Spec {
            match_constraints: Value,
        }
        #[derive(Deserialize)]
        struct Policy {
            #[serde(default)]
            metadata: Numbers,
            #[serde(default)]
            spec: Spec,
            #[serde(default)]
            status: Numbers,
        }
        let Policy { metadata, spec, status } = serde_json::from_slice(object)?;
        let is_defined = |[group, version, plural]: &[&str; 3]| {
            ![group, version, plural].contains(&&"*") && kinds::find(group, version, plural).is_none()
        };
        let mut defined: Vec<(String, String)> = named(&spec.match_constraints)
            .filter(is_defined)
            .map(|[group, _, plural]| (group.to_owned(), plural.to_owned()))
            .collect();
        defined.sort_unstable();
        defined.dedup();
        Ok(PolicyView { generation: metadata.generation, observed: status.observed_generation, defined })
    }
}

/// What a definition defines; its schemas are read when they are asked for.
#[derive(PartialEq)]
pub(super) struct DefinitionView {
    group: String,
    kind: String,
    plural: String,
    generation: i64,
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
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            generation: i64,
        }
        #[derive(Deserialize)]
        struct Definition {
            #[serde(default)]
            metadata: Metadata,
            #[serde(default)]
            spec: Spec,
        }
        let Definition { metadata, spec } = serde_json::from_slice(object)?;
        let Spec { group, names: Names { plural, kind } } = spec;
        Ok(DefinitionView { group, kind, plural, generation: metadata.generation })
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
    let all = Arc::downgrade(&policies);
    rig.on(&definitions, move |change, queue| {
        if let Some(policies) = all.upgrade() {
            definition_changed(&policies, change, queue);
        }
    });
    Box::new(Checker { policies, definitions })
}

/// What was said of a kind may be wrong of its next schema.
fn definition_changed(policies: &Cache<PolicyView>, change: &Change<DefinitionView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view == new.view
    {
        return;
    }
    for policy in policies.list() {
        let concerns = |one: &Arc<Item<DefinitionView>>| {
            policy.view.defined.iter().any(|(group, plural)| *group == one.view.group && *plural == one.view.plural)
        };
        if change.states().any(concerns) {
            queue.add(policy.key.clone());
        }
    }
}

impl Room for Checker {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(policy) = self.policies.get_key(key) else { return Ok(Plan::nothing()) };
        let is_new = policy.view.observed < policy.view.generation;
        if !is_new && policy.view.defined.is_empty() {
            return Ok(Plan::nothing());
        }
        let object: Value = policy.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let warnings = self.warnings(&object["spec"]);
        let warnings = if warnings.is_empty() { Value::Null } else { Value::Array(warnings) };
        if !is_new && object["status"]["typeChecking"]["expressionWarnings"] == warnings {
            return Ok(Plan::nothing());
        }
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
        for [group, version, plural] in named(constraints) {
            let kind = types::kind(group, version, plural, &self.definitions);
            kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
        }
        kinds.sort_by_key(ToString::to_string);
        kinds.truncate(MAX_TYPES);
        kinds
    }
}

/// Group, version and plural of all that rules name.
fn named(constraints: &Value) -> impl Iterator<Item = [&str; 3]> {
    fn texts<'v>(rule: &'v Value, field: &str) -> impl Iterator<Item = &'v str> {
        list(&rule[field]).iter().filter_map(Value::as_str)
    }
    list(&constraints["resourceRules"]).iter().flat_map(|rule| {
        texts(rule, "apiGroups").flat_map(move |group| {
            texts(rule, "apiVersions")
                .flat_map(move |version| texts(rule, "resources").map(move |plural| [group, version, plural]))
        })
    })
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
