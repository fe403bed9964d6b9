//! What the variables of expressions stand for in one request.

use super::authorizer::Asker;
use super::{Expression, Variable};
use crate::matching::Seen;
use crate::webhook::{Shape, review};
use crate::{Attributes, Lookup};
use expressions::{Bindings, Check, Fault, Type, Value as Cel, admission};
use meta::Status;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

static NULL: Value = Value::Null;
static DYN: Type = Type::DYN;

/// A request as one webhook or policy sees it.
pub(crate) struct Facts<'r> {
    object: Cow<'r, Value>,
    old: Cow<'r, Value>,
    request: Value,
    namespace: Option<Arc<Value>>,
    asker: Asker<'r>,
    own_check: Check,
}

impl<'r> Facts<'r> {
    /// # Errors
    /// The object cannot be told as what it is to be seen as, or its namespace is gone.
    pub fn gather(
        request: &'r Attributes<'_>,
        seen: &Seen,
        lookup: &'r dyn Lookup,
        shape: &dyn Shape,
    ) -> Result<Self, Status> {
        let told = |object: &'r Value| match object.is_null() || seen.kind == request.kind {
            true => Ok(Cow::Borrowed(object)),
            false => shape.convert(object, &seen.kind).map(Cow::Owned),
        };
        // A namespace is in none, though admission says that it is in itself.
        let is_namespace = request.kind.group.is_empty() && request.kind.kind == "Namespace";
        let namespace = if is_namespace { "" } else { request.namespace };
        let found = lookup.get("", "namespaces", "", namespace).filter(|_| !namespace.is_empty());
        if found.is_none() && !namespace.is_empty() {
            let what = meta::GroupResource { group: "".into(), resource: "namespaces".into() };
            return Err(Status::not_found(&what, namespace));
        }
        Ok(Facts {
            object: told(&request.object)?,
            old: told(request.old_object.unwrap_or(&NULL))?,
            request: review::facts(request, seen, shape),
            namespace: found,
            asker: Asker { user: request.user, lookup },
            own_check: Check {
                group: seen.resource.group.to_string(),
                resource: seen.resource.resource.to_string(),
                subresource: request.subresource.to_owned(),
                namespace: request.namespace.to_owned(),
                name: request.name.to_owned(),
                ..Check::default()
            },
        })
    }

    pub fn scene<'a>(&'a self, params: &'a Value, variables: &'a [Variable]) -> Scene<'a> {
        Scene { facts: self, params, variables, known: RefCell::default(), spent: Cell::new(0) }
    }
}

/// The bindings of one run of a policy: its variables are worked out once, when they are first used.
pub(crate) struct Scene<'a> {
    facts: &'a Facts<'a>,
    params: &'a Value,
    variables: &'a [Variable],
    known: RefCell<BTreeMap<&'a str, Result<Cel<'a>, Fault>>>,
    /// What variables cost, beside the expression that used them.
    spent: Cell<u64>,
}

impl<'a> Scene<'a> {
    pub fn note_spent(&self, cost: u64) {
        self.spent.set(self.spent.get().saturating_add(cost));
    }

    pub fn take_spent(&self) -> u64 {
        self.spent.take()
    }

    fn variable(&self, name: &str) -> Option<Result<Cel<'a>, Fault>> {
        let variable = self.variables.iter().find(|variable| variable.name == name)?;
        if let Some(known) = self.known.borrow().get(variable.name.as_str()) {
            return Some(known.clone());
        }
        let result = self.evaluate(&variable.name, &variable.expression);
        self.known.borrow_mut().insert(&variable.name, result.clone());
        Some(result)
    }

    fn evaluate(&self, name: &str, expression: &'a Expression) -> Result<Cel<'a>, Fault> {
        expression.part(self).map_err(|fault| match fault {
            Fault::Budget => Fault::Budget,
            Fault::Error(why) => {
                let name = name.trim_start_matches("variables.");
                Fault::new(format!("composited variable {name:?} fails to evaluate: {why}"))
            }
        })
    }
}

impl<'a> Bindings<'a> for Scene<'a> {
    fn get(&self, name: &str) -> Option<Result<Cel<'a>, Fault>> {
        let facts = self.facts;
        Some(Ok(match name {
            "object" => Cel::from_json(&facts.object, &DYN),
            "oldObject" => Cel::from_json(&facts.old, &DYN),
            "request" => Cel::from_json(&facts.request, admission::request()),
            "namespaceObject" => match &facts.namespace {
                Some(namespace) => Cel::from_json(namespace, admission::namespace()),
                None => Cel::Null,
            },
            "params" => Cel::from_json(self.params, &DYN),
            "authorizer" => Cel::authorizer(&facts.asker),
            "authorizer.requestResource" => Cel::resource_check(&facts.asker, facts.own_check.clone()),
            name => return self.variable(name),
        }))
    }
}
