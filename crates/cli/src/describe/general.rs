//! The layout of kinds without a page of their own: every field by its name in words.

use super::events::events;
use super::page::{Page, plain};
use super::{Subject, Written};
use serde_json::{Map, Value};

pub fn object<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.head(object);
        let mut rest = object.clone();
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            for shown in ["managedFields", "name", "namespace", "labels", "annotations"] {
                metadata.remove(shown);
            }
        }
        fields(page, 0, rest.as_object());
        events(subject, page).await
    })
}

fn fields(page: &mut Page, level: usize, map: Option<&Map<String, Value>>) {
    let mut sorted: Vec<_> = map.into_iter().flatten().collect();
    sorted.sort_by_key(|(name, _)| (*name).clone());
    for (name, value) in sorted {
        let label = label(name);
        match value {
            Value::Object(inner) => {
                page.line(level, format!("{label}:"));
                fields(page, level + 1, Some(inner));
            }
            Value::Array(list) => {
                page.line(level, format!("{label}:"));
                list.iter().for_each(|item| element(page, level + 1, item));
            }
            scalar => {
                let text = if scalar.is_null() { "<nil>".to_owned() } else { plain(scalar) };
                page.field(level, &label, text);
            }
        }
    }
}

fn element(page: &mut Page, level: usize, item: &Value) {
    match item {
        Value::Object(map) => fields(page, level, Some(map)),
        Value::Array(list) => list.iter().for_each(|inner| element(page, level + 1, inner)),
        scalar => page.line(level, plain(scalar)),
    }
}

/// `lastTransitionTime` is `Last Transition Time`, `podCIDR` is `Pod CIDR`.
fn label(name: &str) -> String {
    if !name.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
        return name.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let before_upper = at > 0 && chars[at - 1].is_uppercase();
        // A run of capitals stays together; its last one belongs to the word it begins.
        let begins_word =
            c.is_uppercase() && (!before_upper || chars.get(at + 1).is_some_and(|next| next.is_lowercase()));
        match words.last_mut() {
            Some(word) if !begins_word => word.push(*c),
            _ => words.push(c.to_string()),
        }
    }
    let shown = |word: &String| match word.to_lowercase().as_str() {
        "api" | "url" | "uid" | "guid" => word.to_uppercase(),
        _ => {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        }
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words() {
        let rows = [
            ("apiVersion", "API Version"),
            ("creationTimestamp", "Creation Timestamp"),
            ("podCIDR", "Pod CIDR"),
            ("uid", "UID"),
            ("kind", "Kind"),
            ("a.b/c", "a.b/c"),
        ];
        for (name, expected) in rows {
            assert_eq!(label(name), expected);
        }
    }
}
