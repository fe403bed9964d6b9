//! The type checker: every name is declared, every call has an overload that fits, lists and maps are
//! of one kind. It rewrites what looked like a method of a variable into the function it is
//! (`ip.isCanonical(x)`, `optional.of(x)`) and selections into variables with dotted names.

use crate::environment::{Environment, JSON_PATCH};
use crate::functions::{self, Function};
use crate::signature::{Signature, Substitution, join};
use crate::syntax::Issue;
use crate::syntax::ast::{Aim, Build, Call, Element, Entry, Expr, Fold, Kind, Literal, Select, Selection, Unwrap};
use crate::types::{Bound, Type};
use std::sync::Arc;

/// More problems than these are not told.
const MAX_ISSUES: usize = 100;

/// The type of each node by its number, and the function of each call.
#[derive(Debug)]
pub struct Checked {
    pub types: Vec<Type>,
    pub functions: Vec<Option<&'static Function>>,
}

pub fn check(expr: &mut Expr, nodes: u32, environment: &Environment) -> Result<Checked, Vec<Issue>> {
    let nodes = nodes as usize;
    let checked = Checked { types: vec![Type::DYN; nodes], functions: vec![None; nodes] };
    let mut checker = Checker { environment, locals: Vec::new(), issues: Vec::new(), checked, mixed: false };
    checker.visit(expr);
    if checker.issues.is_empty() { Ok(checker.checked) } else { Err(checker.issues) }
}

struct Checker<'e> {
    environment: &'e Environment,
    locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
    checked: Checked,
    /// Within the arguments of `format`, whose lists may mix types.
    mixed: bool,
}

impl Checker<'_> {
    fn complain(&mut self, at: u32, message: String) -> Type {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::new(at as usize, message));
        }
        Type::DYN
    }

    fn visit(&mut self, expr: &mut Expr) -> Type {
        self.resolve(expr);
        let (id, at) = (expr.id as usize, expr.at);
        let kind = match &mut expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => match self.name(name) {
                Some(kind) => kind,
                None => self.complain(at, format!("undeclared reference to '{name}' (in container '')")),
            },
            Kind::Select(select) => self.select(select, at),
            Kind::Call(call) => self.call(call, id, at),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Build(build) => self.build(build, at),
            Kind::Fold(fold) => self.fold(fold, at),
            Kind::Unwrap(unwrap) => self.unwrap(unwrap, at),
        };
        self.checked.types[id] = kind.clone();
        kind
    }

    fn name(&self, name: &str) -> Option<Type> {
        let local = self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, kind)| kind.clone());
        let variable = || self.environment.variable(name).cloned();
        local.or_else(variable).or_else(|| Environment::type_name(name).map(|_| Type::Type))
    }

    /// Turns a selection that is a declared name into that name, a method call that is a function
    /// with a dotted name into its call.
    fn resolve(&self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Select(select) if select.form == Selection::Plain => {
                if let Some(name) = self.dotted(&select.operand).map(|path| format!("{path}.{}", select.field))
                    && self.name(&name).is_some()
                {
                    expr.kind = Kind::Ident(name);
                }
            }
            Kind::Call(call) => {
                let path = call.target.as_ref().and_then(|target| self.dotted(target));
                if let Some(name) = path.map(|path| format!("{path}.{}", call.function))
                    && functions::find(&name).is_some()
                {
                    call.function = name.into();
                    call.target = None;
                }
            }
            _ => {}
        }
    }

    /// The path of a selection of names that does not start at a local variable.
    fn dotted(&self, expr: &Expr) -> Option<String> {
        match &expr.kind {
            Kind::Ident(name) => self.locals.iter().all(|(local, _)| local != name).then(|| name.clone()),
            Kind::Select(select) if select.form == Selection::Plain => {
                Some(format!("{}.{}", self.dotted(&select.operand)?, select.field))
            }
            _ => None,
        }
    }

    fn select(&mut self, select: &mut Select, at: u32) -> Type {
        let operand = self.visit(&mut select.operand);
        let (inner, was_optional) = match &operand {
            Type::Optional(inner) => ((**inner).clone(), true),
            other => (other.clone(), false),
        };
        let found = match &inner {
            kind if kind.is_dyn() => Type::DYN,
            Type::Built(_) => Type::DYN,
            Type::Map(_, value, _) => (**value).clone(),
            Type::Object(object) => match object.fields.get(&select.field) {
                Some(field) => field.kind.clone(),
                None => self.complain(at, format!("undefined field '{}'", select.field)),
            },
            other => self.complain(at, format!("type '{other}' does not support field selection")),
        };
        match select.form {
            Selection::Test => Type::Bool,
            Selection::Optional => Type::optional(found),
            Selection::Plain if was_optional => Type::optional(found),
            Selection::Plain => found,
        }
    }

    fn call(&mut self, call: &mut Call, id: usize, at: u32) -> Type {
        let target = call.target.as_mut().map(|target| self.visit(target));
        let mixed = self.mixed;
        self.mixed |= call.function == "format";
        let args: Vec<Type> = call.args.iter_mut().map(|arg| self.visit(arg)).collect();
        self.mixed = mixed;
        let Some(function) = functions::find(&call.function) else {
            return self.complain(at, format!("undeclared reference to '{}' (in container '')", call.function));
        };
        self.checked.functions[id] = Some(function);
        let mut found: Option<Type> = None;
        for signature in functions::signatures(function) {
            let Some(result) = apply(signature, target.as_ref(), &args) else { continue };
            found = Some(match found {
                None => result,
                Some(other) if other == result => other.widened(&result),
                Some(_) => Type::DYN,
            });
        }
        found.unwrap_or_else(|| {
            let shown: Vec<String> = args.iter().map(Type::to_string).collect();
            let receiver = target.map(|target| format!("{target}.")).unwrap_or_default();
            let why = format!(
                "found no matching overload for '{}' applied to '{receiver}({})'",
                call.function,
                shown.join(", ")
            );
            self.complain(at, why)
        })
    }

    /// The one type of all; complains of what is another.
    fn gather(&mut self, known: Option<Type>, next: Type, at: u32) -> Type {
        match known {
            None => next,
            Some(known) => match join(&known, &next) {
                Some(joined) => joined,
                None if self.mixed => Type::DYN,
                None => self.complain(at, format!("expected type '{known}' but found '{next}'")),
            },
        }
    }

    fn written(&mut self, value: &mut Expr, optional: bool) -> Type {
        let kind = self.visit(value);
        match kind {
            Type::Optional(inner) if optional => (*inner).clone(),
            kind if optional && !kind.is_dyn() => {
                self.complain(value.at, format!("expected type 'optional_type({kind})' but found '{kind}'"))
            }
            kind => kind,
        }
    }

    fn list(&mut self, items: &mut [Element]) -> Type {
        let mut common = None;
        for item in items.iter_mut() {
            let kind = self.written(&mut item.value, item.optional);
            common = Some(self.gather(common, kind, item.value.at));
        }
        Type::List(Arc::new(common.unwrap_or(Type::DYN)), Bound(items.len() as u64))
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries.iter_mut() {
            let key = self.visit(&mut entry.key);
            keys = Some(self.gather(keys, key, entry.key.at));
            let value = self.written(&mut entry.value, entry.optional);
            values = Some(self.gather(values, value, entry.value.at));
        }
        let (key, value) = (keys.unwrap_or(Type::DYN), values.unwrap_or(Type::DYN));
        Type::Map(Arc::new(key), Arc::new(value), Bound(entries.len() as u64))
    }

    fn build(&mut self, build: &mut Build, at: u32) -> Type {
        if !self.environment.can_build(&build.name) {
            return self.complain(at, format!("undeclared reference to '{}' (in container '')", build.name));
        }
        for set in &mut build.fields {
            let kind = self.written(&mut set.value, set.optional);
            let wanted = match (&*build.name, &*set.field) {
                (JSON_PATCH, "op" | "path" | "from") => Type::STRING,
                (JSON_PATCH, "value") => Type::DYN,
                (JSON_PATCH, other) => {
                    self.complain(set.at, format!("undefined field '{other}'"));
                    continue;
                }
                _ => Type::DYN,
            };
            if join(&wanted, &kind).is_none() {
                let field = &set.field;
                let why = format!("expected type of field '{field}' is '{wanted}' but provided type is '{kind}'");
                self.complain(set.at, why);
            }
        }
        Type::Built(build.name.clone())
    }

    fn fold(&mut self, fold: &mut Fold, at: u32) -> Type {
        let range = self.visit(&mut fold.range);
        let (first, second) = match &range {
            Type::List(item, _) if fold.second.is_some() => (Type::Int, (**item).clone()),
            Type::List(item, _) => ((**item).clone(), Type::DYN),
            Type::Map(key, value, _) => ((**key).clone(), (**value).clone()),
            kind if kind.is_dyn() => (Type::DYN, Type::DYN),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                (self.complain(at, why), Type::DYN)
            }
        };
        let outer = self.locals.len();
        self.locals.push((fold.first.clone(), first.clone()));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        if let Some(filter) = &mut fold.filter {
            let kind = self.visit(filter);
            self.want_bool(&kind, filter.at);
        }
        let body = self.visit(&mut fold.body);
        self.locals.truncate(outer);
        let bound = range.bound();
        match fold.aim {
            Aim::All | Aim::Exists | Aim::ExistsOne => {
                self.want_bool(&body, fold.body.at);
                Type::Bool
            }
            Aim::Filter => {
                self.want_bool(&body, fold.body.at);
                Type::List(Arc::new(first), bound)
            }
            Aim::Map => Type::List(Arc::new(body), bound),
            Aim::Values => Type::Map(
                Arc::new(if matches!(range, Type::List(..)) { Type::Int } else { first }),
                Arc::new(body),
                bound,
            ),
            Aim::Entries => match body {
                Type::Map(key, value, _) => Type::Map(key, value, bound),
                kind if kind.is_dyn() => Type::DYN,
                other => self.complain(fold.body.at, format!("expected type 'map(dyn, dyn)' but found '{other}'")),
            },
        }
    }

    fn want_bool(&mut self, kind: &Type, at: u32) {
        if !kind.is_dyn() && *kind != Type::Bool {
            self.complain(at, format!("expected type 'bool' but found '{kind}'"));
        }
    }

    fn unwrap(&mut self, unwrap: &mut Unwrap, at: u32) -> Type {
        let inner = match self.visit(&mut unwrap.operand) {
            Type::Optional(inner) => (*inner).clone(),
            kind if kind.is_dyn() => Type::DYN,
            other => self.complain(at, format!("found no matching overload for 'optMap' applied to '{other}.()'")),
        };
        self.locals.push((unwrap.variable.clone(), inner));
        let body = self.visit(&mut unwrap.body);
        self.locals.pop();
        match (unwrap.flat, body) {
            (false, body) => Type::optional(body),
            (true, body @ Type::Optional(_)) => body,
            (true, body) if body.is_dyn() => Type::optional(Type::DYN),
            (true, body) => self.complain(at, format!("expected type 'optional_type(dyn)' but found '{body}'")),
        }
    }
}

/// The result where the arguments fit.
fn apply(signature: &Signature, target: Option<&Type>, args: &[Type]) -> Option<Type> {
    let mut substitution = Substitution::default();
    let receiver = match (&signature.receiver, target) {
        (None, None) => true,
        (Some(wanted), Some(given)) => substitution.fits(wanted, given),
        _ => false,
    };
    let fits = receiver
        && signature.args.len() == args.len()
        && signature.args.iter().zip(args).all(|(wanted, given)| substitution.fits(wanted, given));
    fits.then(|| substitution.apply(&signature.result))
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(text) => Type::String(Bound(text.chars().count() as u64)),
        Literal::Bytes(bytes) => Type::Bytes(Bound(bytes.len() as u64)),
    }
}
