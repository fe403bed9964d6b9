//! The schema-driven visitor: one `Seed` per value, which knows the shape the value should have.

use super::{MAX_STRICT_ERRORS, Strictness, scalar};
use crate::schema::{AnyForm, Field, Omit, Schema, Shape, Struct};
use base::collections::HashSet;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// What one decoding gathers on its way.
pub struct Context<'a> {
    schema: &'a Schema,
    collect: bool,
    path: Vec<Segment<'a>>,
    /// Go field names on the way here, without indices and map keys, for type errors.
    fields: Vec<&'a str>,
    pub strict_errors: Vec<String>,
    /// Something was passed over that may be of any depth.
    pub passed_over: bool,
    /// The first wrong type; decoding goes on to find what else is wrong, as Go does.
    pub mismatch: Option<String>,
    /// A value that its own type refused; ends the decoding.
    pub fatal: Option<String>,
}

enum Segment<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

impl<'a> Context<'a> {
    pub fn new(schema: &'a Schema, strictness: Strictness) -> Self {
        Context {
            schema,
            collect: strictness != Strictness::Ignore,
            path: Vec::new(),
            fields: Vec::new(),
            strict_errors: Vec::new(),
            passed_over: false,
            mismatch: None,
            fatal: None,
        }
    }

    fn strict_error(&mut self, what: &str, key: &str) {
        if !self.collect || self.strict_errors.len() >= MAX_STRICT_ERRORS {
            return;
        }
        let mut path = String::new();
        for segment in &self.path {
            let _ = match segment {
                Segment::Key(key) if path.is_empty() => write!(path, "{key}"),
                Segment::Key(key) => write!(path, ".{key}"),
                Segment::Index(index) => write!(path, "[{index}]"),
            };
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let text = format!("{what} {path:?}");
        if !self.strict_errors.contains(&text) {
            self.strict_errors.push(text);
        }
    }
}

pub struct Seed<'c, 'a> {
    pub context: &'c mut Context<'a>,
    pub shape: &'a Shape,
    /// The Go struct that holds the value, for type errors.
    pub owner: &'a str,
}

impl<'a> Seed<'_, 'a> {
    fn mismatch<E>(self, found: &str) -> Result<Value, E> {
        if self.context.mismatch.is_none() {
            let wanted = scalar::go_type(self.context.schema, self.shape);
            self.context.mismatch = Some(self.type_error(found, &wanted));
        }
        Ok(Value::Null)
    }

    fn type_error(&self, found: &str, wanted: &str) -> String {
        let fields = self.context.fields.join(".");
        match self.owner.rsplit('.').next() {
            None | Some("") => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
            Some(owner) => {
                format!("json: cannot unmarshal {found} into Go struct field {owner}.{fields} of type {wanted}")
            }
        }
    }

    /// Types with a reading of their own refuse at once.
    fn refuse<E: Error>(self, message: String) -> Result<Value, E> {
        self.context.fatal = Some(message);
        Err(E::custom("refused"))
    }

    fn refuse_type<E: Error>(self, found: &str) -> Result<Value, E> {
        let wanted = if matches!(self.shape, Shape::IntOrString) { "int32" } else { "string" };
        let message = self.type_error(found, wanted);
        self.refuse(message)
    }

    fn number<E: Error>(self, number: Number) -> Result<Value, E> {
        let text = || format!("number {number}");
        match self.shape {
            Shape::Any(AnyForm::Raw | AnyForm::Extension) | Shape::Float64 => Ok(Value::Number(number)),
            Shape::Int32 => match number.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(n) => Ok(n.into()),
                None => self.mismatch(&text()),
            },
            Shape::Int64 => match number.as_i64() {
                Some(n) => Ok(n.into()),
                None => self.mismatch(&text()),
            },
            Shape::IntOrString => match number.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(n) => Ok(n.into()),
                None => self.refuse_type(&text()),
            },
            Shape::Quantity => self.scalar_text(Cow::Owned(number.to_string())),
            Shape::Time | Shape::MicroTime | Shape::Duration => self.refuse_type("number"),
            Shape::Any(AnyForm::OrBool(_)) => self.refuse(NO_SCHEMA.to_owned()),
            _ => self.mismatch("number"),
        }
    }

    fn scalar_text<E: Error>(self, text: Cow<'_, str>) -> Result<Value, E> {
        match scalar::canonical(self.shape, text) {
            Ok(text) => Ok(Value::String(text)),
            Err(scalar::Refusal::AtOnce(message)) => self.refuse(message),
            Err(scalar::Refusal::Later(message)) => {
                self.context.mismatch.get_or_insert(message);
                Ok(Value::Null)
            }
        }
    }

    fn text<E: Error>(self, text: Cow<'_, str>) -> Result<Value, E> {
        match self.shape {
            Shape::Any(AnyForm::OrBool(_)) => self.refuse(NO_SCHEMA.to_owned()),
            Shape::Any(AnyForm::OrList(_) | AnyForm::OrStrings(_))
            | Shape::Bool
            | Shape::Int32
            | Shape::Int64
            | Shape::Float64
            | Shape::Struct(_)
            | Shape::List(_)
            | Shape::Map(_) => self.mismatch("string"),
            _ => self.scalar_text(text),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        match self.shape {
            Shape::Bool | Shape::Any(AnyForm::Raw | AnyForm::Extension | AnyForm::OrBool(_)) => Ok(value.into()),
            Shape::Quantity => self.scalar_text(Cow::Borrowed(if value { "true" } else { "false" })),
            Shape::Time | Shape::MicroTime | Shape::Duration | Shape::IntOrString => self.refuse_type("bool"),
            _ => self.mismatch("bool"),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => self.number(number),
            None => self.mismatch("number"),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.text(Cow::Borrowed(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.text(Cow::Owned(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let strings = Shape::String { enum_type: None };
        match self.shape {
            Shape::List(list) => self.list(items, &list.item),
            Shape::Any(AnyForm::Raw | AnyForm::Extension) => self.any_list(items),
            Shape::Any(AnyForm::OrList(id)) => self.untracked_list(items, &Shape::Struct(*id)),
            Shape::Any(AnyForm::OrStrings(_)) => self.untracked_list(items, &strings),
            // Go takes bytes as numbers too.
            Shape::Bytes => {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element::<u8>()? {
                    bytes.push(byte);
                }
                Ok(Value::String(scalar::base64_of(&bytes)))
            }
            _ => {
                self.context.passed_over = true;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                self.composite_mismatch("array")
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match self.shape {
            Shape::Struct(id) => {
                let structure = self.context.schema.get(*id);
                self.structure(entries, structure)
            }
            Shape::Map(map) => self.map(entries, &map.value),
            Shape::Any(AnyForm::Raw | AnyForm::Extension) => self.any_map(entries),
            Shape::Any(AnyForm::OrBool(id) | AnyForm::OrList(id) | AnyForm::OrStrings(id)) => {
                let structure = self.context.schema.get(*id);
                self.untracked(|seed| seed.structure(entries, structure))
            }
            _ => {
                self.context.passed_over = true;
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                self.composite_mismatch("object")
            }
        }
    }
}

impl<'a> Seed<'_, 'a> {
    fn composite_mismatch<E: Error>(self, found: &str) -> Result<Value, E> {
        match self.shape {
            Shape::Quantity => self.scalar_text(Cow::Borrowed("{}")),
            Shape::Time | Shape::MicroTime | Shape::Duration | Shape::IntOrString => self.refuse_type(found),
            Shape::Any(AnyForm::OrBool(_)) => self.refuse(NO_SCHEMA.to_owned()),
            _ => self.mismatch(found),
        }
    }

    /// Runs without strict checks: Go hands these values to a reader of their own, which has none.
    fn untracked<T>(self, run: impl FnOnce(Seed<'_, 'a>) -> T) -> T {
        let collect = std::mem::replace(&mut self.context.collect, false);
        let result = run(Seed { context: &mut *self.context, shape: self.shape, owner: self.owner });
        self.context.collect = collect;
        result
    }

    fn untracked_list<'de, A: SeqAccess<'de>>(self, mut items: A, item: &Shape) -> Result<Value, A::Error> {
        let schema = self.context.schema;
        let mut inner = Context::new(schema, Strictness::Ignore);
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(Seed { context: &mut inner, shape: item, owner: "" })? {
            list.push(value);
        }
        let (mismatch, fatal) = (inner.mismatch, inner.fatal);
        match mismatch.or(fatal) {
            Some(message) => self.refuse(message),
            None => Ok(Value::Array(list)),
        }
    }

    fn list<'de, A: SeqAccess<'de>>(self, mut items: A, item: &'a Shape) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default().min(64));
        loop {
            self.context.path.push(Segment::Index(list.len()));
            let seed = Seed { context: &mut *self.context, shape: item, owner: self.owner };
            let value = items.next_element_seed(seed)?;
            self.context.path.pop();
            match value {
                Some(Value::Null) => list.push(scalar::zero(item)),
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn map<'de, A: MapAccess<'de>>(self, mut entries: A, shape: &'a Shape) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let nested = matches!(shape, Shape::Struct(_) | Shape::Map(_) | Shape::List(_));
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                self.context.strict_error("duplicate field", &key);
            }
            if nested {
                self.context.path.push(Segment::Key(Cow::Owned(key.clone())));
            }
            let seed = Seed { context: &mut *self.context, shape, owner: self.owner };
            let value = entries.next_value_seed(seed)?;
            if nested {
                self.context.path.pop();
            }
            map.insert(key, if value.is_null() { scalar::zero(shape) } else { value });
        }
        Ok(Value::Object(map))
    }

    fn structure<'de, A: MapAccess<'de>>(mut self, mut entries: A, structure: &'a Struct) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen = Seen::default();
        while let Some(key) = entries.next_key_seed(KeySeed(structure))? {
            match key {
                Key::Known(at) => {
                    let field = &structure.fields[at];
                    if seen.twice(at) {
                        self.context.strict_error("duplicate field", &field.name);
                    }
                    let value = self.field(&mut entries, field, structure)?;
                    if value.is_null() || is_omitted(&value, field) {
                        object.remove(field.name.as_ref());
                    } else {
                        object.insert(field.name.clone().into_owned(), value);
                    }
                }
                Key::Unknown(key) => {
                    let value = self.unknown(&mut entries, &key, structure)?;
                    if let Some(value) = value {
                        object.insert(key, value);
                    }
                }
            }
        }
        Ok(Value::Object(object))
    }

    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entries: &mut A,
        field: &'a Field,
        structure: &'a Struct,
    ) -> Result<Value, A::Error> {
        self.context.path.push(Segment::Key(Cow::Borrowed(&field.name)));
        let depth = self.context.fields.len();
        self.context.fields.extend(field.embedded_in.as_deref());
        self.context.fields.push(&field.name);
        let seed = Seed { context: &mut *self.context, shape: &field.shape, owner: &structure.name };
        let value = entries.next_value_seed(seed)?;
        self.context.path.pop();
        self.context.fields.truncate(depth);
        Ok(value)
    }

    fn unknown<'de, A: MapAccess<'de>>(
        &mut self,
        entries: &mut A,
        key: &str,
        structure: &'a Struct,
    ) -> Result<Option<Value>, A::Error> {
        let shape = match &structure.additional {
            Some(shape) => shape,
            None if structure.preserve_unknown => &ANY,
            None => {
                self.context.strict_error("unknown field", key);
                self.context.passed_over = true;
                entries.next_value::<IgnoredAny>()?;
                return Ok(None);
            }
        };
        self.context.path.push(Segment::Key(Cow::Owned(key.to_owned())));
        let value = entries.next_value_seed(Seed { context: &mut *self.context, shape, owner: &structure.name })?;
        self.context.path.pop();
        Ok(Some(value))
    }

    /// Free-form values are read as they are. Duplicates in them go unreported, as in Go, which
    /// keeps their bytes.
    fn any_list<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = items.next_element::<Value>()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn any_map<'de, A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

const NO_SCHEMA: &str = "boolean or JSON schema expected";

static ANY: Shape = Shape::Any(AnyForm::Raw);

/// Whether Go's encoder would leave the value out, so that keeping it would tell apart what Go does
/// not.
pub fn is_omitted(value: &Value, field: &Field) -> bool {
    field.omit == Omit::Empty && !field.pointer && scalar::is_empty(value, &field.shape)
}

/// Which fields of a struct came already.
#[derive(Default)]
struct Seen {
    first: u64,
    others: HashSet<usize>,
}

impl Seen {
    fn twice(&mut self, at: usize) -> bool {
        if at >= 64 {
            return !self.others.insert(at);
        }
        let bit = 1 << at;
        let twice = self.first & bit != 0;
        self.first |= bit;
        twice
    }
}

/// Finds the field without copying its name.
struct KeySeed<'a>(&'a Struct);

enum Key {
    Known(usize),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(self.0.position(name).map_or_else(|| Key::Unknown(name.to_owned()), Key::Known))
    }
}
