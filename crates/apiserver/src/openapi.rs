//! `/openapi/v2` and `/openapi/v3`: the documents of `kinds`, with their media types and ETags.

use crate::http::{HttpRequest, HttpResponse, Payload};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use meta::Status;

pub fn answer(rest: &[&str], request: &HttpRequest) -> Result<HttpResponse, Status> {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let document = match rest {
        ["v2"] => Some(kinds::openapi::v2_document(accept)),
        ["v3"] => Some(kinds::openapi::v3_index()),
        ["v3", "api", version] => kinds::openapi::v3_document("", version),
        ["v3", "apis", group, version] => kinds::openapi::v3_document(group, version),
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
