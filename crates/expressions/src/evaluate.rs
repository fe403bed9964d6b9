//! Runs a checked expression. Each step is paid for; an expression that runs out of its budget ends.

use crate::cost::{CREATE_LIST, CREATE_MAP, CREATE_STRUCT};
use crate::environment::Environment;
use crate::fault::Fault;
use crate::functions::Function;
use crate::syntax::ast::{Aim, Build, Call, Element, Entry, Expr, Fold, Kind, Literal, Select, Selection, Unwrap};
use crate::types::Type;
use crate::value::{Key, List, Map, Text, Value};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The values of the variables that the environment declared.
pub trait Bindings<'a> {
    /// None: the variable has no value here. Asked once for each use; a variable that is itself an
    /// expression should keep what it came to.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Fault>>;
}

/// Bindings that are values already.
#[derive(Debug, Default)]
pub struct Scope<'a>(BTreeMap<&'a str, Value<'a>>);

impl<'a> Scope<'a> {
    pub fn new() -> Self {
        Scope::default()
    }

    /// A variable out of JSON, as its declared type.
    pub fn json(mut self, name: &'a str, json: &'a serde_json::Value, kind: &'a Type) -> Self {
        self.0.insert(name, Value::from_json(json, kind));
        self
    }

    pub fn value(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.0.insert(name, value);
        self
    }
}

impl<'a> Bindings<'a> for Scope<'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Fault>> {
        self.0.get(name).cloned().map(Ok)
    }
}

/// What a run has cost, and what it may.
#[derive(Debug)]
pub struct Meter {
    pub(crate) spent: u64,
    limit: u64,
    /// Bytes and elements copied or compared that upstream's costs do not count.
    work: u64,
    patterns: Arc<BTreeMap<String, Regex>>,
}

/// Beyond this much copying and comparing a run is cut off, whatever it has paid: some functions
/// are cheaper in upstream's costs than they are.
const MAX_WORK: u64 = 100_000_000;

/// What a value takes in a list.
pub const PLACE: u64 = 32;

/// Larger automata are refused.
const MAX_PATTERN: usize = 1 << 20;

impl Meter {
    pub fn new(limit: u64, patterns: Arc<BTreeMap<String, Regex>>) -> Self {
        Meter { spent: 0, limit, work: 0, patterns }
    }

    pub fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.limit { Err(Fault::Budget) } else { Ok(()) }
    }

    pub fn work(&mut self, amount: u64) -> Result<(), Fault> {
        self.work = self.work.saturating_add(amount);
        if self.work > MAX_WORK { Err(Fault::Budget) } else { Ok(()) }
    }

    pub fn pattern(&mut self, pattern: &str) -> Result<Regex, Fault> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        self.work(1000 + 10 * pattern.len() as u64)?;
        compile_pattern(pattern).map_err(Fault::new)
    }

    pub fn equal(&mut self, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Fault> {
        self.work(1)?;
        Ok(match (a, b) {
            (Value::Null, Value::Null) => true,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::String(a), Value::String(b)) => {
                self.work((a.len().min(b.len()) / 16) as u64)?;
                **a == **b
            }
            (Value::List(a), Value::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.equal(&a, &b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(a), Value::Map(b)) => return self.equal_maps(a, b),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => self.equal(a, b)?,
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Opaque(a), Value::Opaque(b)) => a.equal(b),
            (a, b) => a.compare(b) == Some(std::cmp::Ordering::Equal),
        })
    }

    fn equal_maps(&mut self, a: &Map<'_>, b: &Map<'_>) -> Result<bool, Fault> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (key, value) in a.entries() {
            match b.get(&key) {
                Some(other) if self.equal(&value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// RE2's syntax, which has no look-around and no back references, as the crate's.
pub fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN).build();
    built.map_err(|_| format!("error parsing regexp: `{pattern}`"))
}

pub struct Run<'a, 'b> {
    pub meter: Meter,
    pub bindings: &'b dyn Bindings<'a>,
    pub functions: &'a [Option<&'static Function>],
    pub locals: Vec<(&'a str, Value<'a>)>,
}

type Evaluated<'a> = Result<Value<'a>, Fault>;

impl<'a> Run<'a, '_> {
    pub fn value(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(constant(literal)),
            Kind::Ident(name) => self.name(name),
            Kind::Select(select) => self.select(select),
            Kind::Call(call) => self.call(call, expr.id),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Build(build) => self.build(build),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Unwrap(unwrap) => self.unwrap(unwrap),
        }
    }

    fn name(&mut self, name: &'a str) -> Evaluated<'a> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            let value = value.clone();
            self.meter.spend(1)?;
            return Ok(value);
        }
        if let Some(bound) = self.bindings.get(name) {
            self.meter.spend(1)?;
            return bound;
        }
        Environment::type_name(name).map(Value::Type).ok_or_else(|| Fault::new(format!("no such attribute(s): {name}")))
    }

    fn select(&mut self, select: &'a Select) -> Evaluated<'a> {
        let operand = self.value(&select.operand)?;
        if select.form != Selection::Test {
            self.meter.spend(1)?;
        }
        let (operand, was_optional) = match operand {
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            Value::Optional(None) if select.form == Selection::Test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            other => (other, false),
        };
        let found = match &operand {
            Value::Map(map) => map.field(&select.field),
            _ if select.form == Selection::Test => None,
            _ => return Err(Fault::no_key(&select.field)),
        };
        match select.form {
            Selection::Test => Ok(Value::Bool(found.is_some())),
            Selection::Plain if !was_optional => found.ok_or_else(|| Fault::no_key(&select.field)),
            _ => Ok(Value::Optional(found.map(Arc::new))),
        }
    }

    fn call(&mut self, call: &'a Call, id: u32) -> Evaluated<'a> {
        match (&*call.function, call.args.as_slice()) {
            ("_&&_", [left, right]) => return self.logic(left, right, false),
            ("_||_", [left, right]) => return self.logic(left, right, true),
            ("_?_:_", [condition, then, otherwise]) => {
                return match self.value(condition)? {
                    Value::Bool(true) => self.value(then),
                    Value::Bool(false) => self.value(otherwise),
                    _ => Err(Fault::no_overload()),
                };
            }
            ("or" | "orValue", [other]) => {
                if let Some(target) = &call.target {
                    return self.otherwise(target, other, &call.function);
                }
            }
            _ => {}
        }
        let function = self.functions.get(id as usize).copied().flatten().ok_or_else(Fault::no_overload)?;
        let mut values = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.iter().chain(&call.args) {
            values.push(self.value(arg)?);
        }
        // Before, so that a dear call is not made by who cannot pay for it.
        self.meter.spend(function.price.before(&values))?;
        let result = (function.run)(&mut self.meter, &values)?;
        self.meter.spend(function.price.after(&result))?;
        Ok(result)
    }

    /// `&&` and `||`: whichever side decides does so, even where the other one fails.
    fn logic(&mut self, left: &'a Expr, right: &'a Expr, decides: bool) -> Evaluated<'a> {
        let first = self.value(left);
        match first {
            Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
            Err(Fault::Budget) => return Err(Fault::Budget),
            _ => {}
        }
        match (first, self.value(right)) {
            (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
            (_, Err(Fault::Budget)) => Err(Fault::Budget),
            (Err(fault), _) | (Ok(Value::Bool(_)), Err(fault)) => Err(fault),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decides)),
            _ => Err(Fault::no_overload()),
        }
    }

    fn otherwise(&mut self, target: &'a Expr, other: &'a Expr, function: &str) -> Evaluated<'a> {
        let target = self.value(target)?;
        self.meter.spend(1)?;
        match target {
            Value::Optional(None) => self.value(other),
            Value::Optional(Some(inner)) if function == "orValue" => Ok((*inner).clone()),
            Value::Optional(some) => Ok(Value::Optional(some)),
            _ => Err(Fault::no_overload()),
        }
    }

    fn list(&mut self, items: &'a [Element]) -> Evaluated<'a> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match self.value(&item.value)? {
                Value::Optional(inner) if item.optional => values.extend(inner.map(|inner| (*inner).clone())),
                _ if item.optional => return Err(Fault::no_overload()),
                value => values.push(value),
            }
        }
        self.meter.spend(CREATE_LIST)?;
        self.meter.work(PLACE * values.len() as u64)?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        let mut built = BTreeMap::new();
        for entry in entries {
            let key = self.value(&entry.key)?;
            let value = match self.value(&entry.value)? {
                Value::Optional(None) if entry.optional => continue,
                Value::Optional(Some(inner)) if entry.optional => (*inner).clone(),
                _ if entry.optional => return Err(Fault::no_overload()),
                value => value,
            };
            insert(&mut built, key, value)?;
        }
        self.meter.spend(CREATE_MAP)?;
        self.meter.work(4 * PLACE * built.len() as u64)?;
        Ok(Value::Map(Map::Own(Arc::new(built))))
    }

    fn build(&mut self, build: &'a Build) -> Evaluated<'a> {
        let mut fields = BTreeMap::new();
        for set in &build.fields {
            let value = match self.value(&set.value)? {
                Value::Optional(None) if set.optional => continue,
                Value::Optional(Some(inner)) if set.optional => (*inner).clone(),
                _ if set.optional => return Err(Fault::no_overload()),
                value => value,
            };
            insert(&mut fields, Value::text(&set.field), value)?;
        }
        self.meter.spend(CREATE_STRUCT)?;
        self.meter.work(4 * PLACE * fields.len() as u64)?;
        Ok(Value::Map(Map::Built(build.name.clone(), Arc::new(fields))))
    }

    fn unwrap(&mut self, unwrap: &'a Unwrap) -> Evaluated<'a> {
        let inner = match self.value(&unwrap.operand)? {
            Value::Optional(Some(inner)) => (*inner).clone(),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            _ => return Err(Fault::no_overload()),
        };
        self.meter.spend(1)?;
        self.locals.push((&unwrap.variable, inner));
        let body = self.value(&unwrap.body);
        self.locals.pop();
        match (unwrap.flat, body?) {
            (false, body) => Ok(Value::Optional(Some(Arc::new(body)))),
            (true, body @ Value::Optional(_)) => Ok(body),
            _ => Err(Fault::no_overload()),
        }
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        let range = self.value(&fold.range)?;
        let mut gathered = Gathered::new(fold.aim);
        self.meter.spend(gathered.init())?;
        match range {
            Value::List(list) => {
                for at in 0..list.len() {
                    let (Some(item), index) = (list.get(at), Value::Int(at as i64)) else { break };
                    if self.step(fold, index, item, true, &mut gathered)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                self.meter.work(PLACE * map.len() as u64)?;
                for (key, value) in map.entries() {
                    if self.step(fold, key, value, false, &mut gathered)? {
                        break;
                    }
                }
            }
            _ => return Err(Fault::no_overload()),
        }
        self.meter.spend(if fold.aim == Aim::ExistsOne { 2 } else { 1 })?;
        gathered.result()
    }

    /// One element; true: the rest changes nothing.
    fn step(
        &mut self,
        fold: &'a Fold,
        key: Value<'a>,
        value: Value<'a>,
        of_list: bool,
        gathered: &mut Gathered<'a>,
    ) -> Result<bool, Fault> {
        let outer = self.locals.len();
        let element = if of_list && fold.second.is_none() { value.clone() } else { key.clone() };
        self.locals.push((&fold.first, element.clone()));
        if let Some(second) = &fold.second {
            self.locals.push((second, value));
        }
        let wanted = match &fold.filter {
            None => Ok(true),
            Some(filter) => self.value(filter).and_then(|value| value.as_bool().ok_or_else(Fault::no_overload)),
        };
        let body = match wanted {
            Ok(true) => Some(self.value(&fold.body)),
            Ok(false) => None,
            Err(fault) => Some(Err(fault)),
        };
        self.locals.truncate(outer);
        let Some(body) = body else {
            self.meter.spend(1)?;
            return Ok(false);
        };
        if matches!(body, Err(Fault::Budget)) {
            return Err(Fault::Budget);
        }
        let (cost, done) = gathered.take(body, element, key)?;
        self.meter.spend(cost)?;
        Ok(done)
    }
}

/// What a walk has come to so far.
struct Gathered<'a> {
    aim: Aim,
    decided: bool,
    count: usize,
    fault: Option<Fault>,
    items: Vec<Value<'a>>,
    entries: BTreeMap<Key, (Value<'a>, Value<'a>)>,
}

impl<'a> Gathered<'a> {
    fn new(aim: Aim) -> Self {
        Gathered { aim, decided: false, count: 0, fault: None, items: Vec::new(), entries: BTreeMap::new() }
    }

    fn init(&self) -> u64 {
        match self.aim {
            Aim::Map | Aim::Filter => CREATE_LIST,
            Aim::Values | Aim::Entries => CREATE_MAP,
            _ => 0,
        }
    }

    /// What it costs, as if it were unfolded the way upstream does it, and whether it is decided.
    fn take(&mut self, body: Evaluated<'a>, element: Value<'a>, key: Value<'a>) -> Result<(u64, bool), Fault> {
        match self.aim {
            Aim::All | Aim::Exists => {
                match body {
                    Ok(Value::Bool(value)) => self.decided = value == (self.aim == Aim::Exists),
                    Ok(_) => self.fault = Some(Fault::no_overload()),
                    Err(fault) => self.fault = Some(fault),
                }
                Ok((if self.aim == Aim::All { 3 } else { 4 }, self.decided))
            }
            Aim::ExistsOne => {
                let holds = body?.as_bool().ok_or_else(Fault::no_overload)?;
                self.count += usize::from(holds);
                Ok((1 + u64::from(holds), false))
            }
            Aim::Map => {
                self.items.push(body?);
                Ok((12, false))
            }
            Aim::Filter => {
                let holds = body?.as_bool().ok_or_else(Fault::no_overload)?;
                if holds {
                    self.items.push(element);
                }
                Ok((if holds { 13 } else { 1 }, false))
            }
            Aim::Values => {
                insert(&mut self.entries, key, body?)?;
                Ok((3, false))
            }
            Aim::Entries => {
                let Value::Map(map) = body? else { return Err(Fault::no_overload()) };
                for (key, value) in map.entries() {
                    insert(&mut self.entries, key, value)?;
                }
                Ok((2, false))
            }
        }
    }

    fn result(self) -> Evaluated<'a> {
        match self.aim {
            Aim::All | Aim::Exists => match self.fault {
                _ if self.decided => Ok(Value::Bool(self.aim == Aim::Exists)),
                Some(fault) => Err(fault),
                None => Ok(Value::Bool(self.aim == Aim::All)),
            },
            Aim::ExistsOne => Ok(Value::Bool(self.count == 1)),
            Aim::Map | Aim::Filter => Ok(Value::list(self.items)),
            Aim::Values | Aim::Entries => Ok(Value::Map(Map::Own(Arc::new(self.entries)))),
        }
    }
}

fn insert<'a>(
    entries: &mut BTreeMap<Key, (Value<'a>, Value<'a>)>,
    key: Value<'a>,
    value: Value<'a>,
) -> Result<(), Fault> {
    let place = Key::of(&key).filter(|_| !matches!(key, Value::Double(_)));
    let place = place.ok_or_else(|| Fault::new(format!("unsupported key type: {}", key.type_name())))?;
    let shown = shown_key(&key);
    match entries.insert(place, (key, value)) {
        None => Ok(()),
        Some(_) => Err(Fault::new(format!("insert failed: key {shown} already exists"))),
    }
}

fn shown_key(key: &Value<'_>) -> String {
    match key {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}

fn constant<'a>(literal: &Literal) -> Value<'a> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(number) => Value::Int(*number),
        Literal::Uint(number) => Value::Uint(*number),
        Literal::Double(number) => Value::Double(*number),
        Literal::String(text) => Value::String(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// `a[b]` without the error where there is no such element.
pub fn index<'a>(container: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, Fault> {
    match (container, key) {
        (Value::List(list), key) => {
            let at = match Key::of(key) {
                Some(Key::Number(at)) => at,
                _ => return Err(Fault::no_overload()),
            };
            Ok(usize::try_from(at).ok().and_then(|at| list.get(at)))
        }
        (Value::Map(map), key) => Ok(map.get(key)),
        _ => Err(Fault::no_overload()),
    }
}

impl<'a> From<Vec<Value<'a>>> for List<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        List::Own(items.into())
    }
}
