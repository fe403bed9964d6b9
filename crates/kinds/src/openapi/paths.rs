//! The paths of a document: what can be done with each resource, where, and with which types.

use super::models::identity;
use super::writer::Writer;
use super::{Dialect, model_name};
use crate::resources::{Kind, Subresource};
use wire::schema::TypeId;

/// `api/v1` or `apis/apps/v1`.
pub fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

pub fn write(out: &mut Writer, dialect: Dialect, kinds: &[&Kind]) {
    for row in kinds {
        let base = format!("/{}", root(&row.group, &row.version));
        let scope = if row.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
        let place = Place { dialect, row, namespaced: row.namespaced };
        if row.namespaced && row.has_verb("list") {
            let everywhere = Place { namespaced: false, ..place };
            everywhere.path(out, &format!("{base}/{}", row.resource), &[("get", "list", "list")], None);
        }
        let collection =
            [("get", "list", "list"), ("post", "create", "post"), ("delete", "deletecollection", "deletecollection")];
        place.path(out, &format!("{scope}/{}", row.resource), &allowed(&collection, &row.verbs), None);
        let item = format!("{scope}/{}/{{name}}", row.resource);
        place.path(out, &item, &allowed(&ITEM, &row.verbs), None);
        for sub in &row.subresources {
            let methods = [&ITEM[..], &[("post", "create", "post")]].concat();
            place.path(out, &format!("{item}/{}", sub.name), &allowed(&methods, &sub.verbs), Some(sub));
        }
    }
}

/// HTTP method, API verb, `x-kubernetes-action`.
type Method = (&'static str, &'static str, &'static str);

const ITEM: [Method; 4] =
    [("get", "get", "get"), ("put", "update", "put"), ("patch", "patch", "patch"), ("delete", "delete", "delete")];

fn allowed(methods: &[Method], verbs: &[&str]) -> Vec<Method> {
    methods.iter().filter(|(_, verb, _)| verbs.contains(verb)).copied().collect()
}

#[derive(Clone, Copy)]
struct Place<'a> {
    dialect: Dialect,
    row: &'a Kind,
    namespaced: bool,
}

impl Place<'_> {
    fn path(self, out: &mut Writer, path: &str, methods: &[Method], sub: Option<&Subresource>) {
        if methods.is_empty() {
            return;
        }
        out.member(path, |out| {
            out.object(|out| {
                for (method, _, action) in methods {
                    out.member(method, |out| self.operation(out, action, sub));
                }
                out.member("parameters", |out| {
                    let named = [("name", path.contains("{name}")), ("namespace", self.namespaced)];
                    out.list(named.iter().filter(|(_, is)| *is), |out, (name, _)| self.path_parameter(out, name));
                });
            });
        });
    }

    fn operation(self, out: &mut Writer, action: &str, sub: Option<&Subresource>) {
        let row = self.row;
        let own = (row.group.as_ref(), row.version.as_ref(), row.kind.as_ref());
        let (group, version, kind) =
            sub.map_or(own, |sub| (sub.group.as_ref(), sub.version.as_ref(), sub.kind.as_ref()));
        let is_own = (group, version, kind) == own;
        let model = row.model.clone().filter(|_| is_own).or_else(|| crate::type_of(group, version, kind).map(model_of));
        let streams = kind.ends_with("Options") || sub.is_some_and(|sub| sub.name == "log");
        let (body, answer) = match action {
            _ if streams => (None, None),
            "list" => (None, row.model.as_ref().map(|model| format!("{model}List")).or(row.list_type_id.map(model_of))),
            "post" | "put" => (model.clone(), model),
            "patch" => (Some(format!("{META}.Patch")), model),
            "delete" if row.is_shown_when_deleted() => (Some(format!("{META}.DeleteOptions")), model),
            "delete" | "deletecollection" => (Some(format!("{META}.DeleteOptions")), Some(format!("{META}.Status"))),
            _ => (None, model),
        };
        let body = body.as_deref();
        out.object(|out| {
            out.member("tags", |out| out.list([camel(row)], |out, tag| out.string(&tag)));
            out.text("operationId", &self.operation_id(action, sub));
            if self.dialect == Dialect::V2 {
                out.member("consumes", |out| out.list(self.takes(action), |out, kind| out.string(kind)));
                out.member("produces", |out| out.list(self.gives(), |out, kind| out.string(kind)));
            }
            out.member("parameters", |out| self.parameters(out, action, body));
            if let Some(body) = body.filter(|_| self.dialect == Dialect::V3) {
                out.member("requestBody", |out| out.object(|out| content(out, self.takes(action), body)));
            }
            out.member("responses", |out| {
                out.object(|out| {
                    for code in if action == "post" { &["200", "201", "202"][..] } else { &["200"] } {
                        out.member(code, |out| self.response(out, answer.as_deref()));
                    }
                });
            });
            out.text("x-kubernetes-action", if streams && action != "get" { "connect" } else { action });
            out.member("x-kubernetes-group-version-kind", |out| identity(out, group, version, kind));
        });
    }

    /// The media types of a body. Custom resources have no struct to merge by, and no protobuf.
    fn takes(self, action: &str) -> &'static [&'static str] {
        match (action, &self.row.model) {
            ("patch", None) => &PATCHES,
            ("patch", Some(_)) => &PATCHES_OF_CUSTOMS,
            _ => &["*/*"],
        }
    }

    fn gives(self) -> &'static [&'static str] {
        if self.row.model.is_some() { &TYPES[..2] } else { &TYPES }
    }

    fn parameters(self, out: &mut Writer, action: &str, body: Option<&str>) {
        let query = match action {
            "post" | "put" => &WRITE[..3],
            "patch" => &WRITE[..],
            "delete" => &DELETE[..],
            "list" | "deletecollection" => &LIST[..],
            _ => &[],
        };
        let in_body = body.filter(|_| self.dialect == Dialect::V2).map(|model| (model, ""));
        let all = in_body.into_iter().chain(query.iter().copied()).chain([("pretty", "string")]);
        out.list(all, |out, (name, kind)| {
            out.object(|out| match kind {
                "" => {
                    out.text("name", "body");
                    out.text("in", "body");
                    out.flag("required", true);
                    out.member("schema", |out| reference(out, Dialect::V2, name));
                }
                kind => {
                    out.text("name", name);
                    out.text("in", "query");
                    self.parameter_type(out, kind);
                }
            });
        });
    }

    fn path_parameter(self, out: &mut Writer, name: &str) {
        out.object(|out| {
            out.text("name", name);
            out.text("in", "path");
            out.flag("required", true);
            self.parameter_type(out, "string");
        });
    }

    fn parameter_type(self, out: &mut Writer, kind: &str) {
        let unique = |out: &mut Writer| {
            out.text("type", kind);
            out.flag("uniqueItems", true);
        };
        match self.dialect {
            Dialect::V2 => unique(out),
            Dialect::V3 => out.member("schema", |out| out.object(unique)),
        }
    }

    fn response(self, out: &mut Writer, model: Option<&str>) {
        out.object(|out| {
            out.text("description", "OK");
            match (self.dialect, model) {
                (Dialect::V2, Some(model)) => out.member("schema", |out| reference(out, Dialect::V2, model)),
                (Dialect::V2, None) => out.member("schema", |out| out.object(|out| out.text("type", "string"))),
                (Dialect::V3, Some(model)) => content(out, self.gives(), model),
                (Dialect::V3, None) => {}
            }
        });
    }

    /// `listCoreV1NamespacedPod`, as upstream's generators name client methods.
    fn operation_id(self, action: &str, sub: Option<&Subresource>) -> String {
        let verb = match action {
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            "deletecollection" => "deleteCollection",
            other => other,
        };
        let scope = if self.namespaced { "Namespaced" } else { "" };
        let everywhere = if self.row.namespaced && !self.namespaced { "ForAllNamespaces" } else { "" };
        let sub = sub.map(|sub| capital(sub.name)).unwrap_or_default();
        let group = capital(&camel(self.row));
        format!("{verb}{group}{scope}{}{sub}{everywhere}", self.row.kind)
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

const TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

const PATCHES_OF_CUSTOMS: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// Query parameters and their types; the last is for patches alone.
const WRITE: [(&str, &str); 4] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];

const DELETE: [(&str, &str); 5] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

const LIST: [(&str, &str); 10] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

fn model_of(id: TypeId) -> String {
    model_name(&crate::schema().get(id).name)
}

fn reference(out: &mut Writer, dialect: Dialect, model: &str) {
    let place = if dialect == Dialect::V2 { "#/definitions" } else { "#/components/schemas" };
    out.object(|out| out.text("$ref", &format!("{place}/{model}")));
}

fn content(out: &mut Writer, types: &[&str], model: &str) {
    out.member("content", |out| {
        out.object(|out| {
            for kind in types {
                out.member(kind, |out| {
                    out.object(|out| out.member("schema", |out| reference(out, Dialect::V3, model)));
                });
            }
        });
    });
}

/// Group and version as one word: `core_v1` has become `coreV1`, `rbacAuthorizationV1`.
fn camel(row: &Kind) -> String {
    let group = row.group.trim_end_matches(".k8s.io");
    let mut words = group.split('.').chain([row.version.as_ref()]);
    let first = words.next().filter(|word| !word.is_empty()).unwrap_or("core");
    first.to_owned() + &words.map(capital).collect::<String>()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
