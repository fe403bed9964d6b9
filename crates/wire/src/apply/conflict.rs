//! Conflicts between managers, in upstream's words.

use super::fieldset::FieldSet;
use super::managers::Entry;
use std::collections::BTreeMap;

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// As it is printed: `"kubectl" using apps/v1`.
    pub manager: String,
    /// `.spec.replicas`
    pub path: String,
}

/// A manager as upstream names it in messages.
fn printed(entry: &Entry<'_>) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if !entry.applied {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}

pub(super) fn conflicts(entry: &Entry<'_>, fields: &FieldSet<'_>) -> Vec<Conflict> {
    let manager = printed(entry);
    fields.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }).collect()
}

pub(super) fn message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.path);
    }
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
