//! `apply --prune --applyset=…`: a parent object in the cluster remembers what belongs together.
//!
//! Members carry the set's id as a label; the parent says which kinds and which namespaces they are of. It is
//! widened before anything is applied and narrowed after everything else is gone, so that a run that was cut
//! short forgets nobody. Called by `apply`, which applies the members itself.

use super::prune;
use crate::changes::Write;
use crate::discovery::Resource;
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::output::error_line;
use crate::print::{DryRun, Teller};
use crate::session::{Call, Session};
use crate::targets::{Target, listed_by};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

const ID: &str = "applyset.kubernetes.io/id";
const PART_OF: &str = "applyset.kubernetes.io/part-of";
const IS_PARENT: &str = "applyset.kubernetes.io/is-parent-type";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
const TOOL: &str = "kubectl";
const MANAGER: &str = "kubectl-applyset";
/// Kinds that can be a parent without saying so, and are made where they are missing.
const BUILT_IN: [&str; 2] = ["secrets", "configmaps"];

/// The flag is one for those who ask for it.
pub fn is_switched_on() -> bool {
    std::env::var("KUBECTL_APPLYSET").is_ok_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What members are of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Contents {
    /// `ConfigMap`, `Deployment.apps`
    kinds: BTreeSet<String>,
    /// Without the parent's own.
    namespaces: BTreeSet<String>,
}

/// A set by its parent.
pub struct Set {
    parent: Resource,
    namespace: Option<String>,
    name: String,
    /// What the parent says, and what is applied now.
    known: Contents,
    wanted: Contents,
}

impl Set {
    /// The set that the flags name; None: they name none.
    pub async fn of(session: &Session, args: &Args) -> Outcome<Option<Self>> {
        let reference = args.text("applyset");
        if reference.is_empty() {
            return Ok(None);
        }
        let (word, name) = reference.split_once('/').unwrap_or((BUILT_IN[0], reference));
        let invalid = |why: &str| Failure::message(format!("invalid parent reference {reference:?}: {why}"));
        if name.is_empty() {
            return Err(invalid("name cannot be blank"));
        }
        let Ok(parent) = session.resource(word).await else {
            let (resource, group) = word.split_once('.').unwrap_or((word, ""));
            return Err(invalid(&format!("no matches for {group}/, Resource={resource}")));
        };
        if !args.bool("prune") {
            return Err(Failure::message("--applyset requires --prune"));
        }
        let namespace = session.given_namespace().filter(|_| parent.namespaced).map(str::to_owned);
        if parent.namespaced && namespace.is_none() {
            return Err(Failure::message("namespace is required to use namespace-scoped ApplySet"));
        }
        let (known, wanted) = (Contents::default(), Contents::default());
        let set = Set { parent, namespace, name: name.to_owned(), known, wanted };
        if !set.is_built_in() && !set.may_be_parent(session).await? {
            return Err(Failure::message(format!(
                "resource \"{}/{}, Resource={}\" is not permitted as an ApplySet parent",
                set.parent.group, set.parent.version, set.parent.name
            )));
        }
        Ok(Some(set))
    }

    fn is_built_in(&self) -> bool {
        self.parent.group.is_empty() && BUILT_IN.contains(&self.parent.name.as_str())
    }

    async fn may_be_parent(&self, session: &Session) -> Outcome<bool> {
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.{}",
            self.parent.name, self.parent.group
        );
        match session.json(Call::get(path)).await {
            Ok(definition) => Ok(!definition["metadata"]["labels"][IS_PARENT].is_null()),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn path(&self) -> String {
        self.parent.path(self.namespace.as_deref(), Some(&self.name), None)
    }

    /// As messages name the parent.
    fn shown(&self) -> String {
        format!("{}.{}/{}", self.parent.name, self.parent.group, self.name)
    }

    fn id(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        id(&self.name, namespace, &self.parent.kind, &self.parent.group)
    }

    /// Reads the parent, makes the targets members, and lets the parent speak for both what was and what comes.
    pub async fn begin(mut self, session: &Session, write: &Write, targets: &mut [Target]) -> Outcome<Self> {
        let id = self.id();
        for target in targets {
            self.take(target, &id)?;
        }
        self.known = match session.json(Call::get(self.path())).await {
            Ok(parent) => self.read(session, &parent).await?,
            Err(failure) if failure.is_not_found() && self.is_built_in() => Contents::default(),
            Err(failure) if failure.is_not_found() => {
                return Err(Failure::message("custom resource ApplySet parents cannot be created automatically"));
            }
            Err(failure) => {
                let why = failure.status().map_or_else(|| failure.to_string(), |status| status.message.clone());
                let shown = self.shown();
                return Err(Failure::message(format!("failed to fetch ApplySet parent object {shown:?}: {why}")));
            }
        };
        let both = Contents {
            kinds: self.known.kinds.union(&self.wanted.kinds).cloned().collect(),
            namespaces: self.known.namespaces.union(&self.wanted.namespaces).cloned().collect(),
        };
        self.write(session, write, &both).await?;
        Ok(self)
    }

    /// Makes one target a member.
    fn take(&mut self, target: &mut Target, id: &str) -> Outcome {
        self.wanted.kinds.insert(group_kind(&target.resource));
        self.wanted.namespaces.extend(target.namespace.clone().filter(|one| Some(one) != self.namespace.as_ref()));
        let Some(metadata) = target.object.as_mut().and_then(|object| object["metadata"].as_object_mut()) else {
            return Ok(());
        };
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if !labels[PART_OF].is_null() {
            return Err(Failure::message(format!("ApplySet label {PART_OF:?} already set in input data")));
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(PART_OF.to_owned(), json!(id));
        } else {
            *labels = json!({PART_OF: id});
        }
        Ok(())
    }

    /// What a parent says; an object that was not made as one is left alone.
    async fn read(&self, session: &Session, parent: &Value) -> Outcome<Contents> {
        let shown = self.shown();
        let annotation = |key: &str| parent["metadata"]["annotations"][key].as_str();
        let refused = |why: String| Err(Failure::message(format!("ApplySet parent object {shown:?} {why}")));
        let Some(tooling) = annotation(TOOLING) else {
            return refused(format!("already exists and is missing required annotation {TOOLING:?}"));
        };
        let tool = tooling.split('/').next().unwrap_or_default();
        if tool != TOOL {
            return refused(format!("already exists and is managed by tooling {tool:?} instead of {TOOL:?}"));
        }
        match parent["metadata"]["labels"][ID].as_str() {
            None => return refused(format!("exists and does not have required label {ID}")),
            Some(found) if found != self.id() => {
                let wanted = self.id();
                return refused(format!(
                    "exists and has incorrect value for label {ID:?} (got: {found}, want: {wanted})"
                ));
            }
            Some(_) => {}
        }
        let parsing = |why: String| Failure::message(format!("parsing ApplySet annotation on {shown:?}: {why}"));
        let Some(kinds) = annotation(KINDS) else {
            let why = format!("kubectl requires the {KINDS:?} annotation to be set on all ApplySet parent objects");
            return Err(parsing(why));
        };
        let words = |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let known = Contents { kinds: words(kinds), namespaces: words(annotation(NAMESPACES).unwrap_or_default()) };
        for one in &known.kinds {
            let (kind, group) = split(one);
            if session.discovery().await?.of_group_kind(group, kind).is_none() {
                let missing = format!("no matches for kind {kind:?} in group {group:?}");
                return Err(parsing(format!("could not find mapping for kind in {KINDS:?} annotation: {missing}")));
            }
        }
        Ok(known)
    }

    /// Lets the parent say what members are of.
    async fn write(&self, session: &Session, write: &Write, contents: &Contents) -> Outcome {
        if write.dry_run == DryRun::Client {
            return Ok(());
        }
        let joined = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(",");
        let mut parent = json!({
            "apiVersion": self.parent.api_version(),
            "kind": self.parent.kind,
            "metadata": {
                "name": self.name,
                "labels": {ID: self.id()},
                "annotations": {
                    TOOLING: format!("{TOOL}/{}", crate::commands::CLIENT_VERSION),
                    KINDS: joined(&contents.kinds),
                    NAMESPACES: joined(&contents.namespaces),
                },
            },
        });
        if let Some(namespace) = &self.namespace {
            parent["metadata"]["namespace"] = json!(namespace);
        }
        let write = Write { manager: MANAGER.to_owned(), ..write.clone() };
        let mut written = write.apply(session, self.path(), &parent, false).await;
        if let Err(failure) = &written
            && failure.is_conflict()
        {
            let why = failure.status().map(|status| status.message.as_str()).unwrap_or_default();
            error_line(&format!(
                "WARNING: failed to update ApplySet: {why}\nApplySet field manager {MANAGER} should own these fields. Retrying with conflicts forced."
            ));
            written = write.apply(session, self.path(), &parent, true).await;
        }
        written.map(drop).map_err(|failure| {
            let why = failure.status().map_or_else(|| failure.to_string(), |status| status.message.clone());
            Failure::message(format!("failed to update ApplySet: {why}"))
        })
    }

    /// Deletes the members that were not applied now (`kept` are the uids of those that were), and lets the
    /// parent forget what they were of.
    pub async fn prune(
        &self,
        session: &Session,
        args: &Args,
        kept: &[String],
        write: &Write,
        teller: &Teller,
    ) -> Outcome {
        let members = format!("{PART_OF}={}", self.id());
        for kind in &self.known.kinds {
            let (kind, group) = split(kind);
            let Some(resource) = session.discovery().await?.of_group_kind(group, kind).cloned() else { continue };
            let everywhere = self.namespace.iter().chain(&self.known.namespaces);
            let places: Vec<Option<String>> =
                if resource.namespaced { everywhere.cloned().map(Some).collect() } else { vec![None] };
            for namespace in places {
                let all = Target {
                    resource: resource.clone(),
                    namespace,
                    name: String::new(),
                    object: None,
                    source: String::new(),
                };
                for (target, object) in listed_by(session, all, &members).await? {
                    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                    if !kept.iter().any(|one| one == uid) {
                        prune::delete(session, args, &target, &object, teller).await?;
                    }
                }
            }
        }
        self.write(session, write, &self.wanted).await
    }
}

/// What a set is called in labels: it must begin and end with letters or digits.
fn id(name: &str, namespace: &str, kind: &str, group: &str) -> String {
    let hashed = Sha256::digest([name, namespace, kind, group].join("."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hashed))
}

fn group_kind(resource: &Resource) -> String {
    let dot = if resource.group.is_empty() { "" } else { "." };
    format!("{}{dot}{}", resource.kind, resource.group)
}

/// Kind and group.
fn split(group_kind: &str) -> (&str, &str) {
    group_kind.split_once('.').unwrap_or((group_kind, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_kubectl() {
        // Seen in what kubectl 1.33 wrote.
        assert_eq!(id("set1", "default", "Secret", ""), "applyset-TJSViJwF6UhFlL4bnPXMWRnXnH4yPVy5hhP1Y3SCHVU-v1");
        assert_eq!(id("one", "", "Set", "ex.io"), "applyset-JrxGYhK5NXn3KH14HNPeLNSLgSoPe1un-BY9g5OcCGE-v1");
    }

    #[test]
    fn kinds_are_split_at_their_first_dot() {
        assert_eq!(split("Ingress.networking.k8s.io"), ("Ingress", "networking.k8s.io"));
        assert_eq!(split("Pod"), ("Pod", ""));
    }
}
