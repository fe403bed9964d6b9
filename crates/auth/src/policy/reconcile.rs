//! Bringing a stored role or binding up to the bootstrap policy without taking away what an
//! administrator added.

use serde_json::Value;

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// What is to be done with one object of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    UpToDate,
    Create,
    /// Write this in its place.
    Update(Value),
    /// A binding to another role, which cannot be changed: delete it, then create.
    Recreate,
}

/// Compares `wanted`, of the bootstrap policy, with what is stored. Rules and subjects are added and
/// never removed; an object whose autoupdate annotation is "false" is left alone.
pub fn reconcile(stored: Option<&Value>, wanted: &Value) -> Reconciled {
    let Some(stored) = stored else { return Reconciled::Create };
    if stored["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return Reconciled::UpToDate;
    }
    let reference = |object: &Value, key: &str| object["roleRef"][key].clone();
    if ["kind", "name"].iter().any(|key| reference(stored, key) != reference(wanted, key)) {
        return Reconciled::Recreate;
    }
    let mut updated = stored.clone();
    for key in ["labels", "annotations"] {
        for (name, value) in wanted["metadata"][key].as_object().into_iter().flatten() {
            updated["metadata"][key][name] = value.clone();
        }
    }
    add_missing(&mut updated["subjects"], &wanted["subjects"]);
    match wanted.get("aggregationRule") {
        Some(rule) => {
            let selectors = "clusterRoleSelectors";
            add_missing(&mut updated["aggregationRule"][selectors], &rule[selectors]);
        }
        None => add_missing_rules(&mut updated["rules"], &wanted["rules"]),
    }
    // Asking for absent keys above has put nulls there.
    if let Some(fields) = updated.as_object_mut() {
        fields.retain(|key, value| !value.is_null() || stored.get(key).is_some());
    }
    if updated == *stored { Reconciled::UpToDate } else { Reconciled::Update(updated) }
}

fn add_missing(list: &mut Value, wanted: &Value) {
    let Some(wanted) = wanted.as_array() else { return };
    let present = list.as_array().cloned().unwrap_or_default();
    let missing: Vec<Value> = wanted.iter().filter(|item| !present.contains(item)).cloned().collect();
    if !missing.is_empty() {
        *list = Value::Array(present.into_iter().chain(missing).collect());
    }
}

/// Rules count by what they allow, however they are written.
fn add_missing_rules(list: &mut Value, wanted: &Value) {
    let held = crate::rbac::rules_in(list);
    let wanted = crate::rbac::rules_in(wanted);
    let Err(missing) = crate::rbac::covers(&held, &wanted) else { return };
    let mut rules = list.as_array().cloned().unwrap_or_default();
    rules.extend(missing.iter().filter_map(|rule| serde_json::to_value(rule).ok()));
    *list = Value::Array(rules);
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap_policy;
    use super::*;
    use serde_json::json;

    fn policy(kind: &str, name: &str) -> Value {
        let all = bootstrap_policy();
        all.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn the_policy_itself_is_up_to_date() {
        for object in bootstrap_policy() {
            assert_eq!(reconcile(Some(&object), &object), Reconciled::UpToDate);
        }
        let mut filled = policy("ClusterRole", "admin");
        filled["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(reconcile(Some(&filled), &policy("ClusterRole", "admin")), Reconciled::UpToDate);
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_more_stays() {
        let wanted = policy("ClusterRole", "system:node-proxier");
        let mut stored = wanted.clone();
        stored["rules"] = json!([{"verbs": ["*"], "apiGroups": [""], "resources": ["*"]}]);
        stored["metadata"]["labels"] = json!({"mine": "too"});
        let Reconciled::Update(updated) = reconcile(Some(&stored), &wanted) else { panic!() };
        assert_eq!(
            updated["metadata"]["labels"],
            json!({"kubernetes.io/bootstrapping": "rbac-defaults", "mine": "too"})
        );
        let rules = crate::rbac::rules_in(&updated["rules"]);
        assert!(crate::rbac::covers(&rules, &crate::rbac::rules_in(&wanted["rules"])).is_ok());
        assert_eq!(rules[0].verbs, ["*"]);
        assert_eq!(reconcile(Some(&updated), &wanted), Reconciled::UpToDate);

        stored["metadata"]["annotations"][AUTOUPDATE] = json!("false");
        assert_eq!(reconcile(Some(&stored), &wanted), Reconciled::UpToDate);
        assert_eq!(reconcile(None, &wanted), Reconciled::Create);

        let wanted = policy("ClusterRoleBinding", "system:node-proxier");
        let mut stored = wanted.clone();
        stored["subjects"] = json!([{"kind": "User", "name": "me"}]);
        let Reconciled::Update(updated) = reconcile(Some(&stored), &wanted) else { panic!() };
        assert_eq!(updated["subjects"].as_array().unwrap().len(), 2);
        stored["roleRef"]["name"] = json!("other");
        assert_eq!(reconcile(Some(&stored), &wanted), Reconciled::Recreate);
    }
}
