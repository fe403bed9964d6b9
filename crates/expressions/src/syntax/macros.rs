//! The macros: calls whose arguments are not values but variables and expressions over them.

use super::Issue;
use super::ast::{Aim, Call, Expr, Fold, Kind, Selection, Unwrap};
use super::parser::Parser;

pub fn has(parser: &mut Parser, at: usize, mut args: Vec<Expr>) -> Result<Expr, Issue> {
    let wrong = || Issue::new(at, "invalid argument to has() macro");
    let Some(arg) = args.pop().filter(|_| args.is_empty()) else { return Err(wrong()) };
    match arg.kind {
        Kind::Select(mut select) if select.form == Selection::Plain => {
            select.form = Selection::Test;
            parser.node(at, Kind::Select(select))
        }
        _ => Err(wrong()),
    }
}

/// What a method call is: a macro where name and number of arguments are one's, else a plain call.
pub fn method(parser: &mut Parser, at: usize, function: String, target: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
    if let ("optMap" | "optFlatMap", 2) = (function.as_str(), args.len()) {
        return unwrap(parser, at, function == "optFlatMap", target, args);
    }
    let Some((aim, variables, filtered)) = shape(&function, args.len()) else {
        let call = Call { function: function.into(), target: Some(target), args };
        return parser.node(at, Kind::Call(Box::new(call)));
    };
    let mut args = args.into_iter();
    let mut variable = || name(args.next(), at);
    let first = variable()?;
    let second = if variables == 2 { Some(variable()?) } else { None };
    if second.as_ref() == Some(&first) {
        return Err(Issue::new(at, format!("duplicate iteration variable: {first}")));
    }
    let filter = if filtered { args.next() } else { None };
    let body = args.next().ok_or_else(|| Issue::new(at, "missing argument"))?;
    parser.node(at, Kind::Fold(Box::new(Fold { range: target, first, second, aim, filter, body })))
}

/// Aim, number of variables, whether a condition stands before the body.
fn shape(function: &str, count: usize) -> Option<(Aim, usize, bool)> {
    Some(match (function, count) {
        ("all", 2) => (Aim::All, 1, false),
        ("exists", 2) => (Aim::Exists, 1, false),
        ("exists_one" | "existsOne", 2) => (Aim::ExistsOne, 1, false),
        ("map", 2) => (Aim::Map, 1, false),
        ("map", 3) => (Aim::Map, 1, true),
        ("filter", 2) => (Aim::Filter, 1, false),
        ("all", 3) => (Aim::All, 2, false),
        ("exists", 3) => (Aim::Exists, 2, false),
        ("existsOne" | "exists_one", 3) => (Aim::ExistsOne, 2, false),
        ("transformList", 3) => (Aim::Map, 2, false),
        ("transformList", 4) => (Aim::Map, 2, true),
        ("transformMap", 3) => (Aim::Values, 2, false),
        ("transformMap", 4) => (Aim::Values, 2, true),
        ("transformMapEntry", 3) => (Aim::Entries, 2, false),
        ("transformMapEntry", 4) => (Aim::Entries, 2, true),
        _ => return None,
    })
}

fn unwrap(parser: &mut Parser, at: usize, flat: bool, operand: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
    let mut args = args.into_iter();
    let variable = name(args.next(), at)?;
    let body = args.next().ok_or_else(|| Issue::new(at, "missing argument"))?;
    parser.node(at, Kind::Unwrap(Box::new(Unwrap { operand, variable, body, flat })))
}

fn name(arg: Option<Expr>, at: usize) -> Result<String, Issue> {
    match arg {
        Some(Expr { kind: Kind::Ident(name), .. }) => Ok(name),
        Some(other) => Err(Issue::new(other.at as usize, "argument must be a simple name")),
        None => Err(Issue::new(at, "argument must be a simple name")),
    }
}
