//! URLs of API requests.

use super::OptionsError;
use crate::{Error, Options, Request, Verb};
use http::{HeaderValue, Uri};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for something else in a path.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?').add(b'/').add(b'<').add(b'>');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The server's URL, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Base {
    text: String,
    pub tls: bool,
    pub host: String,
    pub port: u16,
    authority: String,
    prefix: String,
}

impl Base {
    pub fn parse(url: &str) -> Result<Self, OptionsError> {
        let invalid = |why: &str| OptionsError::Server { url: url.to_owned(), why: why.to_owned() };
        let text = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| invalid(&error.to_string()))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("the scheme must be https or http")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Base { tls, host, port, authority: authority.to_string(), prefix, text: text.trim_end_matches('/').into() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    pub fn uri(&self, path: &str) -> Result<Uri, Error> {
        let scheme = if self.tls { "https" } else { "http" };
        let built = Uri::builder().scheme(scheme).authority(self.authority.as_str()).path_and_query(path).build();
        built.map_err(|error| Error::Connection(format!("cannot make a URL of {path:?}: {error}")))
    }

    pub fn host_header(&self) -> Result<HeaderValue, Error> {
        HeaderValue::from_str(&self.authority).map_err(|error| Error::Connection(error.to_string()))
    }
}

/// A request's path and query.
pub fn path_and_query(request: &Request) -> String {
    let resource = &request.resource;
    let mut path = match resource.group.as_ref() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let mut push = |segment: &str| {
        path.push('/');
        path.extend(utf8_percent_encode(segment, PATH));
    };
    if let Some(namespace) = &request.namespace {
        push("namespaces");
        push(namespace);
    }
    push(&resource.resource);
    request.name.iter().for_each(|name| push(name));
    // A subresource may be a path itself (`proxy/…`).
    request.subresource.iter().flat_map(|path| path.split('/')).for_each(push);
    let query = query(&request.options, request.verb);
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn query(options: &Options, verb: Verb) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let parameters = [
        ("watch", (verb == Verb::Watch).then(|| "true".to_owned())),
        ("labelSelector", options.label_selector.clone()),
        ("fieldSelector", options.field_selector.clone()),
        ("metricLabelSelector", options.metric_label_selector.clone()),
        ("limit", number(options.limit)),
        ("continue", options.continue_token.clone()),
        ("resourceVersion", options.resource_version.clone()),
        ("resourceVersionMatch", options.resource_version_match.clone()),
        ("timeoutSeconds", number(options.timeout_seconds)),
        ("allowWatchBookmarks", options.allow_watch_bookmarks.then(|| "true".to_owned())),
        ("sendInitialEvents", flag(options.send_initial_events)),
        ("dryRun", options.dry_run.clone()),
        ("fieldManager", options.field_manager.clone()),
        ("fieldValidation", options.field_validation.clone()),
        ("force", flag(options.force)),
    ];
    let set = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let pairs: Vec<_> = set.map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, QUERY))).collect();
    pairs.join("&")
}
