//! The conditions of a definition: whether its names are free, and whether it is served.

use crate::object::timestamp;
use base::Timestamp;
use serde_json::{Value, json};
use strategy::custom::Definition;
use strategy::custom::definition::Names;

/// Whether a definition has the status that it should have. Names once accepted stay its own, so the
/// others of its group need no look.
pub fn is_settled(definition: &Definition) -> bool {
    definition.is_true(NAMES_ACCEPTED)
        && definition.is_true(super::ESTABLISHED)
        && definition.spec.names == definition.status.accepted_names
        && !is_protected(&definition.spec.group)
}

/// The status that a definition should have, `others` being the definitions of its group.
pub fn settled(object: &Value, definition: &Definition, others: &[&Definition], now: Timestamp) -> Value {
    let (accepted, verdict) = judge(definition, others);
    let mut status = object.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    status["acceptedNames"] = names_value(&accepted);
    let (state, reason, message) = match &verdict {
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        Some((reason, message)) => ("False", *reason, message.clone()),
    };
    set(&mut status, NAMES_ACCEPTED, (state, reason, &message), now);
    if let Some(verdict) = approval(definition, object) {
        let (state, reason, message) = &verdict;
        set(&mut status, "KubernetesAPIApprovalPolicyConformant", (state, reason, message), now);
    }
    let was_established = definition.is_true(super::ESTABLISHED);
    match (&verdict, was_established) {
        (None, _) => {
            let why = "the initial names have been accepted";
            set(&mut status, super::ESTABLISHED, ("True", "InitialNamesAccepted", why), now);
        }
        // Once established it stays so, under the names it has.
        (Some(_), true) => {}
        (Some(_), false) => {
            set(&mut status, super::ESTABLISHED, ("False", "NotAccepted", "not all names are accepted"), now);
        }
    }
    status
}

const NAMES_ACCEPTED: &str = "NamesAccepted";
const APPROVAL: &str = "api-approved.kubernetes.io";
const PROPOSALS: &str = "https://github.com/kubernetes/enhancements/pull/1111";

/// Whether who defines a kind in a group of the project itself has its word for it; None: another's group.
fn approval(definition: &Definition, object: &Value) -> Option<(&'static str, &'static str, String)> {
    let group = definition.spec.group.as_str();
    if !is_protected(group) {
        return None;
    }
    let given = object["metadata"]["annotations"][APPROVAL].as_str().unwrap_or_default();
    let wanted = format!("protected groups must have approval annotation {APPROVAL:?}");
    Some(if given.is_empty() {
        ("False", "MissingAnnotation", format!("{wanted}, see {PROPOSALS}"))
    } else if given.starts_with("unapproved") {
        ("False", "UnapprovedAnnotation", format!("not approved: {given:?}"))
    } else if given.contains("://") {
        ("True", "ApprovedAnnotation", format!("approved in {given}"))
    } else {
        let why = format!("{wanted} with either a URL or a reason starting with \"unapproved\", see {PROPOSALS}");
        ("False", "InvalidAnnotation", why)
    })
}

/// Of the project itself.
fn is_protected(group: &str) -> bool {
    let is_in = |domain: &str| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_in("k8s.io") || is_in("kubernetes.io")
}

/// Sets a condition; its time of change moves with its status only.
pub fn set(status: &mut Value, kind: &str, (state, reason, message): (&str, &str, &str), now: Timestamp) {
    let Some(fields) = status.as_object_mut() else { return };
    let slot = fields.entry("conditions").or_insert(Value::Null);
    if !slot.is_array() {
        *slot = json!([]);
    }
    let Some(conditions) = slot.as_array_mut() else { return };
    let new = |since: Value| json!({"type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": since});
    match conditions.iter_mut().find(|condition| condition["type"] == kind) {
        Some(condition) => {
            let since = match condition["status"] == state {
                true => condition["lastTransitionTime"].clone(),
                false => timestamp(now).into(),
            };
            *condition = new(since);
        }
        None => conditions.push(new(timestamp(now).into())),
    }
}

/// The names that can be had, and the first that cannot.
fn judge(definition: &Definition, others: &[&Definition]) -> (Names, Option<(&'static str, String)>) {
    let wanted = &definition.spec.names;
    let mut accepted = definition.status.accepted_names.clone();
    let mut verdict: Option<(&'static str, String)> = None;
    let resources: Vec<&str> = others
        .iter()
        .flat_map(|other| {
            let names = &other.status.accepted_names;
            [&names.plural, &names.singular].into_iter().chain(&names.short_names)
        })
        .map(String::as_str)
        .collect();
    let kinds: Vec<&str> = others
        .iter()
        .flat_map(|other| [&other.status.accepted_names.kind, &other.status.accepted_names.list_kind])
        .map(String::as_str)
        .collect();
    let mut check = |name: &str, taken: &[&str], reason: &'static str| {
        let free = name.is_empty() || !taken.contains(&name);
        if !free && verdict.is_none() {
            verdict = Some((reason, format!("{name:?} is already in use")));
        }
        free
    };
    if check(&wanted.plural, &resources, "PluralConflict") {
        accepted.plural.clone_from(&wanted.plural);
    }
    if check(&wanted.singular, &resources, "SingularConflict") {
        accepted.singular.clone_from(&wanted.singular);
    }
    // As long as they are as they were accepted, short names and categories need no new look.
    if wanted.short_names.iter().all(|name| check(name, &resources, "ShortNamesConflict")) {
        accepted.short_names.clone_from(&wanted.short_names);
    }
    if check(&wanted.kind, &kinds, "KindConflict") {
        accepted.kind.clone_from(&wanted.kind);
    }
    if check(&wanted.list_kind, &kinds, "ListKindConflict") {
        accepted.list_kind.clone_from(&wanted.list_kind);
    }
    accepted.categories.clone_from(&wanted.categories);
    (accepted, verdict)
}

fn names_value(names: &Names) -> Value {
    let mut value = json!({"plural": names.plural, "kind": names.kind});
    for (field, text) in [("singular", &names.singular), ("listKind", &names.list_kind)] {
        if !text.is_empty() {
            value[field] = text.as_str().into();
        }
    }
    for (field, list) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        if !list.is_empty() {
            value[field] = json!(list);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, kind: &str, short: &str) -> (Value, Definition) {
        let value = json!({"metadata": {"name": format!("{name}.example.com")},
            "spec": {"group": "example.com", "names": {"plural": name, "singular": name, "kind": kind,
                "listKind": format!("{kind}List"), "shortNames": [short]}}});
        let definition = Definition::read(value.to_string().as_bytes()).unwrap();
        (value, definition)
    }

    #[test]
    fn groups_of_the_project_need_its_word() {
        let (mut value, mut cat) = definition("cats", "Cat", "c");
        assert_eq!(approval(&cat, &value), None);
        cat.spec.group = "x.k8s.io".to_owned();
        for (word, state, reason) in [
            ("", "False", "MissingAnnotation"),
            ("unapproved, just trying", "False", "UnapprovedAnnotation"),
            ("https://github.com/kubernetes/kubernetes/pull/1", "True", "ApprovedAnnotation"),
            ("yes", "False", "InvalidAnnotation"),
        ] {
            value["metadata"]["annotations"] = json!({APPROVAL: word});
            let (told, why, _) = approval(&cat, &value).unwrap();
            assert_eq!((told, why), (state, reason), "{word}");
        }
    }

    #[test]
    fn free_names_are_accepted_and_taken_ones_told() {
        let now = Timestamp::UNIX_EPOCH;
        let (cats, cat) = definition("cats", "Cat", "c");
        let status = settled(&cats, &cat, &[], now);
        let condition =
            |status: &Value, at: usize, field: &str| status["conditions"][at][field].as_str().unwrap().to_owned();
        assert_eq!(condition(&status, 0, "reason"), "NoConflicts");
        assert_eq!(condition(&status, 1, "message"), "the initial names have been accepted");
        let mut first = cats.clone();
        first["status"] = status;
        let first = Definition::read(first.to_string().as_bytes()).unwrap();
        assert!(is_settled(&first) && !is_settled(&cat));
        let (cows, cow) = definition("cows", "Cow", "c");
        let status = settled(&cows, &cow, &[&first], now);
        assert_eq!(condition(&status, 0, "reason"), "ShortNamesConflict");
        assert_eq!(condition(&status, 0, "message"), "\"c\" is already in use");
        assert_eq!(condition(&status, 1, "status"), "False");
        assert_eq!(
            status["acceptedNames"],
            json!({"plural": "cows", "singular": "cows", "kind": "Cow", "listKind": "CowList"})
        );
    }
}
