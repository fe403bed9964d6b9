//! The `fieldPath` of a rule: `.a.b['c.d']`, of fields that the schema at the rule's place has.

use serde_json::Value;

/// Without the leading dot; None where there is no path.
pub fn normalized(path: &str) -> Option<String> {
    let path = path.trim();
    (!path.is_empty()).then(|| path.strip_prefix('.').unwrap_or(path).to_owned())
}

/// # Errors
/// What is wrong with the path, in upstream's words.
pub fn check(path: &str, schema: &Value) -> Result<(), String> {
    let mut schema = schema;
    let mut rest = path.trim();
    if rest.is_empty() {
        return Err("path is empty".to_owned());
    }
    while !rest.is_empty() {
        let (name, after) = step(rest)?;
        let missing = || "does not refer to a valid field".to_owned();
        schema = match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(properties), _) => properties.get(&name).ok_or_else(missing)?,
            (None, Some(values)) if values.is_object() => values,
            _ => return Err(missing()),
        };
        rest = after;
    }
    Ok(())
}

/// The first name, and what comes after it.
fn step(path: &str) -> Result<(String, &str), String> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("does not refer to a valid field".to_owned());
        }
        return Ok((name.to_owned(), rest));
    }
    let Some(rest) = path.strip_prefix('[') else {
        return Err(format!("expected [ or . but got: {path}"));
    };
    let Some(rest) = rest.strip_prefix('\'') else { return Err("unexpected end of JSON path".to_owned()) };
    let mut name = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => name.extend(characters.next().map(|(_, c)| c)),
            '\'' => {
                let after = rest[at + 1..].strip_prefix(']').ok_or("expected ] after quoted name")?;
                return Ok((name, after));
            }
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}
