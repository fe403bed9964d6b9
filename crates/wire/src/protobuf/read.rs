//! From messages to canonical values. Unknown fields are passed over, as upstream's generated code
//! does; lengths, nesting and text are checked.

use super::{MAX_DEPTH, ProtobufError, Resolve, number_at, open};
use crate::decode::is_omitted;
use crate::schema::{AnyForm, Field, Schema, Shape, Struct, TypeId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    fn code(&self) -> u8 {
        match self {
            Wire::Varint(_) => 0,
            Wire::Fixed64(_) => 1,
            Wire::Bytes(_) => 2,
            Wire::Fixed32 => 5,
        }
    }
}

/// The fields of a message, in the order they come.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(ProtobufError::Eof)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Overflow)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtobufError> {
        let length = usize::try_from(length).map_err(|_| ProtobufError::Overflow)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(ProtobufError::Eof)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn read(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtobufError::Overflow)?;
        let wire = match tag as u8 & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Wire::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            other => return Err(ProtobufError::WireType(other)),
        };
        Ok((number, wire))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = b"";
        }
        Some(field)
    }
}

pub fn text<'a>(bytes: &'a [u8], field: &str) -> Result<&'a str, ProtobufError> {
    std::str::from_utf8(bytes).map_err(|_| ProtobufError::Text(field.to_owned()))
}

pub fn body(body: &[u8], schema: &Schema, resolve: Resolve<'_>, depth: usize) -> Result<Value, ProtobufError> {
    let envelope = open(body)?;
    let Some(id) = resolve(&envelope.api_version, &envelope.kind) else {
        return Err(ProtobufError::UnknownKind { api_version: envelope.api_version, kind: envelope.kind });
    };
    let mut value = message(envelope.message, schema, id, resolve, depth)?;
    for (key, text) in [("apiVersion", envelope.api_version), ("kind", envelope.kind)] {
        if !text.is_empty() && schema.get(id).field(key).is_some() {
            value[key] = Value::String(text);
        }
    }
    Ok(value)
}

pub fn message(
    bytes: &[u8],
    schema: &Schema,
    id: TypeId,
    resolve: Resolve<'_>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    Reader { schema, resolve, depth }.structure(bytes, schema.get(id))
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    schema: &'a Schema,
    resolve: Resolve<'a>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn deeper(mut self) -> Result<Self, ProtobufError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(ProtobufError::Depth) } else { Ok(self) }
    }

    fn structure(self, bytes: &[u8], structure: &'a Struct) -> Result<Value, ProtobufError> {
        let mut object = Map::new();
        self.deeper()?.level(bytes, structure, &structure.by_number, 0, &mut object)?;
        Ok(Value::Object(object))
    }

    fn level(
        self,
        bytes: &[u8],
        structure: &'a Struct,
        fields: &[(u32, u16)],
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        for field in Fields(bytes) {
            let (number, wire) = field?;
            let from = fields.partition_point(|(path, _)| number_at(*path, depth) < number);
            let Some((_, at)) = fields.get(from).filter(|(path, _)| number_at(*path, depth) == number) else {
                continue;
            };
            let field = &structure.fields[usize::from(*at)];
            if depth + 1 == field.depth() {
                self.field(wire, field, object)?;
            } else {
                let until = fields.partition_point(|(path, _)| number_at(*path, depth) <= number);
                let Wire::Bytes(inner) = wire else { return Err(unfit(&wire, field)) };
                self.deeper()?.level(inner, structure, &fields[from..until], depth + 1, object)?;
            }
        }
        Ok(())
    }

    fn field(self, wire: Wire<'_>, field: &'a Field, object: &mut Map<String, Value>) -> Result<(), ProtobufError> {
        let name = field.name.as_ref();
        match &field.shape {
            Shape::List(list) => {
                let place = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = place {
                    self.items(wire, &list.item, field, items)?;
                }
            }
            Shape::Map(map) => {
                let Wire::Bytes(entry) = wire else { return Err(unfit(&wire, field)) };
                let (key, value) = self.deeper()?.entry(entry, &map.value, field)?;
                let place = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(entries) = place {
                    entries.insert(key, value);
                }
            }
            shape => {
                let value = self.value(wire, shape, field)?;
                if !value.is_null() && !is_omitted(&value, field) {
                    object.insert(name.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// One item, or several where numbers are packed.
    fn items(
        self,
        wire: Wire<'_>,
        shape: &'a Shape,
        field: &'a Field,
        items: &mut Vec<Value>,
    ) -> Result<(), ProtobufError> {
        match (wire, shape) {
            (Wire::Bytes(packed), Shape::Bool | Shape::Int32 | Shape::Int64) => {
                let mut rest = Fields(packed);
                while !rest.0.is_empty() {
                    let number = rest.varint()?;
                    items.push(self.value(Wire::Varint(number), shape, field)?);
                }
            }
            (wire, shape) => items.push(self.value(wire, shape, field)?),
        }
        Ok(())
    }

    fn entry(self, bytes: &[u8], shape: &'a Shape, field: &'a Field) -> Result<(String, Value), ProtobufError> {
        // Bytes that are left out are none at all elsewhere, but an empty text in a map.
        let empty = if matches!(shape, Shape::Bytes) { String::new().into() } else { crate::decode::zero(shape) };
        let (mut key, mut value) = (String::new(), empty);
        for part in Fields(bytes) {
            match (part?, shape) {
                ((1, Wire::Bytes(bytes)), _) => key = text(bytes, &field.name)?.to_owned(),
                ((2, Wire::Bytes(bytes)), Shape::List(list)) => {
                    let mut items = Vec::new();
                    for item in Fields(bytes) {
                        if let (1, wire) = item? {
                            self.items(wire, &list.item, field, &mut items)?;
                        }
                    }
                    value = Value::Array(items);
                }
                ((2, wire), shape) => value = self.value(wire, shape, field)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn value(self, wire: Wire<'_>, shape: &'a Shape, field: &'a Field) -> Result<Value, ProtobufError> {
        Ok(match (wire, shape) {
            (Wire::Varint(number), Shape::Bool) => Value::Bool(number != 0),
            (Wire::Varint(number), Shape::Int32) => (number as i32).into(),
            (Wire::Varint(number), Shape::Int64) => (number as i64).into(),
            (Wire::Fixed64(bits), Shape::Float64) => {
                Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
            }
            (Wire::Bytes(bytes), Shape::String { .. }) => text(bytes, &field.name)?.into(),
            (Wire::Bytes(bytes), Shape::Bytes) => STANDARD.encode(bytes).into(),
            (Wire::Bytes(bytes), Shape::Struct(id)) => self.structure(bytes, self.schema.get(*id))?,
            (Wire::Bytes(bytes), Shape::Any(form)) => self.deeper()?.any(bytes, *form, field)?,
            (Wire::Bytes(bytes), shape) => special(bytes, shape, field)?,
            (wire, _) => return Err(unfit(&wire, field)),
        })
    }

    fn any(self, bytes: &[u8], form: AnyForm, field: &'a Field) -> Result<Value, ProtobufError> {
        let (mut flag, mut one, mut many) = (Value::Null, None, Vec::new());
        for part in Fields(bytes) {
            match (form, part?) {
                (AnyForm::Raw | AnyForm::Extension, (1, Wire::Bytes(raw))) => return self.raw(raw, field),
                (AnyForm::OrBool(_), (1, Wire::Varint(allows))) => flag = Value::Bool(allows != 0),
                (AnyForm::OrBool(id), (2, Wire::Bytes(bytes)))
                | (AnyForm::OrList(id) | AnyForm::OrStrings(id), (1, Wire::Bytes(bytes))) => {
                    one = Some(self.structure(bytes, self.schema.get(id))?);
                }
                (AnyForm::OrList(id), (2, Wire::Bytes(bytes))) => {
                    many.push(self.structure(bytes, self.schema.get(id))?);
                }
                (AnyForm::OrStrings(_), (2, Wire::Bytes(bytes))) => many.push(text(bytes, &field.name)?.into()),
                _ => {}
            }
        }
        Ok(match one {
            Some(value) => value,
            None if many.is_empty() => flag,
            None => Value::Array(many),
        })
    }

    fn raw(self, bytes: &[u8], field: &Field) -> Result<Value, ProtobufError> {
        if bytes.starts_with(super::MAGIC) {
            return body(bytes, self.schema, self.resolve, self.depth);
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(bytes).map_err(|error| wrong(field, error))
    }
}

/// Messages that JSON writes as one text or number.
fn special(bytes: &[u8], shape: &Shape, field: &Field) -> Result<Value, ProtobufError> {
    let (mut numbers, mut spelled, mut any) = ([0_u64; 3], "", false);
    for part in Fields(bytes) {
        any = true;
        match part? {
            (number @ 1..=2, Wire::Varint(value)) => numbers[number as usize] = value,
            (1 | 3, Wire::Bytes(bytes)) => spelled = text(bytes, &field.name)?,
            _ => {}
        }
    }
    Ok(match shape {
        Shape::Quantity if spelled.is_empty() => "0".into(),
        Shape::Quantity => meta::quantity::canonical(spelled).map_err(|error| wrong(field, error))?.into(),
        Shape::Time | Shape::MicroTime if !any => Value::Null,
        Shape::Time | Shape::MicroTime => {
            let nanos = if matches!(shape, Shape::Time) { 0 } else { numbers[2] as i32 };
            let time = jiff::Timestamp::new(numbers[1] as i64, nanos).map_err(|error| wrong(field, error))?;
            if matches!(shape, Shape::Time) { meta::time::format(time) } else { meta::time::format_micro(time) }.into()
        }
        Shape::Duration => meta::time::format_duration(numbers[1] as i64).into(),
        Shape::IntOrString if numbers[1] == 1 => spelled.into(),
        Shape::IntOrString => (numbers[2] as i32).into(),
        _ => return Err(unfit(&Wire::Bytes(bytes), field)),
    })
}

fn unfit(wire: &Wire<'_>, field: &Field) -> ProtobufError {
    ProtobufError::FieldType { wire: wire.code(), field: field.name.clone().into_owned() }
}

fn wrong(field: &Field, error: impl std::fmt::Display) -> ProtobufError {
    ProtobufError::Value { field: field.name.clone().into_owned(), message: error.to_string() }
}
