//! What expressions of admission may name: match conditions of webhooks, and policies.

use crate::{Environment, Opaque, Type};
use std::sync::OnceLock;

/// Which of the variables a place has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sight {
    pub params: bool,
    pub authorizer: bool,
}

/// `object`, `oldObject`, `request`, `namespaceObject`, and what `sight` adds.
pub fn environment(sight: Sight) -> Environment {
    let mut environment = Environment::new()
        .with("object", Type::DYN)
        .with("oldObject", Type::DYN)
        .with("request", request().clone())
        .with("namespaceObject", namespace().clone())
        // Its fields are declared one by one, as `variables.name`.
        .with("variables", Type::object("kubernetes.variables", []));
    if sight.params {
        environment.declare("params", Type::DYN);
    }
    if sight.authorizer {
        environment.declare("authorizer", Type::Opaque(Opaque::Authorizer));
        environment.declare("authorizer.requestResource", Type::Opaque(Opaque::ResourceCheck));
    }
    environment
}

fn text() -> Type {
    Type::STRING
}

fn texts() -> Type {
    Type::list(text())
}

/// The type of `request`.
pub fn request() -> &'static Type {
    static TYPE: OnceLock<Type> = OnceLock::new();
    TYPE.get_or_init(|| {
        let named = |name: &str, last: &'static str| {
            Type::object(name, [("group", text()), ("version", text()), (last, text())])
        };
        let kind = named("kubernetes.GroupVersionKind", "kind");
        let resource = named("kubernetes.GroupVersionResource", "resource");
        let user = Type::object(
            "kubernetes.UserInfo",
            [("username", text()), ("uid", text()), ("groups", texts()), ("extra", Type::map(text(), texts()))],
        );
        let fields = [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::DYN),
        ];
        Type::object("kubernetes.AdmissionRequest", fields)
    })
}

/// The type of `namespaceObject`.
pub fn namespace() -> &'static Type {
    static TYPE: OnceLock<Type> = OnceLock::new();
    TYPE.get_or_init(|| {
        let metadata = [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", Type::map(text(), text())),
            ("annotations", Type::map(text(), text())),
            ("UID", text()),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ];
        let metadata = Type::object("kubernetes.NamespaceMetadata", metadata);
        let spec = Type::object("kubernetes.NamespaceSpec", [("finalizers", texts())]);
        let status = Type::object("kubernetes.NamespaceStatus", [("phase", text())]);
        Type::object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
    })
}
