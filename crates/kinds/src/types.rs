//! Reads `types.tbl`, the compact form of every API struct, into a [`Schema`].
//!
//! One line is one thing; the first character says what:
//! - `!text`: a set of validation markers, counted from 0.
//! - `=core.v1`: the package of the lines below.
//! - `^Name<tab>value<tab>…`: a string type's values; `^Name!` where there are no others.
//! - `:Name`: a struct, ` A` where it is atomic; the lines after it are its fields.
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

use std::borrow::Cow;
use std::collections::BTreeMap;
use wire::schema::{AnyForm, Field, List, ListKind, Map, Omit, Schema, Shape, Struct, TypeId};

#[derive(Default)]
pub struct Table {
    pub schema: Schema,
    pub enums: BTreeMap<String, Enum>,
    /// Structs by name, sorted.
    names: Vec<(String, TypeId)>,
}

pub struct Enum {
    pub values: Vec<&'static str>,
    pub closed: bool,
}

impl Table {
    pub fn read(text: &'static str) -> Self {
        let mut table = Table { names: struct_names(text), ..Table::default() };
        let mut markers = Vec::new();
        let mut package = "";
        for line in text.lines() {
            let (mark, rest) = line.split_at_checked(1).unwrap_or_default();
            match mark {
                "!" => markers.push(rest),
                "=" => package = rest,
                "^" => table.add_enum(package, rest),
                ":" => table.open_struct(package, rest),
                _ => {
                    if let Some(field) = table.field(package, line, &markers)
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
        let at = self.names.binary_search_by(|row| row.0.as_str().cmp(name)).ok()?;
        Some(self.names[at].1)
    }

    fn add_enum(&mut self, package: &str, line: &'static str) {
        let mut parts = line.split('\t');
        let name = parts.next().unwrap_or_default();
        let closed = name.ends_with('!');
        let name = format!("{package}.{}", name.trim_end_matches('!'));
        self.enums.insert(name, Enum { values: parts.collect(), closed });
    }

    fn open_struct(&mut self, package: &str, line: &str) {
        let (name, atomic) = line.strip_suffix(" A").map_or((line, false), |name| (name, true));
        let name = Cow::Owned(format!("{package}.{name}"));
        self.schema.types.push(Struct { name, atomic, ..Struct::default() });
    }

    fn field(&self, package: &str, line: &'static str, markers: &[&'static str]) -> Option<Field> {
        let mut parts = line.split(' ');
        let (name, number, flags, shape) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let mut field = Field::new(name, self.shape(package, shape)?);
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

    fn shape(&self, package: &str, text: &'static str) -> Option<Shape> {
        let (mark, rest) = text.split_at_checked(1)?;
        Some(match mark {
            "s" if rest.is_empty() => Shape::String { enum_type: None },
            "s" => Shape::String { enum_type: Some(qualified(package, &rest[1..])) },
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
            "{" => Shape::Struct(self.type_id(&qualified(package, rest))?),
            "[" => Shape::List(Box::new(List::of(self.shape(package, rest)?))),
            "<" => Shape::Map(Box::new(Map::of(self.shape(package, rest)?))),
            "o" => {
                let id = self.type_id(&qualified(package, &rest[1..]))?;
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

/// A name without dots belongs to the package.
fn qualified(package: &str, name: &'static str) -> Cow<'static, str> {
    if name.contains('.') { Cow::Borrowed(name) } else { Cow::Owned(format!("{package}.{name}")) }
}

/// Structs refer to ones further down, so their numbers are given out first.
fn struct_names(text: &str) -> Vec<(String, TypeId)> {
    let mut names = Vec::with_capacity(1300);
    let mut package = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('=') {
            package = rest;
        } else if let Some(rest) = line.strip_prefix(':') {
            let id = TypeId(u32::try_from(names.len()).unwrap_or(u32::MAX));
            names.push((format!("{package}.{}", rest.trim_end_matches(" A")), id));
        }
    }
    names.sort_unstable();
    names
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
