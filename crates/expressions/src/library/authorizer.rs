//! Asking whether a user may do something, from within an expression.
//!
//! Who the user is and who decides are the caller's: expressions see an [`Authorizer`].

use super::Held;
use crate::cost::{CHECK, Price};
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::types::Opaque;
use crate::value::Value;

/// Decides for the user of the request, or for a service account in its place.
pub trait Authorizer: Send + Sync {
    fn check(&self, check: &Check) -> Decision;
}

/// What is asked: a resource's verb, or a path's where `path` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    pub verb: String,
    pub path: Option<String>,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
    /// `system:serviceaccount:ns:name` where another than the request's user is asked about.
    pub user: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

/// A check that is being built.
#[derive(Clone)]
pub struct Pending<'a> {
    pub kind: Opaque,
    authorizer: &'a dyn Authorizer,
    check: Check,
}

impl<'a> Value<'a> {
    /// The value of the variable `authorizer`.
    pub fn authorizer(authorizer: &'a dyn Authorizer) -> Self {
        Value::held(Held::Authorizer(authorizer, None))
    }

    /// The value of `authorizer.requestResource`.
    pub fn resource_check(authorizer: &'a dyn Authorizer, check: Check) -> Self {
        Value::held(Held::Check(Pending { kind: Opaque::ResourceCheck, authorizer, check }))
    }
}

const RESOURCE: &[&str] = &["resource_check.(string) resource_check"];

pub const FUNCTIONS: &[Function] = &[
    Function::new("serviceAccount", &["authorizer.(string, string) authorizer"], Price::One, service_account),
    Function::new("path", &["authorizer.(string) path_check"], Price::One, |_, values| {
        start(values, Opaque::PathCheck, |check, text| check.path = Some(text))
    }),
    Function::new("group", &["authorizer.(string) group_check"], Price::One, |_, values| {
        start(values, Opaque::GroupCheck, |check, text| check.group = text)
    }),
    Function::new("resource", &["group_check.(string) resource_check"], Price::One, |_, values| {
        refine(values, |check, text| check.resource = text)
    }),
    Function::new("subresource", RESOURCE, Price::One, |_, values| {
        refine(values, |check, text| check.subresource = text)
    }),
    Function::new("namespace", RESOURCE, Price::One, |_, values| refine(values, |check, text| check.namespace = text)),
    Function::new("name", RESOURCE, Price::One, |_, values| refine(values, |check, text| check.name = text)),
    Function::new("fieldSelector", RESOURCE, Price::One, |_, values| {
        refine(values, |check, text| check.field_selector = text)
    }),
    Function::new("labelSelector", RESOURCE, Price::One, |_, values| {
        refine(values, |check, text| check.label_selector = text)
    }),
    Function::new(
        "check",
        &["path_check.(string) decision", "resource_check.(string) decision"],
        Price::Fixed(CHECK),
        ask,
    ),
    Function::new("allowed", &["decision.() bool"], Price::One, |_, values| Ok(Value::Bool(decision(values)?.allowed))),
    Function::new("reason", &["decision.() string"], Price::One, |_, values| {
        Ok(Value::string(&*decision(values)?.reason))
    }),
    Function::new("errored", &["decision.() bool"], Price::One, |_, values| {
        Ok(Value::Bool(decision(values)?.error.is_some()))
    }),
    Function::new("error", &["decision.() string"], Price::One, |_, values| {
        Ok(Value::string(decision(values)?.error.as_deref().unwrap_or_default()))
    }),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn service_account<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::Opaque(held), Value::String(namespace), Value::String(name)] = values else {
        return Err(Fault::no_overload());
    };
    let Held::Authorizer(authorizer, _) = &**held else { return Err(Fault::no_overload()) };
    let user = format!("system:serviceaccount:{}:{}", &**namespace, &**name);
    Ok(Value::held(Held::Authorizer(*authorizer, Some(user))))
}

fn start<'a>(values: &[Value<'a>], kind: Opaque, set: fn(&mut Check, String)) -> Result<'a> {
    let [Value::Opaque(held), Value::String(text)] = values else { return Err(Fault::no_overload()) };
    let Held::Authorizer(authorizer, user) = &**held else { return Err(Fault::no_overload()) };
    let mut check = Check { user: user.clone(), ..Check::default() };
    set(&mut check, text.to_string());
    Ok(Value::held(Held::Check(Pending { kind, authorizer: *authorizer, check })))
}

fn refine<'a>(values: &[Value<'a>], set: fn(&mut Check, String)) -> Result<'a> {
    let [Value::Opaque(held), Value::String(text)] = values else { return Err(Fault::no_overload()) };
    let Held::Check(pending) = &**held else { return Err(Fault::no_overload()) };
    let mut pending = Pending { kind: Opaque::ResourceCheck, ..pending.clone() };
    set(&mut pending.check, text.to_string());
    Ok(Value::held(Held::Check(pending)))
}

fn ask<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::Opaque(held), Value::String(verb)] = values else { return Err(Fault::no_overload()) };
    let Held::Check(pending) = &**held else { return Err(Fault::no_overload()) };
    let check = Check { verb: verb.to_string(), ..pending.check.clone() };
    Ok(Value::held(Held::Decision(pending.authorizer.check(&check))))
}

fn decision<'v>(values: &'v [Value<'_>]) -> std::result::Result<&'v Decision, Fault> {
    match values {
        [Value::Opaque(held)] => match &**held {
            Held::Decision(decision) => Ok(decision),
            _ => Err(Fault::no_overload()),
        },
        _ => Err(Fault::no_overload()),
    }
}
