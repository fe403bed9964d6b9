//! What audit learns of a request and its answer. Nothing here runs where nothing is recorded.

use super::connection::Peer;
use super::path::ResourcePath;
use super::visit::{self, Visit};
use super::{HttpRequest, Who, header_text};
use crate::answer::{Answer, Listing};
use crate::write::Media;
use audit::{Asked, Audit, Record};
use bytes::Bytes;
use client::Request;
use http::header;
use meta::{Status, User};
use serde::Deserialize;
use std::sync::Arc;

/// The beginning of a record; `who` is missing where nobody knows.
pub fn begin(
    audit: &Arc<Audit>,
    peer: &Peer,
    request: &HttpRequest,
    found: Option<&ResourcePath>,
    visit: &Visit,
    who: Option<&Who>,
) -> Option<Box<Record>> {
    let nobody = User::default();
    let came_as = who.map(|who| who.came_as.as_ref().unwrap_or(&who.user));
    let user = came_as.map_or(&nobody, Arc::as_ref);
    let asked = Asked {
        attributes: visit::attributes(user, request, found),
        acts_as: who.filter(|who| who.came_as.is_some()).map(|who| who.user.as_ref()),
        uri: request.uri().path_and_query().map_or("/", |uri| uri.as_str()),
        user_agent: header_text(request.headers(), header::USER_AGENT),
        source_ips: source_ips(peer, request),
        audit_id: visit.audit_id.to_str().unwrap_or_default(),
    };
    audit.begin(asked)
}

/// What proxies say of the client, then the connection's other end.
fn source_ips(peer: &Peer, request: &HttpRequest) -> Vec<String> {
    let header = |name: &'static str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().split(',').map(str::trim)
    };
    let valid = |text: &&str| text.parse::<std::net::IpAddr>().is_ok();
    let mut all: Vec<String> = header("x-forwarded-for").filter(valid).map(str::to_owned).collect();
    for own in header("x-real-ip").filter(valid).map(str::to_owned).chain([peer.address.ip().to_string()]) {
        if !all.contains(&own) {
            all.push(own);
        }
    }
    all
}

/// Of an object, what an event's reference tells.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
}

pub fn add_request(record: &mut Record, request: &Request, media: Media) {
    if request.body.is_empty() {
        return;
    }
    let converted = match media {
        Media::Json => None,
        Media::Yaml => crate::write::parse_yaml(&request.body).ok(),
        Media::Protobuf => wire::protobuf::from_protobuf(&request.body, kinds::schema(), &crate::write::struct_of).ok(),
    };
    let json = converted.map_or_else(|| request.body.clone(), |value| Bytes::from(value.to_string()));
    if matches!(request.verb, client::Verb::Create | client::Verb::Update)
        && let Some(metadata) = metadata_of(&json)
    {
        record.set_object(&metadata.name, &metadata.namespace, &metadata.uid, &metadata.resource_version);
    }
    record.set_request(&json);
}

/// Reads no more of a body than it has to: most are written without spaces.
fn metadata_of(json: &[u8]) -> Option<Metadata> {
    let found = wire::json::find(json, &["metadata"]).and_then(|metadata| serde_json::from_slice(metadata).ok());
    found.or_else(|| serde_json::from_slice(json).ok().map(|Named { metadata }| metadata))
}

pub fn add_answer(record: &mut Record, outcome: &Result<Answer, Status>) {
    if let Ok(Answer::Object { object, created: true }) = outcome {
        record.set_object(&object.index.name, &object.index.namespace, "", "");
    }
    if !record.wants_response() {
        return;
    }
    let status = |status: &Status| serde_json::to_vec(status).unwrap_or_default().into();
    let json: Bytes = match outcome {
        Ok(Answer::Object { object, .. }) => object.json.clone(),
        Ok(Answer::Other { json, .. }) => json.clone(),
        Ok(Answer::List(list)) => list_json(list),
        // Its events are nobody's answer.
        Ok(Answer::Watch(_)) => return,
        Ok(Answer::Status(told)) | Err(told) => status(told),
    };
    record.set_response(&json);
}

fn list_json(list: &Listing) -> Bytes {
    let kind = &list.resource.kind;
    let mut json = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{}\"}},\"items\":[",
        kind.list_kind,
        kind.api_version(),
        list.revision
    )
    .into_bytes();
    for (at, item) in list.items.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(item.json.trim_ascii_end());
    }
    json.extend_from_slice(b"]}");
    json.into()
}
