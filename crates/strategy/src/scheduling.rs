//! PriorityClass.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default_text, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const PRIORITY_CLASS: Declared = Declared::new("scheduling.k8s.io", "PriorityClass")
    .with_generation()
    .defaults(|class| default_text(class, "preemptionPolicy", "PreemptLowerPriority"))
    .validates(validate);

const SYSTEM: &[(&str, i64)] = &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const HIGHEST_OF_USERS: i64 = 1_000_000_000;

fn validate(class: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (name, value) = (text(&class["metadata"], "name"), class["value"].as_i64().unwrap_or_default());
    if name.starts_with("system-") {
        let known = SYSTEM.iter().find(|(known, _)| *known == name);
        let problem = match known {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, right)) if *right != value => Some(format!("value of {name} must be {right}")),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            );
            errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), &why));
        }
    } else if value > HIGHEST_OF_USERS {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
        errors.push(FieldError::forbidden(&Path::new("value"), &why));
    }
    let policy = text(class, "preemptionPolicy");
    check::one_of(errors, &Path::new("preemptionPolicy"), policy, &["Never", "PreemptLowerPriority"]);
    let Some(old) = old else { return };
    if old["value"].as_i64().unwrap_or_default() != value {
        errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
    }
    check::immutable(errors, &Path::new("preemptionPolicy"), &class["preemptionPolicy"], &old["preemptionPolicy"]);
}
