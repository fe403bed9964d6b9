//! Where a walk stands: a shape in a schema, or nowhere known.
//!
//! [`Cursor`] is the public form; the patch and apply walks use this borrowed one, which costs
//! nothing to copy, and go on untyped below fields that the schema does not know.

use crate::schema::{Cursor, Field, Patch, Schema, Shape, Struct};

#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    schema: &'a Schema,
    shape: Option<&'a Shape>,
    /// The struct field that led here.
    field: Option<&'a Field>,
}

static NO_PATCH: Patch = Patch { merge: false, merge_key: None, retain_keys: false };

impl<'a> Place<'a> {
    pub fn of(cursor: &'a Cursor<'_>) -> Self {
        Place { schema: cursor.schema, shape: Some(cursor.shape.as_ref()), field: None }
    }

    pub fn shape(&self) -> Option<&'a Shape> {
        self.shape
    }

    pub fn field(&self) -> Option<&'a Field> {
        self.field
    }

    pub fn structure(&self) -> Option<&'a Struct> {
        match self.shape {
            Some(Shape::Struct(id)) => Some(self.schema.get(*id)),
            _ => None,
        }
    }

    pub fn child(&self, name: &str) -> Place<'a> {
        let nowhere = Place { schema: self.schema, shape: None, field: None };
        match self.shape {
            Some(Shape::Map(map)) => Place { shape: Some(&map.value), ..nowhere },
            Some(Shape::Struct(id)) => {
                let structure = self.schema.get(*id);
                match structure.field(name) {
                    Some(field) => self.of_field(field),
                    None => Place { shape: structure.additional.as_ref(), ..nowhere },
                }
            }
            _ => nowhere,
        }
    }

    pub fn of_field(&self, field: &'a Field) -> Place<'a> {
        Place { schema: self.schema, shape: Some(&field.shape), field: Some(field) }
    }

    pub fn item(&self) -> Place<'a> {
        let shape = match self.shape {
            Some(Shape::List(list)) => Some(&list.item),
            _ => None,
        };
        Place { schema: self.schema, shape, field: None }
    }

    /// How a strategic merge patch treats what stands here.
    pub fn patch(&self) -> &'a Patch {
        match (self.shape, self.field) {
            (Some(Shape::List(list)), _) => &list.patch,
            (_, Some(field)) => &field.patch,
            _ => &NO_PATCH,
        }
    }
}
