//! HTTP: TLS connections in, requests through authentication and routing to the generic path, and
//! answers back out in the form asked for.

pub mod accept;
mod body;
mod connection;
mod drain;
mod measure;
mod path;
mod payload;
mod recording;
mod respond;
mod visit;
mod watching;

pub use connection::{Peer, serve};
pub use drain::Drain;
pub use measure::Measure;
pub(crate) use path::{ResourcePath, pairs as query_pairs};
pub use payload::Payload;
pub use visit::go_duration;

use crate::aggregate::{Aggregator, Remote, pass};
use crate::connect::Connector;
use crate::discovery;
use crate::flow::Crowded;
use crate::openapi;
use crate::resources::Resource;
use crate::server::Server;
use crate::table::Include;
use crate::write::{Caller, Media};
use ::audit::Audit;
use accept::{Accept, Format, Shape};
use auth::authn::Credentials;
use client::{DeleteOptions, Request, Verb};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use meta::{Reason, Status, User};
use respond::{Form, json_response, respond, status_response, text_response};
use std::sync::Arc;
use visit::Visit;

pub type HttpRequest = http::Request<Incoming>;
pub type HttpResponse = http::Response<Payload>;

/// The server as HTTP sees it.
pub struct Front {
    pub server: Arc<Server>,
    /// The way to nodes, for logs, exec and proxies; None: such requests are refused.
    pub connector: Option<Arc<Connector>>,
    /// The way to aggregated servers; None: none is reached.
    pub aggregator: Option<Arc<Aggregator>>,
    /// What `/api` tells clients to connect to.
    pub advertise: String,
    /// None: nothing is recorded.
    pub audit: Option<Arc<Audit>>,
    pub measure: Measure,
    /// What `/configz` shows.
    pub configuration: serde_json::Value,
    pub drain: Drain,
}

impl Front {
    /// Answers one request; never fails, failures are answers.
    pub async fn answer(&self, peer: &Peer, request: HttpRequest) -> HttpResponse {
        let format = accepted(request.headers()).map_or(Format::Json, |accept| accept.format);
        let found = ResourcePath::parse(request.uri().path());
        let mut visit = Visit::begin(&self.server, &request, found.as_ref());
        let outcome = match visit.time_limit(&self.server, request.uri().query().unwrap_or_default()) {
            Ok(None) => self.route(peer, request, found, &mut visit).await,
            Ok(Some(limit)) => {
                let work = self.route(peer, request, found, &mut visit);
                self.server.env.clock.timeout(limit, work).await.unwrap_or_else(|_| {
                    self.measure.terminations.inc();
                    Err(visit::too_late())
                })
            }
            Err(status) => Err(status),
        };
        match outcome {
            Ok(response) => visit.end(self, response, None),
            Err(status) => {
                visit.record_failure(&status);
                visit.end(self, status_response(&status, format), Some(&status))
            }
        }
    }

    async fn route(
        &self,
        peer: &Peer,
        request: HttpRequest,
        found: Option<ResourcePath>,
        visit: &mut Visit,
    ) -> Result<HttpResponse, Status> {
        let who = self.authenticate(peer, &request);
        if let Some(audit) = &self.audit {
            visit.record = recording::begin(audit, peer, &request, found.as_ref(), visit, who.as_ref().ok());
            let stale = bearer(&request).and_then(|token| self.server.authenticator.stale_note(token));
            if let (Some(record), Some(note)) = (&visit.record, stale) {
                record.annotate("authentication.k8s.io/stale-token", &*note);
            }
        }
        let Who { user, .. } = who?;
        // What a user has others answer comes before what is answered here.
        let remote = self.remote(request.uri().path());
        if remote.is_none()
            && let Some(found) = &found
            && let Some(row) = self.server.resources.find(&found.group, &found.version, &found.resource)
        {
            visit.counted.row = Some(row.clone());
            return self.resource(&user, row, found.clone(), request, visit).await;
        }
        if let Err(crowded) = self.enter(&user, found.as_ref(), &request, visit).await {
            return Ok(visit::crowded(&crowded));
        }
        if let Some(remote) = remote {
            self.server.authorize_attributes(&visit::attributes(&user, &request, found.as_ref()))?;
            let aggregator = self.aggregator.as_ref().ok_or_else(pass::unavailable)?;
            return aggregator.pass(&self.server, &remote, &user, request).await;
        }
        // Who may not ask for a resource is not told either that there is none.
        let asked = visit::attributes(&user, &request, found.as_ref());
        self.server.authorize_recorded(&asked, visit.record.as_deref())?;
        self.document(request.uri().path(), &request)
    }

    /// Seats for what is no resource of this server's own.
    async fn enter(
        &self,
        user: &User,
        found: Option<&ResourcePath>,
        request: &HttpRequest,
        visit: &mut Visit,
    ) -> Result<(), Box<Crowded>> {
        if visit.long_running {
            return Ok(());
        }
        let asked = visit::attributes(user, request, found);
        let limit = self.server.settings.limits.request_timeout;
        visit.pass = self.server.flow.enter(&asked, || flowcontrol::Work::ONE, limit).await?;
        Ok(())
    }

    /// The aggregated server that answers a path: its group's version, or the document that describes
    /// it.
    fn remote(&self, path: &str) -> Option<Arc<Remote>> {
        let find = |below: &str| {
            let mut parts = below.split('/');
            self.server.remotes.find(parts.next()?, parts.next()?)
        };
        match path.strip_prefix("/openapi/v3/apis/") {
            // One that knows version 2 alone has no such document, but we make one of what it says.
            Some(below) => find(below).filter(|remote| !remote.seen().speaks_v2_alone()),
            None => find(path.strip_prefix("/apis/")?),
        }
    }

    fn authenticate(&self, peer: &Peer, request: &HttpRequest) -> Result<Who, Status> {
        let method = request.method().as_str().to_ascii_lowercase();
        let credentials = Credentials {
            certificate: peer.certificate.as_deref(),
            bearer: bearer(request),
            method: &method,
            path: request.uri().path(),
        };
        let server = &self.server;
        let user = server
            .authenticator
            .authenticate(&credentials, server.env.clock.now())
            .map_err(|_| Status::unauthorized())?;
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let asked = auth::authn::impersonation::impersonate(&user, headers, server.access.authorizer.as_ref())?;
        Ok(match asked {
            Some(other) => Who { user: Arc::new(other), came_as: Some(user) },
            None => Who { user, came_as: None },
        })
    }

    async fn resource(
        &self,
        user: &User,
        row: Arc<Resource>,
        found: ResourcePath,
        request: HttpRequest,
        visit: &mut Visit,
    ) -> Result<HttpResponse, Status> {
        let is_connect = found.subresource.as_deref().is_some_and(crate::connect::is_connection);
        if is_connect {
            let connector = self.connector.as_ref().ok_or_else(|| Status::internal("no way to reach nodes"))?;
            return connector.handle(&self.server, user, found.into(), request).await;
        }
        let (parts, body) = request.into_parts();
        let header = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = header(header::CONTENT_TYPE).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        let has_protobuf = row.has_protobuf();
        let is_kept = row.collection.is_some() || crate::usage::serves(&row);
        let can = |accept: &Accept| match accept.shape {
            Shape::Plain => has_protobuf || accept.format != Format::Protobuf,
            // What is only answered has no rows.
            Shape::Table(_) => is_kept,
            // Metadata always have a protobuf form.
            Shape::Metadata { .. } => true,
        };
        let form = form(&parts.headers, query, &can)?;
        let mut wanted = found.into_request(&parts.method, query, content_type)?;
        let media = media(&wanted, content_type)?;
        let work = || self.server.work_of(Some(&row), wanted.verb, wanted.name.as_deref(), &wanted.options);
        let limit = self.server.settings.limits.request_timeout;
        match self.server.flow.enter(&crate::dispatch::attributes(user, &wanted), work, limit).await {
            Ok(pass) => visit.pass = pass,
            Err(crowded) => return Ok(visit::crowded(&crowded)),
        }
        wanted.body = body::read(body, &parts.headers, &self.server.env.clock).await?;
        let media = adjust_delete(&mut wanted, query, media)?;
        if let Some(record) = &mut visit.record {
            recording::add_request(record, &wanted, media);
        }
        let mut warnings = Vec::new();
        let user_agent = header(header::USER_AGENT).unwrap_or_default();
        let mut caller = Caller { user, user_agent, warnings: &mut warnings, record: visit.record.as_deref() };
        let outcome = self.server.handle(&wanted, media, &mut caller).await;
        if let Some(record) = &mut visit.record {
            recording::add_answer(record, &outcome);
        }
        let response = match outcome {
            Ok(answer) => respond(answer, Some(&row), &form, &self.server.env.clock),
            Err(status) => Err(status),
        };
        let mut response = response.unwrap_or_else(|status| {
            let response = status_response(&status, form.accept.format);
            visit.failure = Some(status);
            response
        });
        for warning in &warnings {
            if let Some(value) = warning_header(warning) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        Ok(response)
    }

    /// Everything that is no resource.
    fn document(&self, path: &str, request: &HttpRequest) -> Result<HttpResponse, Status> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // A resource that is not served, or not yet.
            if ResourcePath::parse(path).is_some() {
                return Err(Status::no_such_path());
            }
            return Err(Status::failure(
                Reason::MethodNotAllowed,
                "the server does not allow this method on the requested resource",
            ));
        }
        let resources = &self.server.resources;
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let value = match parts.as_slice() {
            ["version"] => Some(discovery::version()),
            ["api" | "apis"] => Some(self.groups(request.headers(), parts[0] == "api")?),
            ["api", version] => discovery::resource_list(resources, "", version),
            ["apis", group] => discovery::group(&discovery::groups(&self.server), group),
            ["apis", group, version] => discovery::resource_list(resources, group, version),
            ["healthz" | "livez" | "readyz", ..] => return Ok(self.health(parts[0], request.uri().query())),
            ["openapi", rest @ ..] => return openapi::answer(&self.server, rest, request),
            ["metrics"] => return Ok(text_response(StatusCode::OK, self.metrics())),
            ["configz"] => Some(self.configuration.clone()),
            ["debug", "api_priority_and_fairness", page] => return Ok(self.dump(page, request.uri().query())),
            [".well-known", "openid-configuration"] => self.server.openid_configuration(),
            ["openid", "v1", "jwks"] => self.server.jwks(),
            [""] => Some(self.index()),
            _ => None,
        };
        let Some(value) = value else {
            return Ok(text_response(StatusCode::NOT_FOUND, "404 page not found\n"));
        };
        let mut response = json_response(&value);
        if parts[0] == "openid" {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        }
        if let Some(version) = value["apiVersion"].as_str().and_then(|text| text.strip_prefix("apidiscovery.k8s.io/")) {
            let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            if let Ok(media) = HeaderValue::from_str(&media) {
                response.headers_mut().insert(header::CONTENT_TYPE, media);
            }
        }
        Ok(response)
    }

    /// `/api` and `/apis`, aggregated where the client asks for it.
    fn groups(&self, headers: &HeaderMap, core: bool) -> Result<serde_json::Value, Status> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for clause in accept.split(',') {
            if clause.contains("as=APIGroupDiscoveryList") && clause.trim().starts_with("application/json") {
                let version = if clause.contains("v=v2beta1") { "v2beta1" } else { "v2" };
                return Ok(discovery::aggregated(&discovery::groups(&self.server), core, version));
            }
            if clause.trim().starts_with("application/json") || clause.trim().starts_with("*/*") {
                break;
            }
        }
        Ok(match core {
            true => discovery::core_versions(&self.advertise),
            false => discovery::group_list(&discovery::groups(&self.server)),
        })
    }

    /// What is counted, and how many objects there are now.
    fn metrics(&self) -> String {
        let mut text = self.server.env.metrics.render();
        measure::add_objects(&mut text, &self.server.resources);
        text
    }

    fn dump(&self, page: &str, query: Option<&str>) -> HttpResponse {
        let details = path::pairs(query.unwrap_or_default())
            .any(|(key, value)| key == "includeRequestDetails" && !value.is_empty());
        let page = flowcontrol::Page::named(page, details);
        match (page, self.server.flow.control()) {
            (Some(page), Some(control)) => text_response(StatusCode::OK, control.dump(page)),
            _ => text_response(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn health(&self, kind: &str, query: Option<&str>) -> HttpResponse {
        let is_stopping = kind == "readyz" && self.drain.is_stopping();
        let is_ok = kind != "readyz" || (self.server.is_ready() && !is_stopping);
        let verbose = path::pairs(query.unwrap_or_default()).any(|(key, _)| key == "verbose");
        let code = if is_ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        let mark = if is_ok { "+" } else { "-" };
        let hook = if is_stopping { "shutdown" } else { "poststarthook/start" };
        let word = if is_ok { "ok" } else { "failed: reason withheld" };
        let text = match (verbose, is_ok) {
            (false, true) => "ok".to_owned(),
            (_, true) => format!("[+]ping ok\n[{mark}]{hook} {word}\n{kind} check passed\n"),
            (_, false) => format!("[+]ping ok\n[{mark}]{hook} {word}\n{kind} check failed\n"),
        };
        text_response(code, text)
    }

    fn index(&self) -> serde_json::Value {
        let mut paths = vec!["/.well-known/openid-configuration".to_owned(), "/api".to_owned(), "/apis".to_owned()];
        for resource in self.server.resources.all() {
            let path = match resource.kind.group.as_ref() {
                "" => format!("/api/{}", resource.kind.version),
                group => format!("/apis/{group}/{}", resource.kind.version),
            };
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths.extend(
            ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"]
                .map(str::to_owned),
        );
        serde_json::json!({"paths": paths})
    }
}

/// The token that a request carries.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")).map(str::trim)
}

/// Who asks, and as whom he came where he acts as another.
pub(crate) struct Who {
    pub user: Arc<User>,
    pub came_as: Option<Arc<User>>,
}

impl From<ResourcePath> for crate::connect::Asked {
    fn from(path: ResourcePath) -> Self {
        crate::connect::Asked {
            resource: path.resource,
            namespace: path.namespace.unwrap_or_default(),
            name: path.name.unwrap_or_default(),
            subresource: path.subresource.unwrap_or_default(),
            rest: path.rest.unwrap_or_default(),
        }
    }
}

fn accepted(headers: &HeaderMap) -> Result<Accept, Status> {
    Accept::negotiate(header_text(headers, header::ACCEPT))
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn form(headers: &HeaderMap, query: &str, can: &dyn Fn(&Accept) -> bool) -> Result<Form, Status> {
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let include = path::pairs(query).find(|(key, _)| key == "includeObject").map(|(_, value)| value);
    Ok(Form {
        accept: Accept::negotiate_for(header_text(headers, header::ACCEPT), can)?,
        include: Include::parse(include.as_deref().unwrap_or_default())?,
        gzip: encodings.split(',').any(|encoding| encoding.split(';').next().map(str::trim) == Some("gzip")),
    })
}

/// How the body is written; patches are JSON, or YAML where they apply.
fn media(request: &Request, content_type: &str) -> Result<Media, Status> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        _ if matches!(request.verb, Verb::Patch(_)) => Ok(Media::Json),
        "" | "application/json" | "application/merge-patch+json" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ if matches!(request.verb, Verb::Get | Verb::List | Verb::Watch | Verb::Delete | Verb::DeleteCollection) => {
            Ok(Media::Json)
        }
        _ => Err(Status::failure(
            Reason::UnsupportedMediaType,
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// Delete options may come in the body, in any media type, or in the query.
fn adjust_delete(request: &mut Request, query: &str, media: Media) -> Result<Media, Status> {
    if !matches!(request.verb, Verb::Delete | Verb::DeleteCollection) {
        return Ok(media);
    }
    if !request.body.is_empty() && media != Media::Json {
        let value = match media {
            Media::Yaml => crate::write::parse_yaml(&request.body)?,
            _ => wire::protobuf::from_protobuf(&request.body, kinds::schema(), &crate::write::struct_of)
                .map_err(|error| Status::bad_request(error.to_string()))?,
        };
        request.body = value.to_string().into();
    }
    if request.body.is_empty() {
        let mut options = DeleteOptions::default();
        for (key, value) in path::pairs(query) {
            match key.as_str() {
                "gracePeriodSeconds" => options.grace_period_seconds = value.parse().ok(),
                "propagationPolicy" => options.propagation_policy = Some(value),
                "orphanDependents" => options.orphan_dependents = value.parse().ok(),
                _ => {}
            }
        }
        request.body = serde_json::to_vec(&options).map_err(Status::internal)?.into();
    }
    Ok(Media::Json)
}

/// `299 - "text"`, with what cannot stand in a header left out.
fn warning_header(text: &str) -> Option<HeaderValue> {
    let clean: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let escaped = clean.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{escaped}\"")).ok()
}
