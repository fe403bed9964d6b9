//! Checks a custom resource against its schema, in the words that upstream's validator has.
//!
//! What an update leaves as it was is not looked at again (ratcheting): a schema that grew stricter
//! must not lock objects. Rules in CEL (`x-kubernetes-validations`) stand in `cel`.

use super::format;
use super::number::go;
use meta::field::{ErrorList, FieldError, Path};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Check {
    types: Vec<&'static str>,
    nullable: bool,
    format: Option<String>,
    pattern: Option<(String, Option<Regex>)>,
    choices: Option<Vec<Value>>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    length: Bounds,
    items_count: Bounds,
    properties_count: Bounds,
    required: Vec<String>,
    properties: BTreeMap<String, Check>,
    additional: Option<Box<Check>>,
    items: Option<Box<Check>>,
    all_of: Vec<Check>,
    any_of: Vec<Check>,
    one_of: Vec<Check>,
    not: Option<Box<Check>>,
    list: ListType,
    embedded: bool,
}

#[derive(Default)]
struct Bounds {
    low: Option<usize>,
    high: Option<usize>,
}

#[derive(Default)]
pub(super) enum ListType {
    #[default]
    Plain,
    Set,
    Keyed(Vec<(String, Option<Value>)>),
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Deeper schemas are refused when they are defined.
const MAX_DEPTH: usize = 200;

impl Check {
    pub fn new(schema: &Value) -> Self {
        Self::at_depth(schema, 0)
    }

    fn at_depth(schema: &Value, depth: usize) -> Self {
        if depth > MAX_DEPTH || !schema.is_object() {
            return Check::default();
        }
        let text = |name: &str| schema.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let count = |name: &str| number(name).map(|count| count.max(0.0) as usize);
        let is = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        let inner = |schema: &Value| Check::at_depth(schema, depth + 1);
        let one = |name: &str| schema.get(name).filter(|inner| inner.is_object()).map(|schema| Box::new(inner(schema)));
        let several = |name: &str| -> Vec<Check> {
            schema.get(name).and_then(Value::as_array).into_iter().flatten().map(inner).collect()
        };
        let types = match text("type") {
            _ if is("x-kubernetes-int-or-string") => vec!["integer", "string"],
            Some(kind) => TYPES.iter().copied().filter(|known| *known == kind).collect(),
            None => Vec::new(),
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let properties = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), inner(schema)));
        let required = schema.get("required").and_then(Value::as_array);
        Check {
            types,
            nullable: is("nullable"),
            format: text("format").map(str::to_owned),
            pattern: text("pattern").map(|pattern| (pattern.to_owned(), Regex::new(pattern).ok())),
            choices: schema.get("enum").and_then(Value::as_array).cloned(),
            minimum: number("minimum").map(|low| (low, is("exclusiveMinimum"))),
            maximum: number("maximum").map(|high| (high, is("exclusiveMaximum"))),
            multiple_of: number("multipleOf"),
            length: Bounds { low: count("minLength"), high: count("maxLength") },
            items_count: Bounds { low: count("minItems"), high: count("maxItems") },
            properties_count: Bounds { low: count("minProperties"), high: count("maxProperties") },
            required: required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            properties: properties.collect(),
            additional: one("additionalProperties"),
            items: one("items"),
            all_of: several("allOf"),
            any_of: several("anyOf"),
            one_of: several("oneOf"),
            not: one("not"),
            list: ListType::of(schema),
            embedded: is("x-kubernetes-embedded-resource"),
        }
    }

    /// Everything wrong with a value; `old` is what stood in its place before.
    pub fn run(&self, value: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
        if old == Some(value) {
            return;
        }
        if !self.check_type(value, path, errors) || value.is_null() {
            self.check_choices(value, path, errors);
            return;
        }
        self.check_alternatives(value, old, path, errors);
        self.check_choices(value, path, errors);
        match value {
            Value::String(text) => self.check_text(text, path, errors),
            Value::Number(number) => self.check_number(number.as_f64().unwrap_or_default(), value, path, errors),
            Value::Array(items) => self.check_list(items, old, path, errors),
            Value::Object(fields) => self.check_object(fields, old, path, errors),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn check_type(&self, value: &Value, path: &Path, errors: &mut ErrorList) -> bool {
        let found = type_of(value);
        let fits = match found {
            _ if self.types.is_empty() => !value.is_null() || self.nullable || path.as_str().is_empty(),
            "null" => self.nullable,
            "integer" => self.types.contains(&"integer") || self.types.contains(&"number"),
            found => self.types.contains(&found),
        };
        // A schema without a type takes null as it takes anything.
        let fits = fits || (self.types.is_empty() && value.is_null());
        if !fits {
            let wanted = self.types.join(",");
            let why = format!("{path} in body must be of type {wanted}: {found:?}");
            errors.push(FieldError::type_invalid(path, found, &why));
        }
        fits
    }

    fn check_choices(&self, value: &Value, path: &Path, errors: &mut ErrorList) {
        let Some(choices) = &self.choices else { return };
        if choices.iter().any(|choice| same(choice, value)) || (value.is_null() && self.nullable) {
            return;
        }
        let shown: Vec<String> =
            choices.iter().map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, value.clone(), &shown));
    }

    fn check_text(&self, text: &str, path: &Path, errors: &mut ErrorList) {
        let length = text.chars().count();
        if let Some(high) = self.length.high.filter(|high| length > *high) {
            errors.push(FieldError::too_long(path, high));
        }
        if let Some(low) = self.length.low.filter(|low| length < *low) {
            let why = format!("{path} in body should be at least {low} chars long");
            errors.push(FieldError::invalid(path, text, &why));
        }
        if let Some((pattern, Some(regex))) = &self.pattern
            && !regex.is_match(text)
        {
            let why = format!("{path} in body should match '{pattern}'");
            errors.push(FieldError::invalid(path, text, &why));
        }
        if let Some(name) = self.format.as_deref().filter(|name| !format::fits(name, text)) {
            let why = format!("{path} in body must be of type {name}: {text:?}");
            errors.push(FieldError::type_invalid(path, text, &why));
        }
    }

    fn check_number(&self, number: f64, value: &Value, path: &Path, errors: &mut ErrorList) {
        let mut wrong = |why: String| {
            errors.push(FieldError::invalid(path, value.clone(), &format!("{path} in body should be {why}")));
        };
        if let Some(factor) = self.multiple_of.filter(|factor| *factor > 0.0)
            && (number / factor).fract() != 0.0
        {
            wrong(format!("a multiple of {}", go(factor)));
        }
        match self.maximum {
            Some((high, true)) if number >= high => wrong(format!("less than {}", go(high))),
            Some((high, false)) if number > high => wrong(format!("less than or equal to {}", go(high))),
            _ => {}
        }
        match self.minimum {
            Some((low, true)) if number <= low => wrong(format!("greater than {}", go(low))),
            Some((low, false)) if number < low => wrong(format!("greater than or equal to {}", go(low))),
            _ => {}
        }
    }

    fn check_list(&self, items: &[Value], old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
        let count = items.len();
        if let Some(low) = self.items_count.low.filter(|low| count < *low) {
            let why = format!("{path} in body should have at least {low} items");
            errors.push(FieldError::invalid(path, count, &why));
        }
        if let Some(high) = self.items_count.high.filter(|high| count > *high) {
            errors.push(FieldError::too_many(path, count, high));
        }
        let before = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if let Some(check) = &self.items {
            for (at, item) in items.iter().enumerate() {
                check.run(item, self.list.counterpart(item, before), &path.index(at), errors);
            }
        }
        self.list.check_unique(items, path, errors);
    }

    fn check_object(&self, fields: &Map<String, Value>, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
        let count = fields.len();
        if let Some(low) = self.properties_count.low.filter(|low| count < *low) {
            let why = format!("{path} in body should have at least {low} properties");
            errors.push(FieldError::invalid(path, count, &why));
        }
        if let Some(high) = self.properties_count.high.filter(|high| count > *high) {
            errors.push(FieldError::too_many(path, count, high));
        }
        for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
        for (name, value) in fields {
            let before = old.and_then(|old| old.get(name));
            match (self.properties.get(name), &self.additional) {
                (Some(check), _) => check.run(value, before, &path.child(name), errors),
                (None, Some(check)) if !(self.embedded && is_type_meta(name)) => {
                    check.run(value, before, &path.child(name), errors);
                }
                _ => {}
            }
        }
        if self.embedded {
            check_embedded(fields, path, errors);
        }
    }

    fn passes(&self, value: &Value, path: &Path) -> Result<(), ErrorList> {
        let mut errors = ErrorList::new();
        self.run(value, None, path, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_alternatives(&self, value: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
        let nowhere = Path::root();
        let composite = |why: &str| FieldError::invalid(&nowhere, "", &format!("{:?} {why}", path.as_str()));
        if !self.any_of.is_empty() {
            let failures = self.failures(&self.any_of, value, path);
            if failures.len() == self.any_of.len() {
                errors.push(composite("must validate at least one schema (anyOf)"));
                errors.extend(least(failures));
            }
        }
        if !self.one_of.is_empty() {
            let failures = self.failures(&self.one_of, value, path);
            let valid = self.one_of.len() - failures.len();
            if valid == 0 {
                errors.push(composite("must validate one and only one schema (oneOf). Found none valid"));
                errors.extend(least(failures));
            } else if valid > 1 {
                let why = format!("must validate one and only one schema (oneOf). Found {valid} valid alternatives");
                errors.push(composite(&why));
            }
        }
        if !self.all_of.is_empty() {
            let before = errors.len();
            for check in &self.all_of {
                check.run(value, old, path, errors);
            }
            if errors.len() > before {
                errors.insert(before, composite("must validate all the schemas (allOf)"));
            }
        }
        if let Some(not) = &self.not
            && not.passes(value, path).is_ok()
        {
            errors.push(composite("must not validate the schema (not)"));
        }
    }

    fn failures(&self, alternatives: &[Check], value: &Value, path: &Path) -> Vec<ErrorList> {
        alternatives.iter().filter_map(|check| check.passes(value, path).err()).collect()
    }
}

/// What the alternative says that failed the least.
fn least(failures: Vec<ErrorList>) -> ErrorList {
    failures.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

fn is_type_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() != 0.0 => "number",
            _ => "integer",
        },
    }
}

/// Equal as JSON: 1 and 1.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

impl ListType {
    pub(super) fn of(schema: &Value) -> Self {
        match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListType::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let default = |key: &str| schema.pointer(&format!("/items/properties/{key}/default")).cloned();
                let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                ListType::Keyed(keys.map(|key| (key.to_owned(), default(key))).collect())
            }
            _ => ListType::Plain,
        }
    }

    fn keys(&self, item: &Value) -> Option<Map<String, Value>> {
        let ListType::Keyed(keys) = self else { return None };
        let of = |(key, default): &(String, Option<Value>)| {
            let value = item.get(key).or(default.as_ref())?;
            Some((key.clone(), value.clone()))
        };
        Some(keys.iter().filter_map(of).collect())
    }

    /// The item that stood for this one before.
    pub(super) fn counterpart<'o>(&self, item: &Value, old: &'o [Value]) -> Option<&'o Value> {
        let keys = self.keys(item)?;
        old.iter().find(|other| self.keys(other).as_ref() == Some(&keys))
    }

    fn check_unique(&self, items: &[Value], path: &Path, errors: &mut ErrorList) {
        let mut seen = std::collections::BTreeSet::new();
        for (at, item) in items.iter().enumerate() {
            let identity = match self {
                ListType::Plain => return,
                ListType::Set => item.clone(),
                ListType::Keyed(_) => Value::Object(self.keys(item).unwrap_or_default()),
            };
            if !seen.insert(identity.to_string()) {
                errors.push(FieldError::duplicate(&path.index(at), identity));
            }
        }
    }
}

/// A whole object inside another names its type, and its metadata are metadata.
fn check_embedded(fields: &Map<String, Value>, path: &Path, errors: &mut ErrorList) {
    for name in ["apiVersion", "kind"] {
        match fields.get(name) {
            None => errors.push(FieldError::required(&path.child(name), "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::required(&path.child(name), "must not be empty"));
            }
            Some(Value::String(text)) if name == "apiVersion" && meta::GroupVersion::parse(text).is_none() => {
                let why = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(&path.child(name), text.as_str(), &why));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(FieldError::invalid(&path.child(name), other.clone(), "must be a string")),
        }
    }
    if let Some(metadata) = fields.get("metadata").filter(|metadata| !metadata.is_object()) {
        errors.push(FieldError::invalid(&path.child("metadata"), metadata.clone(), "must be an object"));
    }
}

#[cfg(test)]
mod tests;
