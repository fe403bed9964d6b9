//! What the server serves, and which of it a word of the command line means.

use crate::failure::{Failure, Outcome};
use crate::session::{Call, Session};
use serde_json::Value;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    /// The plural.
    pub name: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, or `pods` in the core group.
    pub fn qualified(&self) -> String {
        qualified(&self.name, &self.group)
    }

    /// As results name it: `deployment.apps`.
    pub fn shown(&self) -> String {
        let name = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        qualified(&name, &self.group)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|one| one == verb)
    }

    /// The URL path of all objects, one object or a part of one.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>, subresource: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace.filter(|namespace| self.namespaced && !namespace.is_empty()) {
            path.push_str(&format!("/namespaces/{}", segment(namespace)));
        }
        path.push_str(&format!("/{}", self.name));
        for part in [name, subresource].into_iter().flatten() {
            path.push_str(&format!("/{}", segment(part)));
        }
        path
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.singular == name || self.kind.to_lowercase() == name
    }
}

fn segment(text: &str) -> String {
    const SEGMENT: &percent_encoding::AsciiSet =
        &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?').add(b'/').add(b'<').add(b'>');
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

#[derive(Debug, Default)]
pub struct Discovery {
    /// Groups in the server's order, the preferred version of each first.
    resources: Vec<Resource>,
    /// Group and version, in the server's order.
    versions: Vec<(String, String)>,
}

impl Discovery {
    pub async fn fetch(session: &Session) -> Outcome<Self> {
        let mut found = Discovery::default();
        for path in ["/api", "/apis"] {
            let answer = session.json(Call::get(path).accept(AGGREGATED)).await?;
            if answer["kind"] == "APIGroupDiscoveryList" {
                found.read(&answer);
            } else {
                found.fetch_plain(session, path, &answer).await?;
            }
        }
        Ok(found)
    }

    fn read(&mut self, groups: &Value) {
        for group in list(&groups["items"]) {
            let name = text(&group["metadata"]["name"]);
            for version in list(&group["versions"]) {
                self.versions.push((name.clone(), text(&version["version"])));
                for resource in list(&version["resources"]) {
                    self.resources.push(Resource {
                        group: name.clone(),
                        version: text(&version["version"]),
                        name: text(&resource["resource"]),
                        singular: text(&resource["singularResource"]),
                        short_names: texts(&resource["shortNames"]),
                        kind: text(&resource["responseKind"]["kind"]),
                        namespaced: resource["scope"] == "Namespaced",
                        verbs: texts(&resource["verbs"]),
                        categories: texts(&resource["categories"]),
                        subresources: list(&resource["subresources"]).map(|sub| text(&sub["subresource"])).collect(),
                    });
                }
            }
        }
    }

    /// Servers without aggregated discovery are asked version by version.
    async fn fetch_plain(&mut self, session: &Session, path: &str, answer: &Value) -> Outcome {
        let versions: Vec<(String, String)> = if path == "/api" {
            texts(&answer["versions"]).into_iter().map(|version| (String::new(), version)).collect()
        } else {
            let of_group = |group: &Value| {
                let name = text(&group["name"]);
                list(&group["versions"]).map(|version| (name.clone(), text(&version["version"]))).collect::<Vec<_>>()
            };
            list(&answer["groups"]).flat_map(of_group).collect()
        };
        for (group, version) in versions {
            let path = if group.is_empty() { format!("{path}/{version}") } else { format!("{path}/{group}/{version}") };
            let answer = session.json(Call::get(path)).await?;
            self.versions.push((group.clone(), version.clone()));
            let all: Vec<&Value> = list(&answer["resources"]).collect();
            for resource in all.iter().filter(|resource| !text(&resource["name"]).contains('/')) {
                let name = text(&resource["name"]);
                let below = format!("{name}/");
                let parts = all.iter().map(|one| text(&one["name"]));
                self.resources.push(Resource {
                    group: group.clone(),
                    version: version.clone(),
                    singular: text(&resource["singularName"]),
                    short_names: texts(&resource["shortNames"]),
                    kind: text(&resource["kind"]),
                    namespaced: resource["namespaced"] == true,
                    verbs: texts(&resource["verbs"]),
                    categories: texts(&resource["categories"]),
                    subresources: parts.filter_map(|part| part.strip_prefix(&below).map(str::to_owned)).collect(),
                    name,
                });
            }
        }
        Ok(())
    }

    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    pub fn versions(&self) -> &[(String, String)] {
        &self.versions
    }

    /// The version of a group that the server prefers.
    pub fn is_preferred(&self, resource: &Resource) -> bool {
        let first = self.resources.iter().find(|one| one.group == resource.group && one.name == resource.name);
        first.is_some_and(|first| first.version == resource.version)
    }

    /// `po`, `pod`, `pods`, `deployments.apps`, `deployments.v1.apps`; any case.
    pub fn find(&self, word: &str) -> Outcome<&Resource> {
        let wanted = word.to_lowercase();
        let name = wanted.split('.').next().unwrap_or_default();
        let rest = wanted.strip_prefix(name).unwrap_or_default().trim_start_matches('.');
        let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
        let found = if wanted.contains('.') {
            let exact = |one: &&Resource| one.is_called(name) && one.version == version && one.group == group;
            let by_group = |one: &&Resource| {
                one.is_called(name) && (one.group == rest || one.group.starts_with(&format!("{rest}.")))
            };
            let by_short = |one: &&Resource| one.short_names.iter().any(|short| short == name) && one.group == rest;
            self.resources
                .iter()
                .find(exact)
                .or_else(|| self.resources.iter().find(by_group))
                .or_else(|| self.resources.iter().find(by_short))
        } else {
            let listable = |one: &&Resource| one.is_called(name) && one.has_verb("list");
            let short = |one: &&Resource| one.short_names.iter().any(|short| short == name);
            self.resources
                .iter()
                .find(listable)
                .or_else(|| self.resources.iter().find(|one| one.is_called(name)))
                .or_else(|| self.resources.iter().find(short))
        };
        found.ok_or_else(|| Failure::message(format!("the server doesn't have a resource type {name:?}")))
    }

    /// The resource that objects of a kind are served as.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|one| one.kind == kind && one.api_version() == api_version)
    }

    /// The same in whatever version the server prefers.
    pub fn of_group_kind(&self, group: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|one| one.kind == kind && one.group == group)
    }

    /// What `all` and the like stand for.
    pub fn category(&self, name: &str) -> Vec<&Resource> {
        let members = self.resources.iter().filter(|one| one.categories.iter().any(|category| category == name));
        members.filter(|one| self.is_preferred(one)).collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}
