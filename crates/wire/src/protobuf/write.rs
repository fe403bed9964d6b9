//! From canonical values to messages, as gogo's generated marshallers write them: fields by
//! number, everything that is no pointer written even when zero, map entries by key.

use super::{ProtobufError, number_at, put_bytes, put_varint};
use crate::encode::write_any;
use crate::schema::{AnyForm, Field, List, Map, Schema, Shape, Struct, TypeId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

type Written = Result<(), ProtobufError>;
type Object = serde_json::Map<String, Value>;

pub fn message(value: &Value, schema: &Schema, id: TypeId) -> Result<Vec<u8>, ProtobufError> {
    let mut writer = Writer { schema, out: Vec::with_capacity(1024) };
    writer.structure(value, schema.get(id))?;
    Ok(writer.out)
}

struct Writer<'a> {
    schema: &'a Schema,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn structure(&mut self, value: &Value, structure: &Struct) -> Written {
        let empty = Object::new();
        let object = value.as_object().unwrap_or(&empty);
        let fields = structure.by_number.as_slice();
        if fields.is_empty() && !structure.fields.is_empty() {
            return Err(ProtobufError::NoForm(structure.name.clone().into_owned()));
        }
        self.level(object, structure, fields, 0)
    }

    /// Writes fields whose number paths agree down to `depth`; those going deeper belong to a
    /// message that JSON flattens.
    fn level(&mut self, object: &Object, structure: &Struct, fields: &[(u32, u16)], depth: usize) -> Written {
        let mut rest = fields;
        while let Some((path, at)) = rest.first() {
            let field = &structure.fields[usize::from(*at)];
            let number = number_at(*path, depth);
            if depth + 1 == field.depth() {
                self.field(object.get(field.name.as_ref()), field, number)?;
                rest = &rest[1..];
                continue;
            }
            let (group, others) = rest.split_at(rest.partition_point(|(path, _)| number_at(*path, depth) <= number));
            rest = others;
            // A named list type (Verbs) is a message too, but one that may be nil.
            if matches!(field.shape, Shape::List(_)) && group.len() == 1 && is_nil(object.get(field.name.as_ref())) {
                continue;
            }
            self.nested(number, |writer| writer.level(object, structure, group, depth + 1))?;
        }
        Ok(())
    }

    /// Opens a message, writes it, and puts its length before it.
    fn nested(&mut self, number: u32, write: impl FnOnce(&mut Self) -> Written) -> Written {
        put_varint(&mut self.out, u64::from(number) << 3 | 2);
        self.out.push(0);
        let start = self.out.len();
        write(self)?;
        let length = self.out.len() - start;
        if let (Ok(short @ 0..0x80), Some(place)) = (u8::try_from(length), self.out.get_mut(start - 1)) {
            *place = short;
            return Ok(());
        }
        let mut prefix = Vec::with_capacity(5);
        put_varint(&mut prefix, length as u64);
        self.out.splice(start - 1..start, prefix);
        Ok(())
    }

    fn field(&mut self, value: Option<&Value>, field: &Field, number: u32) -> Written {
        let value = value.unwrap_or(&Value::Null);
        match &field.shape {
            Shape::List(list) => self.list(value, list, number),
            Shape::Map(map) => self.map(value, map, number),
            Shape::Bytes if value.is_null() => Ok(()),
            _ if field.pointer && value.is_null() => Ok(()),
            shape => self.value(value, shape, number),
        }
    }

    fn list(&mut self, value: &Value, list: &List, number: u32) -> Written {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().try_for_each(|item| self.value(item, &list.item, number))
    }

    fn map(&mut self, value: &Value, map: &Map, number: u32) -> Written {
        let Value::Object(entries) = value else { return Ok(()) };
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        for (key, value) in entries {
            self.nested(number, |writer| {
                put_bytes(&mut writer.out, 1, key.as_bytes());
                match &map.value {
                    // A list as a map's value is always a message of its own.
                    Shape::List(list) => writer.nested(2, |writer| writer.list(value, list, 1)),
                    shape => writer.value(value, shape, 2),
                }
            })?;
        }
        Ok(())
    }

    /// One value, present or zero, with its tag.
    fn value(&mut self, value: &Value, shape: &Shape, number: u32) -> Written {
        match shape {
            Shape::Bool => self.varint(number, u64::from(value.as_bool().unwrap_or_default())),
            Shape::Int32 | Shape::Int64 => self.varint(number, value.as_i64().unwrap_or_default() as u64),
            Shape::Float64 => {
                put_varint(&mut self.out, u64::from(number) << 3 | 1);
                self.out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
            }
            Shape::String { .. } => put_bytes(&mut self.out, number, text(value).as_bytes()),
            Shape::Bytes => {
                let bytes = STANDARD.decode(text(value)).map_err(|error| wrong(number, error))?;
                put_bytes(&mut self.out, number, &bytes);
            }
            Shape::Struct(id) => {
                let structure = self.schema.get(*id);
                return self.nested(number, |writer| writer.structure(value, structure));
            }
            _ => return self.nested(number, |writer| writer.special(value, shape)),
        }
        Ok(())
    }

    fn varint(&mut self, number: u32, value: u64) {
        put_varint(&mut self.out, u64::from(number) << 3);
        put_varint(&mut self.out, value);
    }

    /// Types that are no struct in JSON but a message in protobuf.
    fn special(&mut self, value: &Value, shape: &Shape) -> Written {
        match shape {
            Shape::Quantity => {
                let amount = if value.is_null() { "0" } else { text(value) };
                put_bytes(&mut self.out, 1, amount.as_bytes());
            }
            Shape::Time | Shape::MicroTime if value.is_null() => {}
            Shape::Time | Shape::MicroTime => {
                let time = meta::time::parse(text(value)).map_err(|error| wrong(1, error))?;
                let nanos = time.as_nanosecond();
                self.varint(1, nanos.div_euclid(1_000_000_000) as u64);
                let micros = if matches!(shape, Shape::Time) { 0 } else { nanos.rem_euclid(1_000_000_000) / 1000 };
                self.varint(2, micros as u64 * 1000);
            }
            Shape::Duration => {
                let spelled = if value.is_null() { "0s" } else { text(value) };
                let nanos = meta::time::parse_duration(spelled).map_err(|error| wrong(1, error))?;
                self.varint(1, nanos as u64);
            }
            Shape::IntOrString => {
                self.varint(1, u64::from(value.is_string()));
                self.varint(2, value.as_i64().unwrap_or_default() as u64);
                put_bytes(&mut self.out, 3, text(value).as_bytes());
            }
            Shape::Any(form) => return self.any(value, *form),
            _ => {}
        }
        Ok(())
    }

    fn any(&mut self, value: &Value, form: AnyForm) -> Written {
        match (form, value) {
            (_, Value::Null) => Ok(()),
            (AnyForm::OrBool(id), _) => {
                self.varint(1, u64::from(value != &Value::Bool(false)));
                if value.is_object() { self.value(value, &Shape::Struct(id), 2) } else { Ok(()) }
            }
            (AnyForm::OrList(id), Value::Array(items)) => {
                items.iter().try_for_each(|item| self.value(item, &Shape::Struct(id), 2))
            }
            (AnyForm::OrStrings(_), Value::Array(items)) => {
                items.iter().for_each(|item| put_bytes(&mut self.out, 2, text(item).as_bytes()));
                Ok(())
            }
            (AnyForm::OrList(id) | AnyForm::OrStrings(id), _) => self.value(value, &Shape::Struct(id), 1),
            (AnyForm::Raw | AnyForm::Extension, _) => {
                let mut raw = Vec::new();
                write_any(&mut raw, value);
                put_bytes(&mut self.out, 1, &raw);
                Ok(())
            }
        }
    }
}

fn is_nil(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn wrong(number: u32, error: impl std::fmt::Display) -> ProtobufError {
    ProtobufError::Value { field: number.to_string(), message: error.to_string() }
}
