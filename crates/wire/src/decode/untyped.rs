//! JSON without a schema, but with an eye for fields given twice: custom resources come in this
//! way.

use super::{DecodeError, MAX_STRICT_ERRORS};
use crate::syntax;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The value, and a text for each field that came twice.
pub fn decode_untyped(body: &[u8]) -> Result<(Value, Vec<String>), DecodeError> {
    let mut context = Context::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Seed(&mut context).deserialize(&mut deserializer);
    match value.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok((value, context.twice)),
        Err(error) => Err(DecodeError::Syntax(syntax::error(body).unwrap_or_else(|| error.to_string()))),
    }
}

#[derive(Default)]
struct Context {
    path: String,
    twice: Vec<String>,
}

struct Seed<'c>(&'c mut Context);

impl Seed<'_> {
    /// Reads what stands one step further down.
    fn below<T>(&mut self, step: &str, read: impl FnOnce(Seed<'_>) -> T) -> T {
        let length = self.0.path.len();
        if !step.starts_with('[') && length > 0 {
            self.0.path.push('.');
        }
        self.0.path.push_str(step);
        let read = read(Seed(&mut *self.0));
        self.0.path.truncate(length);
        read
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let step = format!("[{}]", list.len());
            match self.below(&step, |seed| items.next_element_seed(seed))? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) && self.0.twice.len() < MAX_STRICT_ERRORS {
                let dot = if self.0.path.is_empty() { "" } else { "." };
                let text = format!("duplicate field \"{}{dot}{key}\"", self.0.path);
                if !self.0.twice.contains(&text) {
                    self.0.twice.push(text);
                }
            }
            let value = self.below(&key, |seed| entries.next_value_seed(seed))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_given_twice_are_told() {
        let (value, twice) = decode_untyped(br#"{"a":{"b":[{"c":1,"c":2}]},"a":3}"#).unwrap();
        assert_eq!(value, serde_json::json!({"a": 3}));
        assert_eq!(twice, ["duplicate field \"a.b[0].c\"", "duplicate field \"a\""]);
        assert!(decode_untyped(b"{\"a\":").is_err());
    }
}
