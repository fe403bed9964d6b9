//! The tree of an expression. Each node knows its number (the checker keeps types by it), where it
//! stands in the source, and how high the tree below it is.

use std::borrow::Cow;
use std::sync::Arc;

#[derive(Debug)]
pub struct Expr {
    pub id: u32,
    pub at: u32,
    pub height: u16,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Literal(Literal),
    Ident(String),
    Select(Box<Select>),
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Build(Build),
    Fold(Box<Fold>),
    Unwrap(Box<Unwrap>),
}

#[derive(Debug, Clone)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Debug)]
pub struct Select {
    pub operand: Expr,
    pub field: String,
    pub form: Selection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// `a.b`
    Plain,
    /// `a.?b`
    Optional,
    /// `has(a.b)`
    Test,
}

#[derive(Debug)]
pub struct Call {
    /// Operators have upstream's names: `_+_`, `_[_]`, `_?_:_`.
    pub function: Cow<'static, str>,
    pub target: Option<Expr>,
    pub args: Vec<Expr>,
}

/// A list's element; `optional` when it was written `?e`.
#[derive(Debug)]
pub struct Element {
    pub value: Expr,
    pub optional: bool,
}

#[derive(Debug)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// `Name{field: value}`: a value of a type with named fields.
#[derive(Debug)]
pub struct Build {
    pub name: Arc<str>,
    pub fields: Vec<Set>,
}

#[derive(Debug)]
pub struct Set {
    pub field: String,
    pub at: u32,
    pub value: Expr,
    pub optional: bool,
}

/// A macro that walks a list or map.
#[derive(Debug)]
pub struct Fold {
    pub range: Expr,
    pub first: String,
    /// The second variable of a two-variable comprehension.
    pub second: Option<String>,
    pub aim: Aim,
    pub filter: Option<Expr>,
    pub body: Expr,
}

/// What a walk comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    All,
    Exists,
    ExistsOne,
    /// The body of each element: `map`, `transformList`.
    Map,
    /// The elements for which the body holds.
    Filter,
    /// The same keys with the body of each: `transformMap`.
    Values,
    /// The entries of the maps that the bodies are: `transformMapEntry`.
    Entries,
}

/// `optional.optMap(x, e)`; flat: the body is an optional itself.
#[derive(Debug)]
pub struct Unwrap {
    pub operand: Expr,
    pub variable: String,
    pub body: Expr,
    pub flat: bool,
}

impl Kind {
    /// The highest of what stands directly below.
    pub fn height(&self) -> u16 {
        self.children().into_iter().map(|child| child.height).max().unwrap_or(0)
    }
}

impl Kind {
    /// What stands directly below, in the order of the source.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
            Kind::Select(select) => vec![&select.operand],
            Kind::Call(call) => call.target.iter().chain(&call.args).collect(),
            Kind::List(items) => items.iter().map(|item| &item.value).collect(),
            Kind::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Kind::Build(build) => build.fields.iter().map(|set| &set.value).collect(),
            Kind::Fold(fold) => [&fold.range].into_iter().chain(&fold.filter).chain([&fold.body]).collect(),
            Kind::Unwrap(unwrap) => vec![&unwrap.operand, &unwrap.body],
        }
    }
}
