//! The values a template works with.

use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// What an absent field is.
    Absent,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Item>),
    Map(BTreeMap<String, Item>),
}

impl From<&Value> for Item {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Item::Nil,
            Value::Bool(on) => Item::Bool(*on),
            Value::Number(number) => {
                number.as_i64().map_or_else(|| Item::Float(number.as_f64().unwrap_or_default()), Item::Int)
            }
            Value::String(text) => Item::Text(text.clone()),
            Value::Array(list) => Item::List(list.iter().map(Item::from).collect()),
            Value::Object(map) => Item::Map(map.iter().map(|(key, value)| (key.clone(), Item::from(value))).collect()),
        }
    }
}

impl Item {
    /// Neither empty nor zero.
    pub fn is_true(&self) -> bool {
        match self {
            Item::Absent | Item::Nil => false,
            Item::Bool(on) => *on,
            Item::Int(number) => *number != 0,
            Item::Float(number) => *number != 0.0,
            Item::Text(text) => !text.is_empty(),
            Item::List(list) => !list.is_empty(),
            Item::Map(map) => !map.is_empty(),
        }
    }

    /// Go's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Item::Absent | Item::Nil => "<nil>",
            Item::Bool(_) => "bool",
            Item::Int(_) => "int64",
            Item::Float(_) => "float64",
            Item::Text(_) => "string",
            Item::List(_) => "[]interface {}",
            Item::Map(_) => "map[string]interface {}",
        }
    }

    /// The order of two values of one basic kind; None where Go would not compare them.
    pub fn compare(&self, other: &Item) -> Option<Ordering> {
        match (self, other) {
            (Item::Int(a), Item::Int(b)) => Some(a.cmp(b)),
            (Item::Float(a), Item::Float(b)) => a.partial_cmp(b),
            (Item::Text(a), Item::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
