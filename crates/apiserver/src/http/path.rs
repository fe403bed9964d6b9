//! From method, path and query to a request: upstream's URL scheme.

use client::{Options, PatchType, Request, Verb};
use http::Method;
use meta::{GroupVersionResource, Reason, Status};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A path below `/api/v1` or `/apis/group/version` that names a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    pub resource: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
    /// What follows `proxy/`.
    pub rest: Option<String>,
    /// The old form `/watch/…`.
    pub watch: bool,
}

impl ResourcePath {
    /// None where the path names no resource: discovery, health, unknown.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<Cow<'_, str>> =
            path.trim_start_matches('/').split('/').map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
        let mut parts = parts.iter().map(Cow::as_ref);
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<&str> = parts.collect();
        if rest.last() == Some(&"") && rest.len() > 1 && !rest.contains(&"proxy") {
            rest.pop();
        }
        let watch = rest.first() == Some(&"watch");
        if watch {
            rest.remove(0);
        }
        let namespace = match rest.as_slice() {
            // The sub-paths of a namespace itself, not of something in it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => None,
            ["namespaces", namespace, _, ..] => Some((*namespace).to_owned()),
            _ => None,
        };
        if namespace.is_some() {
            rest.drain(..2);
        }
        let resource = (*rest.first()?).to_owned();
        if resource.is_empty() {
            return None;
        }
        let own = |at: usize| rest.get(at).map(|part| (*part).to_owned()).filter(|part| !part.is_empty());
        let tail = (rest.len() > 3).then(|| rest[3..].join("/"));
        if tail.is_some() && own(2).as_deref() != Some("proxy") {
            return None;
        }
        Some(ResourcePath {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace,
            resource,
            name: own(1),
            subresource: own(2),
            rest: tail,
            watch,
        })
    }

    /// The request this path means under a method; patches say in their content type which kind
    /// they are.
    pub fn into_request(self, method: &Method, query: &str, content_type: &str) -> Result<Request, Status> {
        let (options, is_watch) = read_query(query)?;
        let is_named = self.name.is_some();
        let is_watch = is_watch || self.watch;
        let verb = match *method {
            Method::GET | Method::HEAD if is_watch && self.subresource.is_none() => Verb::Watch,
            Method::GET | Method::HEAD if is_named => Verb::Get,
            Method::GET | Method::HEAD => Verb::List,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch(patch_type(content_type)?),
            Method::DELETE if is_named => Verb::Delete,
            Method::DELETE => Verb::DeleteCollection,
            _ => {
                return Err(Status::failure(
                    Reason::MethodNotAllowed,
                    "the server does not allow this method on the requested resource",
                ));
            }
        };
        let resource = GroupVersionResource {
            group: self.group.into(),
            version: self.version.into(),
            resource: self.resource.into(),
        };
        Ok(Request {
            namespace: self.namespace,
            name: self.name,
            subresource: self.subresource,
            options,
            ..Request::new(verb, resource)
        })
    }
}

fn patch_type(content_type: &str) -> Result<PatchType, Status> {
    const TYPES: [PatchType; 4] = [PatchType::Json, PatchType::Merge, PatchType::Strategic, PatchType::Apply];
    let media = content_type.split(';').next().unwrap_or_default().trim();
    TYPES.into_iter().find(|patch| patch.media_type() == media).ok_or_else(|| {
        let all = TYPES.map(PatchType::media_type).join(", ");
        Status::failure(
            Reason::UnsupportedMediaType,
            format!("the body of the request was in an unknown format - accepted media types include: {all}"),
        )
    })
}

/// The query's options, and whether it asks to watch.
fn read_query(query: &str) -> Result<(Options, bool), Status> {
    let mut options = Options::default();
    let mut watch = false;
    for (key, value) in pairs(query) {
        let text = || Some(value.clone());
        match key.as_str() {
            "labelSelector" => options.label_selector = text(),
            "fieldSelector" => options.field_selector = text(),
            "limit" => options.limit = Some(number(&key, &value)?),
            "continue" => options.continue_token = text(),
            "resourceVersion" => options.resource_version = text(),
            "resourceVersionMatch" => options.resource_version_match = text(),
            "timeoutSeconds" => options.timeout_seconds = Some(number(&key, &value)?),
            "allowWatchBookmarks" => options.allow_watch_bookmarks = flag(&value),
            "sendInitialEvents" => options.send_initial_events = Some(flag(&value)),
            "dryRun" => options.dry_run = text(),
            "fieldManager" => options.field_manager = text(),
            "fieldValidation" => options.field_validation = text(),
            "force" => options.force = Some(flag(&value)),
            "watch" => watch = flag(&value),
            _ => {}
        }
    }
    Ok((options, watch))
}

/// Whether a query has a flag set, without decoding the rest of it.
pub fn has_flag(query: &str, name: &str) -> bool {
    let value = |pair: &str| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).is_some_and(flag);
    query.split('&').any(|pair| pair == name || value(pair))
}

/// A query's decoded keys and values, in order.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        (decode(key), decode(value))
    })
}

/// As Go reads a boolean query parameter: present and not `false` or `0`.
fn flag(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn number(key: &str, value: &str) -> Result<u64, Status> {
    if value.is_empty() {
        return Ok(0);
    }
    value.parse().map_err(|_| {
        Status::bad_request(format!(
            "{key}: Invalid value: {value:?}: strconv.ParseInt: parsing {value:?}: invalid syntax"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (path, namespace, resource, name, subresource) in [
            ("/api/v1/pods", None, "pods", None, None),
            ("/api/v1/namespaces/a/pods/b", Some("a"), "pods", Some("b"), None),
            ("/api/v1/namespaces/a/pods/b/log", Some("a"), "pods", Some("b"), Some("log")),
            ("/api/v1/namespaces/a", None, "namespaces", Some("a"), None),
            ("/api/v1/namespaces/a/finalize", None, "namespaces", Some("a"), Some("finalize")),
            ("/api/v1/namespaces/", None, "namespaces", None, None),
            ("/apis/apps/v1/namespaces/a/deployments/b/scale", Some("a"), "deployments", Some("b"), Some("scale")),
            ("/api/v1/nodes/n%3Aa/proxy/metrics/x", None, "nodes", Some("n:a"), Some("proxy")),
        ] {
            let found = ResourcePath::parse(path).unwrap();
            assert_eq!(found.namespace.as_deref(), namespace, "{path}");
            assert_eq!(found.resource, resource, "{path}");
            assert_eq!(found.name.as_deref(), name, "{path}");
            assert_eq!(found.subresource.as_deref(), subresource, "{path}");
        }
        assert_eq!(ResourcePath::parse("/api/v1"), None);
        assert_eq!(ResourcePath::parse("/healthz"), None);
        assert_eq!(ResourcePath::parse("/api/v1/namespaces/a/pods/b/log/c"), None);
    }

    #[test]
    fn queries_become_options() {
        let path = ResourcePath::parse("/api/v1/pods").unwrap();
        let request = path.into_request(&Method::GET, "watch=1&labelSelector=a%3Db%2Cc&limit=5", "").unwrap();
        assert_eq!(request.verb, Verb::Watch);
        assert_eq!(request.options.label_selector.as_deref(), Some("a=b,c"));
        assert_eq!(request.options.limit, Some(5));
    }
}
