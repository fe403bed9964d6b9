//! A small world for the plugins' tests: objects by resource and name, and who may what.

use crate::{ALL, Attributes, Chain, Lookup, Operation, Setup};
use meta::{GroupVersionKind, GroupVersionResource, Status, User};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct World {
    /// By resource, namespace, name.
    pub objects: Vec<(&'static str, Value)>,
    /// `user verb resource name`.
    pub allowed: Vec<&'static str>,
}

fn place(object: &Value) -> (&str, &str) {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

impl Lookup for World {
    fn get(&self, _: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let mut found =
            self.objects.iter().filter(|(own, object)| *own == resource && place(object) == (namespace, name));
        found.next().map(|(_, object)| Arc::new(object.clone()))
    }

    fn list(&self, _: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let inside = |object: &Value| namespace.is_empty() || place(object).0 == namespace;
        let found = self.objects.iter().filter(|(own, object)| *own == resource && inside(object));
        found.map(|(_, object)| Arc::new(object.clone())).collect()
    }

    fn decide(&self, user: &User, check: &expressions::Check) -> expressions::Decision {
        let what = check.path.as_deref().unwrap_or(&check.resource);
        let user = check.user.as_deref().unwrap_or(&user.name);
        let asked = format!("{user} {} {what} {}", check.verb, check.name);
        expressions::Decision { allowed: self.allowed.contains(&asked.as_str()), ..expressions::Decision::default() }
    }

    fn resource_of(&self, _: &str, kind: &str) -> Option<(GroupVersionResource, bool)> {
        let plural = format!("{}s", kind.to_lowercase());
        let known = self.objects.iter().any(|(own, _)| *own == plural);
        known.then(|| (GroupVersionResource { group: "".into(), version: "v1".into(), resource: plural.into() }, true))
    }

    fn allows(&self, asked: &meta::Attributes<'_>) -> bool {
        let asked = format!("{} {} {} {}", asked.user.name, asked.verb, asked.resource, asked.name);
        self.allowed.contains(&asked.as_str())
    }
}

/// A write as the API server would bring it.
pub(crate) struct Write<'a> {
    pub plugin: &'static str,
    pub operation: Operation,
    /// `group/resource` with an optional `/subresource`; the core group is empty.
    pub on: &'a str,
    pub user: User,
    pub old: Option<Value>,
}

pub(crate) fn create<'a>(plugin: &'static str, on: &'a str) -> Write<'a> {
    Write { plugin, operation: Operation::Create, on, user: User::new("jane", &[]), old: None }
}

pub(crate) fn update<'a>(plugin: &'static str, on: &'a str, old: Value) -> Write<'a> {
    Write { operation: Operation::Update, old: Some(old), ..create(plugin, on) }
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub object: Value,
    pub warnings: Vec<String>,
    pub audit: BTreeMap<String, String>,
}

impl Write<'_> {
    pub fn by(mut self, name: &str, groups: &[&str]) -> Self {
        self.user = User::new(name, groups);
        self
    }

    /// Runs both phases of the one plugin.
    pub fn run(&self, world: &World, object: Value) -> Result<Outcome, Status> {
        let setup = Setup { clock: base::Clock::real(), rng: base::Rng::seeded(1), gates: Default::default() };
        let def = ALL.iter().find(|def| def.name == self.plugin).unwrap();
        let chain = Chain::new(vec![(def.build)(&setup)]);
        let mut parts = self.on.splitn(3, '/');
        let group = parts.next().unwrap().to_owned();
        let resource = parts.next().unwrap().to_owned();
        let (namespace, name) = match &self.old {
            Some(old) => place(old),
            None => place(&object),
        };
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let mut object = object;
        let mut attributes = Attributes {
            operation: self.operation,
            kind: GroupVersionKind::of("", "v1", "Any"),
            resource: GroupVersionResource { group: group.into(), version: "v1".into(), resource: resource.into() },
            subresource: parts.next().unwrap_or_default(),
            namespace: &namespace,
            name: &name,
            object: (&mut object).into(),
            old_object: self.old.as_ref(),
            user: &self.user,
            dry_run: false,
            options: &Value::Null,
            audit: BTreeMap::new(),
        };
        let mut warnings = chain.admit(&mut attributes, world)?;
        warnings.extend(chain.validate(&mut attributes, world)?);
        let audit = attributes.audit;
        Ok(Outcome { object, warnings, audit })
    }

    /// The object after the plugin.
    pub fn object(&self, world: &World, object: Value) -> Value {
        self.run(world, object).unwrap().object
    }

    /// The message of the refusal.
    pub fn refusal(&self, world: &World, object: Value) -> String {
        self.run(world, object).unwrap_err().message
    }
}

/// Requests are seen as what they are; what is applied is merged as JSON.
pub(crate) struct AsIs;

impl crate::webhook::Shape for AsIs {
    fn requested(&self) -> Option<(GroupVersionResource, GroupVersionKind)> {
        None
    }

    fn equivalents(&self) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        Vec::new()
    }

    fn convert(&self, object: &Value, _: &GroupVersionKind) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn merge(&self, object: &Value, applied: Value, _: &GroupVersionKind) -> Result<Value, String> {
        wire::patch::merge_patch(object, applied.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn reread(&self, object: Value, _: &GroupVersionKind) -> Result<Value, Status> {
        Ok(object)
    }
}
