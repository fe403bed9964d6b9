//! Reads `types.tbl`, the compact form of every API struct, into a [`Schema`].
//!
//! One line is one thing; the first character says what:
//! - `!text`: a set of validation markers, counted from 0.
//! - `^core.v1.Name<tab>value<tab>…`: a string type's values; `Name!` where there are no others.
//! - `:core.v1.Name`: a struct, ` A` where it is atomic; the lines after it are its fields.
//! - `name number flags shape attributes…`: a field. The number is a dotted path where protobuf
//!   nests what JSON flattens. Flags: `e` omitempty, `z` omitzero, `*` pointer, `r` required.
//!
//! Shapes: `s` string (`s:Type` with values), `b` bool, `i`/`l` int32/64, `d` float64, `y` bytes,
//! `t`/`m`/`D` time, microtime, duration, `q` quantity, `p` int-or-string, `j`/`x` any JSON and raw
//! extension, `{Type` struct, `[` list of, `<` map of, `ob`/`ol`/`os` a struct or a bool, list,
//! strings. Attributes: `L:` list type or keys, `P:` patch strategy, `K:` merge key, `A` atomic,
//! `Y` granular, `D:` default, `E:` embedded in, `G:` feature gates, `V:` markers.
//!
//! A malformed line would be our own mistake and is skipped; the tests count what is read.

use base::collections::HashMap;
use std::borrow::Cow;
use wire::schema::{AnyForm, Field, List, ListKind, Map, Omit, Schema, Shape, Struct, TypeId};

#[derive(Default)]
pub struct Table {
    pub schema: Schema,
    pub enums: HashMap<&'static str, Enum>,
    names: HashMap<&'static str, TypeId>,
}

pub struct Enum {
    pub values: Vec<&'static str>,
    pub closed: bool,
}

impl Table {
    pub fn read(text: &'static str) -> Self {
        let mut table = Table { names: struct_names(text), ..Table::default() };
        table.schema.types.reserve_exact(table.names.len());
        let mut markers = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let (mark, rest) = line.split_at_checked(1).unwrap_or_default();
            match mark {
                "!" => markers.push(rest),
                "^" => table.add_enum(rest),
                ":" => {
                    let fields = lines.clone().take_while(|line| !line.starts_with(['^', ':'])).count();
                    table.open_struct(rest, fields);
                }
                _ => {
                    if let Some(field) = table.field(line, &markers)
                        && let Some(open) = table.schema.types.last_mut()
                    {
                        open.fields.push(field);
                    }
                }
            }
        }
        table.schema.types.iter_mut().for_each(Struct::index);
        table
    }

    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    fn add_enum(&mut self, line: &'static str) {
        let mut parts = line.split('\t');
        let name = parts.next().unwrap_or_default();
        let closed = name.ends_with('!');
        self.enums.insert(name.trim_end_matches('!'), Enum { values: parts.collect(), closed });
    }

    fn open_struct(&mut self, line: &'static str, fields: usize) {
        let (name, atomic) = line.strip_suffix(" A").map_or((line, false), |name| (name, true));
        let fields = Vec::with_capacity(fields);
        self.schema.types.push(Struct { name: Cow::Borrowed(name), fields, atomic, ..Struct::default() });
    }

    fn field(&self, line: &'static str, markers: &[&'static str]) -> Option<Field> {
        let mut parts = line.split(' ');
        let (name, number, flags, shape) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let mut field = Field::new(name, self.shape(shape)?);
        field.number = number.split('.').try_fold(0, |path, part| Some(path << 8 | part.parse::<u32>().ok()?))?;
        field.pointer = flags.contains('*');
        field.required = flags.contains('r');
        field.omit = match flags {
            _ if flags.contains('z') => Omit::Zero,
            _ if flags.contains('e') => Omit::Empty,
            _ => Omit::Never,
        };
        let mut granular = false;
        for part in parts {
            granular |= part == "Y";
            attribute(&mut field, part, markers);
        }
        if granular && let Shape::Map(map) = &mut field.shape {
            map.atomic = false;
        }
        Some(field)
    }

    fn shape(&self, text: &'static str) -> Option<Shape> {
        let (mark, rest) = text.split_at_checked(1)?;
        Some(match mark {
            "s" if rest.is_empty() => Shape::String { enum_type: None },
            "s" => Shape::String { enum_type: Some(Cow::Borrowed(&rest[1..])) },
            "b" => Shape::Bool,
            "i" => Shape::Int32,
            "l" => Shape::Int64,
            "d" => Shape::Float64,
            "y" => Shape::Bytes,
            "t" => Shape::Time,
            "m" => Shape::MicroTime,
            "D" => Shape::Duration,
            "q" => Shape::Quantity,
            "p" => Shape::IntOrString,
            "j" => Shape::Any(AnyForm::Raw),
            "x" => Shape::Any(AnyForm::Extension),
            "{" => Shape::Struct(self.type_id(rest)?),
            "[" => Shape::List(Box::new(List::of(self.shape(rest)?))),
            "<" => Shape::Map(Box::new(Map::of(self.shape(rest)?))),
            "o" => {
                let id = self.type_id(&rest[1..])?;
                Shape::Any(match &rest[..1] {
                    "b" => AnyForm::OrBool(id),
                    "l" => AnyForm::OrList(id),
                    _ => AnyForm::OrStrings(id),
                })
            }
            _ => return None,
        })
    }
}

/// Structs refer to ones further down, so their numbers are given out first.
fn struct_names(text: &'static str) -> HashMap<&'static str, TypeId> {
    let names = text.lines().filter_map(|line| line.strip_prefix(':'));
    names.zip(0..).map(|(name, id)| (name.trim_end_matches(" A"), TypeId(id))).collect()
}

fn attribute(field: &mut Field, text: &'static str, markers: &[&'static str]) {
    let (mark, rest) = text.split_once(':').unwrap_or((text, ""));
    match (mark, &mut field.shape) {
        ("L", Shape::List(list)) => {
            list.kind = match rest {
                "atomic" => ListKind::Atomic,
                "set" => ListKind::Set,
                keys => ListKind::Map { keys: keys.split(',').map(Cow::Borrowed).collect() },
            }
        }
        ("P", shape) => {
            let patch = match shape {
                Shape::List(list) => &mut list.patch,
                _ => &mut field.patch,
            };
            patch.merge = rest.split(',').any(|word| word == "merge");
            patch.retain_keys = rest.split(',').any(|word| word == "retainKeys");
        }
        ("K", Shape::List(list)) => list.patch.merge_key = Some(Cow::Borrowed(rest)),
        ("A", Shape::Map(map)) => map.atomic = true,
        ("A", _) => field.atomic = true,
        ("D", _) => field.default = serde_json::from_str(rest).ok(),
        ("E", _) => field.embedded_in = Some(Cow::Borrowed(rest)),
        ("G", _) => field.feature_gate = Some(Cow::Borrowed(rest)),
        ("V", _) => field.markers = rest.parse().ok().and_then(|at: usize| markers.get(at)).map(|m| Cow::Borrowed(*m)),
        _ => {}
    }
}
