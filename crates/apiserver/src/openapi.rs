//! `/openapi/v2` and `/openapi/v3`: the documents of `kinds` with the custom resources of the moment,
//! their media types and ETags.

use crate::aggregate::described;
use crate::http::{HttpRequest, HttpResponse, Payload};
use crate::resources::{Resource, Resources};
use crate::server::Server;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use kinds::openapi::{Custom, Document};
use meta::Status;
use std::sync::Arc;

pub fn answer(server: &Server, rest: &[&str], request: &HttpRequest) -> Result<HttpResponse, Status> {
    let resources = &server.resources;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let document = match rest {
        ["v2"] => {
            let rows = customs(resources);
            let described: Vec<Custom<'_>> = rows.iter().map(|row| describe(row)).collect();
            let others = server.remotes.all().into_iter().filter_map(|remote| Some(remote.seen().described?.0));
            let others = described::merged(&others.collect::<Vec<_>>());
            Some(kinds::openapi::v2_document(accept, &described, &others))
        }
        ["v3"] => {
            let rows = customs(resources);
            let shown = rows.iter().map(|row| (row.kind.group.as_ref(), row.kind.version.as_ref(), signature(row)));
            let remotes = server.remotes.all();
            let others = remotes.iter().filter_map(|remote| {
                let seen = remote.seen();
                let print = match (seen.openapi, seen.described) {
                    (Some(hash), _) => described::fingerprint(&hash),
                    (None, described) => described?.0.fingerprint,
                };
                Some((remote.group.as_str(), remote.version.as_str(), print))
            });
            Some(kinds::openapi::v3_index(shown.chain(others)))
        }
        ["v3", "api", version] => kinds::openapi::v3_document("", version),
        ["v3", "apis", group, version] => match server.remotes.find(group, version) {
            // One that knows version 3 is asked itself.
            Some(remote) => remote.seen().described.map(|(described, _)| described.as_v3()),
            None => of_group(resources, group, version),
        },
        _ => None,
    };
    let Some(document) = document else {
        let mut response = Response::new(Payload::Full(Bytes::from_static(b"404 page not found\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known == Some(document.etag.as_str());
    let mut response = Response::new(Payload::Full(if is_known { Bytes::new() } else { document.body }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(media) = HeaderValue::from_str(document.media_type) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn customs(resources: &Resources) -> Vec<Arc<Resource>> {
    resources.customs().into_iter().filter(|row| row.is_served()).collect()
}

fn of_group(resources: &Resources, group: &str, version: &str) -> Option<Document> {
    if let Some(document) = kinds::openapi::v3_document(group, version) {
        return Some(document);
    }
    let rows = customs(resources);
    let wanted = rows.iter().filter(|row| row.kind.group == group && row.kind.version == version);
    let described: Vec<Custom<'_>> = wanted.map(|row| describe(row)).collect();
    (!described.is_empty()).then(|| kinds::openapi::v3_custom(&described))
}

fn signature(row: &Resource) -> u64 {
    row.custom.as_ref().map_or(0, |custom| custom.signature())
}

fn describe(row: &Resource) -> Custom<'_> {
    let schema = row.custom.as_ref().map(|custom| custom.rules.openapi()).unwrap_or_default();
    Custom { kind: &row.kind, schema, fingerprint: signature(row) }
}
