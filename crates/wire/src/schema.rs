//! What an API type looks like: the one structure that decoding, pruning, defaulting, protobuf,
//! patches, apply and OpenAPI all walk.
//!
//! Types stand in an arena ([`Schema`]) because some contain themselves (JSONSchemaProps). A
//! [`Cursor`] walks one value's shape.

use serde_json::Value;
use std::borrow::Cow;

pub type Name = Cow<'static, str>;

/// An arena of struct types that refer to each other.
#[derive(Debug, Default)]
pub struct Schema {
    pub types: Vec<Struct>,
}

/// Index of a struct in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A Go struct or a custom resource's object, with embedded structs flattened.
#[derive(Debug, Default, Clone)]
pub struct Struct {
    /// `core.v1.PodSpec`; for custom resources the kind and path.
    pub name: Name,
    /// In Go's field order, which is the order of canonical JSON.
    pub fields: Vec<Field>,
    /// Indices of `fields` sorted by name, for look-up.
    pub by_name: Vec<u16>,
    /// A hash table of `fields` by name, half empty: the first eight bytes of a name, as a number, and
    /// one more than where it stands.
    pub slots: Vec<(u64, u16)>,
    /// The fields that protobuf has, in its order: [`Field::aligned_number`] and index.
    pub by_number: Vec<(u32, u16)>,
    /// What fields beside the named ones hold; None: they are unknown, warned of and pruned.
    pub additional: Option<Shape>,
    /// `x-kubernetes-preserve-unknown-fields`, RawExtension: unknown fields stay as they are.
    pub preserve_unknown: bool,
    /// An embedded object (`x-kubernetes-embedded-resource`): has apiVersion, kind and metadata.
    pub embedded_object: bool,
    /// `structType=atomic` on the type: wherever it stands, it belongs to one apply manager as a
    /// whole.
    pub atomic: bool,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: Name,
    pub shape: Shape,
    /// Protobuf field number; 0 where the type has none. A field flattened out of an embedded
    /// struct, which protobuf keeps as a message of its own, has the path of numbers, one byte
    /// each, the outermost highest.
    pub number: u32,
    pub omit: Omit,
    /// A Go pointer: absent and zero differ.
    pub pointer: bool,
    /// A custom resource's `nullable`: null is a value of its own.
    pub nullable: bool,
    pub required: bool,
    /// The declared default (`+default`, CRD `default`).
    pub default: Option<Value>,
    /// The struct as a whole belongs to one apply manager (`structType=atomic`, `mapType=atomic`
    /// on a struct field).
    pub atomic: bool,
    /// On a struct or map field: `patchStrategy: retainKeys` or `replace`.
    pub patch: Patch,
    /// The Go structs it is flattened out of (`ProbeHandler`), which type errors name.
    pub embedded_in: Option<Name>,
    pub feature_gate: Option<Name>,
    /// Upstream's validation markers, as given.
    pub markers: Option<Name>,
}

/// When Go's encoder leaves a field out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Omit {
    /// Always written, zero or null.
    #[default]
    Never,
    /// `omitempty`: left out when empty (structs never are).
    Empty,
    /// `omitzero`: left out when zero, structs too.
    Zero,
}

/// The form of one value.
#[derive(Debug, Clone)]
pub enum Shape {
    Bool,
    Int32,
    Int64,
    Float64,
    /// Also Go's named string types; `enum_type` names the row group in the enum table.
    String {
        enum_type: Option<Name>,
    },
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339 in whole seconds; null when zero.
    Time,
    /// RFC 3339 with six fraction digits.
    MicroTime,
    /// Go's duration text, `1m30s`.
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON, kept as it is (JSON, RawExtension, FieldsV1).
    Any(AnyForm),
    Struct(TypeId),
    List(Box<List>),
    Map(Box<Map>),
}

/// How an `Any` value is encoded in protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyForm {
    /// `apiextensions.v1.JSON`, `metav1.FieldsV1`: message with `raw` as field 1.
    Raw,
    /// `runtime.RawExtension`: the same, and may hold an object.
    Extension,
    /// `JSONSchemaPropsOrBool`: a boolean or the struct; message `allows`, `schema`.
    OrBool(TypeId),
    /// `JSONSchemaPropsOrArray`: the struct or a list of it; message `schema`, `jSONSchemas`.
    OrList(TypeId),
    /// `JSONSchemaPropsOrStringArray`: the struct or strings; message `schema`, `property`.
    OrStrings(TypeId),
}

#[derive(Debug, Clone)]
pub struct List {
    pub item: Shape,
    pub kind: ListKind,
    pub patch: Patch,
}

/// How server-side apply sees a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map {
        keys: Vec<Name>,
    },
}

/// How a strategic merge patch sees a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// `patchStrategy: merge`; of primitives where `merge_key` is None.
    pub merge: bool,
    pub merge_key: Option<Name>,
    pub retain_keys: bool,
}

#[derive(Debug, Clone)]
pub struct Map {
    pub value: Shape,
    /// `mapType=atomic`: belongs to one apply manager as a whole.
    pub atomic: bool,
}

impl List {
    /// An atomic list.
    pub fn of(item: Shape) -> Self {
        List { item, kind: ListKind::Atomic, patch: Patch::default() }
    }
}

impl Map {
    pub fn of(value: Shape) -> Self {
        Map { value, atomic: false }
    }
}

impl Field {
    /// An optional field that is written exactly when it is present, without protobuf number.
    pub fn new(name: impl Into<Name>, shape: Shape) -> Self {
        Field {
            name: name.into(),
            shape,
            number: 0,
            omit: Omit::Empty,
            pointer: true,
            nullable: false,
            required: false,
            default: None,
            atomic: false,
            patch: Patch::default(),
            embedded_in: None,
            feature_gate: None,
            markers: None,
        }
    }

    /// The path of protobuf field numbers with the outermost in the highest byte, so that paths of
    /// any length sort as protobuf writes them; see [`Field::number`].
    pub fn aligned_number(&self) -> u32 {
        let unused = self.number.leading_zeros() / 8;
        self.number.checked_shl(unused * 8).unwrap_or_default()
    }

    /// How many numbers the path has.
    pub fn depth(&self) -> usize {
        4 - self.number.leading_zeros() as usize / 8
    }
}

impl Schema {
    pub fn get(&self, id: TypeId) -> &Struct {
        &self.types[id.0 as usize]
    }

    /// Adds a struct and indexes its fields.
    pub fn add(&mut self, mut new: Struct) -> TypeId {
        new.index();
        let id = TypeId(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(new);
        id
    }

    /// Takes a struct over from another arena, with all it is made of. What is particular to Go and
    /// protobuf is left behind: custom resources hold their metadata as any other field.
    pub fn copy_from(&mut self, other: &Schema, id: TypeId) -> TypeId {
        let mut copy = other.get(id).clone();
        for field in &mut copy.fields {
            (field.number, field.pointer, field.omit) = (0, true, Omit::Empty);
            self.copy_shape(other, &mut field.shape);
        }
        self.add(copy)
    }

    fn copy_shape(&mut self, other: &Schema, shape: &mut Shape) {
        match shape {
            Shape::Struct(id) => *id = self.copy_from(other, *id),
            Shape::List(list) => self.copy_shape(other, &mut list.item),
            Shape::Map(map) => self.copy_shape(other, &mut map.value),
            _ => {}
        }
    }

    pub fn cursor(&self, id: TypeId) -> Cursor<'_> {
        Cursor { schema: self, shape: Cow::Owned(Shape::Struct(id)) }
    }
}

impl Struct {
    /// Rebuilds the look-up; needed after `fields` changed.
    pub fn index(&mut self) {
        let mut order: Vec<u16> = (0..u16::try_from(self.fields.len()).unwrap_or(u16::MAX)).collect();
        let field = |at: &u16| &self.fields[usize::from(*at)];
        order.sort_unstable_by(|a, b| field(a).name.cmp(&field(b).name));
        self.slots = slots(&self.fields);
        let mut numbered: Vec<(u32, u16)> = order.iter().map(|at| (field(at).aligned_number(), *at)).collect();
        numbered.retain(|(number, _)| *number != 0);
        numbered.sort_unstable();
        self.by_number = numbered;
        self.by_name = order;
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|at| &self.fields[at])
    }

    /// Where in `fields` the named one stands. Every walk asks this of every field of every object.
    pub fn position(&self, name: &str) -> Option<usize> {
        let prefix = prefix(name);
        let last = self.slots.len().checked_sub(1)?;
        let mut at = slot(prefix, name.len()) & last;
        loop {
            let (other, index) = self.slots[at];
            let index = usize::from(index).checked_sub(1)?;
            if other == prefix && self.fields[index].name == name {
                return Some(index);
            }
            at = (at + 1) & last;
        }
    }
}

/// Room for twice as many, so that searches end soon; a power of two.
fn slots(fields: &[Field]) -> Vec<(u64, u16)> {
    let mut slots = vec![(0, 0); (fields.len() * 2).next_power_of_two()];
    let last = slots.len() - 1;
    for (index, field) in fields.iter().enumerate() {
        let prefix = prefix(&field.name);
        let mut at = slot(prefix, field.name.len()) & last;
        while slots[at].1 != 0 {
            at = (at + 1) & last;
        }
        slots[at] = (prefix, u16::try_from(index + 1).unwrap_or(u16::MAX));
    }
    slots
}

fn slot(prefix: u64, length: usize) -> usize {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    ((prefix ^ length as u64).wrapping_mul(MULTIPLIER) >> 32) as usize
}

/// The first eight bytes.
fn prefix(name: &str) -> u64 {
    if let Some(first) = name.as_bytes().first_chunk() {
        return u64::from_le_bytes(*first);
    }
    name.bytes().rev().fold(0, |prefix, byte| prefix << 8 | u64::from(byte))
}

/// A place in a schema: one value's shape and the arena that its structs live in.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    pub schema: &'a Schema,
    pub shape: Cow<'a, Shape>,
}

impl<'a> Cursor<'a> {
    pub fn new(schema: &'a Schema, shape: &'a Shape) -> Self {
        Cursor { schema, shape: Cow::Borrowed(shape) }
    }

    /// The struct here, where it is one.
    pub fn structure(&self) -> Option<&'a Struct> {
        match self.shape.as_ref() {
            Shape::Struct(id) => Some(self.schema.get(*id)),
            _ => None,
        }
    }

    /// The named field of a struct, or the value type of a map.
    pub fn child(&self, name: &str) -> Option<Cursor<'a>> {
        match &self.shape {
            Cow::Borrowed(Shape::Map(map)) => Some(Cursor::new(self.schema, &map.value)),
            Cow::Owned(Shape::Map(map)) => Some(Cursor { schema: self.schema, shape: Cow::Owned(map.value.clone()) }),
            shape => {
                let Shape::Struct(id) = shape.as_ref() else { return None };
                let structure = self.schema.get(*id);
                let shape = structure.field(name).map(|field| &field.shape).or(structure.additional.as_ref())?;
                Some(Cursor::new(self.schema, shape))
            }
        }
    }

    /// The item type of a list.
    pub fn item(&self) -> Option<Cursor<'a>> {
        match &self.shape {
            Cow::Borrowed(Shape::List(list)) => Some(Cursor::new(self.schema, &list.item)),
            Cow::Owned(Shape::List(list)) => Some(Cursor { schema: self.schema, shape: Cow::Owned(list.item.clone()) }),
            _ => None,
        }
    }
}
