//! Passes a caller's request on, and says who the caller is.

use super::{Aggregator, Remote};
use crate::connect::{Target, Tls, endpoint, forward};
use crate::http::{HttpRequest, HttpResponse};
use crate::server::Server;
use http::{HeaderMap, HeaderName, HeaderValue};
use meta::{Reason, Status, User};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Keys of extras are written so that they can stand in a header's name.
const IN_HEADER_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Upstream's answer where a server is known not to be there.
pub fn unavailable() -> Status {
    Status::failure(Reason::ServiceUnavailable, "service unavailable")
}

impl Aggregator {
    pub(crate) async fn pass(
        &self,
        server: &Server,
        remote: &Remote,
        user: &User,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, Status> {
        if !remote.is_available {
            return Err(unavailable());
        }
        let (host, port) =
            endpoint(server, &remote.namespace, &remote.service, remote.port).map_err(|_| unavailable())?;
        let tls = self.tls(remote).map_err(|why| {
            Status::failure(Reason::ServiceUnavailable, format!("error trying to reach service: {why}"))
        })?;
        identify(request.headers_mut(), user);
        let path_and_query = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let target = Target { host, port, tls: Tls::Verified, server_name: remote.server_name(), path_and_query };
        forward(&self.env, &tls, target, request).await
    }
}

/// The caller, as the front proxy vouches for him.
pub(super) fn identify(headers: &mut HeaderMap, user: &User) {
    let given: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in given {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let key = utf8_percent_encode(&key.to_lowercase(), IN_HEADER_NAME).to_string();
        for value in values {
            add(&format!("x-remote-extra-{key}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_cannot_name_themselves() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("admin"));
        headers.insert("x-remote-extra-a", HeaderValue::from_static("b"));
        let mut user = User::new("jane", &["devs", "system:authenticated"]);
        user.extra.insert("example.com/Scope".to_owned(), vec!["x".to_owned()]);
        identify(&mut headers, &user);
        assert_eq!(headers.get_all("x-remote-user").iter().collect::<Vec<_>>(), ["jane"]);
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert!(!headers.contains_key("x-remote-extra-a"));
        assert_eq!(headers["x-remote-extra-example.com%2fscope"], "x");
    }
}
