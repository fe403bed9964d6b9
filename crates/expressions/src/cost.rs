//! What expressions cost: upstream's numbers, estimated from the bounds of types before a rule is
//! taken, counted while it runs.

use crate::check::Checked;
use crate::syntax::ast::{Aim, Call, Expr, Fold, Kind, Literal, Selection};
use crate::types::Type;
use crate::value::Value;
use std::ops::Add;

/// The most that one rule of a definition may be estimated at.
pub const PER_EXPRESSION_LIMIT: u64 = 10_000_000;
/// The most that all rules of a definition may be estimated at together.
pub const PER_DEFINITION_LIMIT: u64 = 100_000_000;
/// The most that one run may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all runs for one request may cost.
pub const PER_REQUEST_LIMIT: u64 = 10_000_000;

pub const CREATE_LIST: u64 = 10;
pub const CREATE_MAP: u64 = 30;
pub const CREATE_STRUCT: u64 = 40;

/// An authorization check: dear, so that an expression makes two at most.
pub const CHECK: u64 = 350_000;

/// How a call is paid for, beside its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    One,
    Fixed(u64),
    /// So many tenths for each character (or element) of the first argument.
    First(u64),
    /// One for each element of the first argument; for a text a tenth of each character.
    Elements,
    /// A tenth for each character of the second argument.
    Second,
    /// A tenth for each character of the shorter of two.
    Shorter,
    /// A tenth for each character of both: the result has so many.
    Joined,
    /// One for each element of the second argument.
    Inside,
    /// Characters of the text by characters of what is sought.
    Product,
    /// Characters of the text by the parts of a pattern.
    Pattern,
    /// So many tenths for each character of the result.
    Result(u64),
    /// Elements of one list by elements of the other.
    Pairs,
}

fn tenths(size: u64, tenths: u64) -> u64 {
    size.saturating_mul(tenths).div_ceil(10)
}

impl Price {
    pub fn before(self, values: &[Value<'_>]) -> u64 {
        let size = |at: usize| values.get(at).map_or(0, Value::size);
        match self {
            Price::Elements if matches!(values.first(), Some(Value::List(_))) => size(0),
            Price::Joined if matches!(values.first(), Some(Value::String(_) | Value::Bytes(_))) => {
                tenths(size(0) + size(1), 1)
            }
            Price::Joined => 1,
            Price::Inside if matches!(values.get(1), Some(Value::Map(_))) => 1,
            Price::Shorter
                if !values.iter().any(|value| {
                    matches!(value, Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))
                }) =>
            {
                1
            }
            Price::Result(_) => 0,
            _ => self.of(size(0), size(1)),
        }
    }

    pub fn after(self, result: &Value<'_>) -> u64 {
        match self {
            Price::Result(factor) => tenths(result.size(), factor),
            _ => 0,
        }
    }

    fn of(self, first: u64, second: u64) -> u64 {
        match self {
            Price::One => 1,
            Price::Fixed(cost) => cost,
            Price::First(factor) => tenths(first, factor),
            Price::Elements => tenths(first, 1),
            Price::Second => tenths(second, 1),
            Price::Shorter => tenths(first.min(second), 1),
            Price::Joined => tenths(first.saturating_add(second), 1),
            Price::Inside => second,
            Price::Product => tenths(first, 1).saturating_mul(tenths(second, 1)),
            Price::Pattern => tenths(first.saturating_add(1), 1).saturating_mul(second.div_ceil(4)),
            Price::Result(factor) => tenths(first, factor),
            Price::Pairs => first.saturating_mul(second),
        }
    }
}

/// Between what and what a run costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    pub min: u64,
    pub max: u64,
}

impl Cost {
    fn fixed(cost: u64) -> Self {
        Cost { min: cost, max: cost }
    }

    /// As often as a list of so many elements at most has elements.
    pub fn times(self, times: Cost) -> Self {
        Cost { min: self.min.saturating_mul(times.min), max: self.max.saturating_mul(times.max) }
    }

    fn union(self, other: Cost) -> Self {
        Cost { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
}

/// The range of a value's size, in the same form.
type Size = Cost;

pub fn estimate(expr: &Expr, checked: &Checked) -> Cost {
    Estimator { checked }.expr(expr).0
}

struct Estimator<'c> {
    checked: &'c Checked,
}

impl Estimator<'_> {
    fn kind(&self, expr: &Expr) -> &Type {
        self.checked.types.get(expr.id as usize).unwrap_or(&Type::Null)
    }

    /// What a type says of the size of its values.
    fn size_of(&self, expr: &Expr) -> Size {
        match self.kind(expr) {
            Type::Dyn(bound) | Type::String(bound) | Type::Bytes(bound) => Size { min: 0, max: bound.0 },
            Type::List(_, bound) | Type::Map(_, _, bound) => Size { min: 0, max: bound.0 },
            other => Size { min: 1, max: other.bound().0 },
        }
    }

    fn sum(&self, exprs: &[&Expr]) -> Cost {
        exprs.iter().fold(Cost::default(), |sum, expr| sum + self.expr(expr).0)
    }

    fn expr(&self, expr: &Expr) -> (Cost, Size) {
        let size = self.size_of(expr);
        let cost = match &expr.kind {
            Kind::Literal(literal) => return (Cost::default(), literal_size(literal)),
            Kind::Ident(_) => Cost::fixed(u64::from(*self.kind(expr) != Type::Type)),
            Kind::Select(select) => {
                let own = match self.kind(&select.operand) {
                    _ if select.form == Selection::Test => 0,
                    Type::Map(..) | Type::Object(_) | Type::Built(_) | Type::Optional(_) => 1,
                    _ => 0,
                };
                self.expr(&select.operand).0 + Cost::fixed(own)
            }
            Kind::Call(call) => return self.call(call, expr, size),
            Kind::List(items) => {
                let sum = items.iter().fold(Cost::default(), |sum, item| sum + self.expr(&item.value).0);
                return (sum + Cost::fixed(CREATE_LIST), Size::fixed(items.len() as u64));
            }
            Kind::Map(entries) => {
                let sum = |sum, entry: &crate::syntax::ast::Entry| sum + self.sum(&[&entry.key, &entry.value]);
                let sum = entries.iter().fold(Cost::default(), sum);
                return (sum + Cost::fixed(CREATE_MAP), Size::fixed(entries.len() as u64));
            }
            Kind::Build(build) => {
                let sum = build.fields.iter().fold(Cost::default(), |sum, set| sum + self.expr(&set.value).0);
                return (sum + Cost::fixed(CREATE_STRUCT), Size::fixed(1));
            }
            Kind::Fold(fold) => return self.fold(fold),
            Kind::Unwrap(unwrap) => {
                let body = Cost { min: 0, ..self.expr(&unwrap.body).0 };
                self.expr(&unwrap.operand).0 + body + Cost::fixed(1)
            }
        };
        (cost, size)
    }

    fn call(&self, call: &Call, expr: &Expr, size: Size) -> (Cost, Size) {
        let args: Vec<(Cost, Size)> = call.target.iter().chain(&call.args).map(|arg| self.expr(arg)).collect();
        match (&*call.function, args.as_slice()) {
            ("_&&_" | "_||_", [(left, _), (right, _)]) => {
                return (Cost { min: left.min, max: (*left + *right).max }, Size::fixed(1));
            }
            ("_?_:_", [(condition, _), (then, a), (otherwise, b)]) => {
                return (*condition + then.union(*otherwise), a.union(*b));
            }
            ("dyn", [(cost, inner)]) => return (*cost + Cost::fixed(1), *inner),
            _ => {}
        }
        let sum = args.iter().fold(Cost::default(), |sum, (cost, _)| sum + *cost);
        let sizes: Vec<Size> = args.iter().map(|(_, size)| *size).collect();
        let first = sizes.first().copied().unwrap_or_default();
        let second = sizes.get(1).copied().unwrap_or_default();
        let size = match call.target.as_ref().map(|target| self.kind(target)) {
            // A joined text is as long as its parts: those have a bound, the text has none of its own.
            Some(Type::List(item, _)) if call.function == "join" => Size { min: 0, max: item.bound().0 },
            _ => size,
        };
        let price = self.checked.functions.get(expr.id as usize).copied().flatten().map_or(Price::One, |f| f.price);
        let own = match (price, call.target.iter().chain(&call.args).next().map(|arg| self.kind(arg))) {
            (Price::Elements, Some(Type::List(item, _))) => {
                let text = matches!(**item, Type::String(_) | Type::Bytes(_));
                let each = Cost { min: 1, max: 1u64.saturating_add(if text { tenths(item.bound().0, 1) } else { 0 }) };
                each.times(first)
            }
            (Price::Shorter, _) => {
                let max = first.max.min(second.max);
                Cost { min: u64::from(max > 0), max: tenths(max, 1).max(u64::from(max > 0)) }
            }
            (Price::Result(factor), _) => {
                let size = result_size(&call.function, &sizes, size);
                Cost { min: tenths(size.min, factor), max: tenths(size.max, factor) }
            }
            (Price::Joined, Some(Type::List(..))) => Cost::fixed(1),
            (price, _) => Cost { min: price.of(first.min, second.min), max: price.of(first.max, second.max) },
        };
        (sum + own, result_size(&call.function, &sizes, size))
    }

    fn fold(&self, fold: &Fold) -> (Cost, Size) {
        let (range, count) = self.expr(&fold.range);
        let body = self.expr(&fold.body).0;
        let filter = fold.filter.as_ref().map_or(Cost::default(), |filter| self.expr(filter).0);
        let (init, each, end) = match fold.aim {
            Aim::All => (0, Cost::fixed(3), 1),
            Aim::Exists => (0, Cost::fixed(4), 1),
            Aim::ExistsOne => (0, Cost { min: 1, max: 2 }, 2),
            Aim::Map => (CREATE_LIST, Cost::fixed(12), 1),
            Aim::Filter => (CREATE_LIST, Cost { min: 1, max: 13 }, 1),
            Aim::Values => (CREATE_MAP, Cost::fixed(3), 1),
            Aim::Entries => (CREATE_MAP, Cost::fixed(2), 1),
        };
        let step = match fold.filter {
            None => body + each,
            Some(_) => filter + Cost { min: 1, max: (body + each).max },
        };
        let size = match fold.aim {
            Aim::All | Aim::Exists | Aim::ExistsOne => Size::fixed(1),
            _ => Size { min: 0, max: count.max },
        };
        (range + Cost::fixed(init + end) + step.times(count), size)
    }
}

fn literal_size(literal: &Literal) -> Size {
    Size::fixed(match literal {
        Literal::String(text) => text.chars().count() as u64,
        Literal::Bytes(bytes) => bytes.len() as u64,
        _ => 1,
    })
}

/// How large a function's result can be, where its arguments say; else as its type has it.
fn result_size(function: &str, sizes: &[Size], by_type: Size) -> Size {
    let first = sizes.first().copied().unwrap_or_default();
    let up_to = |max: u64| Size { min: 0, max };
    match (function, sizes) {
        ("_+_", [a, b]) => *a + *b,
        ("lowerAscii" | "upperAscii" | "trim" | "substring", _) => up_to(first.max),
        ("split" | "find" | "findAll", _) => up_to(first.max),
        ("string" | "bytes", _) => up_to(first.max.saturating_mul(4)),
        ("quote" | "strings.quote", _) => up_to(first.max.saturating_mul(2).saturating_add(2)),
        ("replace", [text, sought, with, ..]) => {
            let times = if sought.min == 0 { text.max.saturating_add(1) } else { text.max.div_ceil(sought.min) };
            up_to(text.max.saturating_add(times.saturating_mul(with.max)))
        }
        ("join", [list]) => up_to(list.max.saturating_mul(by_type.max)),
        ("join", [list, separator]) => up_to(list.max.saturating_mul(by_type.max.saturating_add(separator.max))),
        _ => by_type,
    }
}
