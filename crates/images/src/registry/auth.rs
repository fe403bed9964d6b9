//! How a registry wants to be asked: challenges, and tokens from the server they name.

use super::http::{Http, Request};
use crate::service::RegistryAuth;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::collections::BTreeMap;

const MAX_TOKEN_ANSWER: u64 = 1 << 20;
/// What a form must write otherwise.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case.
    pub scheme: String,
    pub parameters: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("authorization failed: no basic auth credentials")]
    NoCredentials,
    #[error("failed to authorize: {0}")]
    Token(String),
    #[error("failed to authorize: the registry asks for no known kind of authorization")]
    Unknown,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Challenge {
    /// The challenge to answer: tokens before passwords.
    pub fn choose(headers: &HeaderMap) -> Option<Challenge> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<_> = texts.map(Challenge::parse).collect();
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme).cloned();
        of("bearer").or_else(|| of("basic"))
    }

    fn parse(text: &str) -> Self {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = BTreeMap::new();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = value(after);
            parameters.insert(name.trim_matches([' ', ',']).to_ascii_lowercase(), value);
            rest = after;
        }
        Challenge { scheme: scheme.to_ascii_lowercase(), parameters }
    }

    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// What to send as `Authorization` after `challenge`. `plain` says that the registry is spoken to
/// without TLS, so that its token server may be too.
pub async fn answer(
    http: &Http,
    challenge: &Challenge,
    auth: Option<&RegistryAuth>,
    scope: &str,
    plain: bool,
) -> Result<HeaderValue, AuthError> {
    let auth = auth.filter(|auth| **auth != RegistryAuth::default());
    if challenge.scheme == "basic" {
        let auth = auth.filter(|auth| !auth.username.is_empty()).ok_or(AuthError::NoCredentials)?;
        return secret(&basic(auth));
    }
    if challenge.scheme != "bearer" {
        return Err(AuthError::Unknown);
    }
    match auth {
        Some(auth) if !auth.registry_token.is_empty() => secret(&format!("Bearer {}", auth.registry_token)),
        auth => secret(&format!("Bearer {}", token(http, challenge, auth, scope, plain).await?)),
    }
}

async fn token(
    http: &Http,
    challenge: &Challenge,
    auth: Option<&RegistryAuth>,
    scope: &str,
    plain: bool,
) -> Result<String, AuthError> {
    let realm = challenge.parameter("realm");
    if !(realm.starts_with("https://") || plain && realm.starts_with("http://")) {
        return Err(AuthError::Token(format!("token server {realm:?} is not to be trusted with a password")));
    }
    let scope = Some(challenge.parameter("scope")).filter(|scope| !scope.is_empty()).unwrap_or(scope);
    let mut form = vec![("service", challenge.parameter("service")), ("scope", scope)];
    form.retain(|(_, value)| !value.is_empty());
    let (kind, request) = match auth {
        Some(auth) if !auth.identity_token.is_empty() => {
            form.extend([
                ("grant_type", "refresh_token"),
                ("client_id", "kutter"),
                ("refresh_token", &auth.identity_token),
            ]);
            ("oauth", post(realm, &form)?)
        }
        Some(auth) => {
            form.push(("account", &auth.username));
            ("oauth", get(realm, &form, Some(secret(&basic(auth))?))?)
        }
        None => ("anonymous", get(realm, &form, None)?),
    };
    fetch(http, request).await.map_err(|why| AuthError::Token(format!("failed to fetch {kind} token: {why}")))
}

async fn fetch(http: &Http, request: Request) -> Result<String, String> {
    let (method, url) = (request.method.clone(), request.url.clone());
    let answer = http.send(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("unexpected status from {method} request to {url}: {status}"));
    }
    let body = http.read(answer.into_body(), MAX_TOKEN_ANSWER).await?;
    let answer: TokenAnswer =
        serde_json::from_slice(&body).map_err(|why| format!("unable to decode token response: {why}"))?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if token.is_empty() {
        Err("authorization server did not include a token in the response".to_owned())
    } else {
        Ok(token)
    }
}

fn get(realm: &str, form: &[(&str, &str)], authorization: Option<HeaderValue>) -> Result<Request, AuthError> {
    let joint = if realm.contains('?') { '&' } else { '?' };
    let url = uri(&format!("{realm}{joint}{}", encode(form)))?;
    Ok(Request { method: Method::GET, url, headers: HeaderMap::new(), authorization, body: Bytes::new() })
}

fn post(realm: &str, form: &[(&str, &str)]) -> Result<Request, AuthError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(Request { method: Method::POST, url: uri(realm)?, headers, authorization: None, body: encode(form).into() })
}

fn uri(text: &str) -> Result<Uri, AuthError> {
    text.parse().map_err(|why| AuthError::Token(format!("token server {text:?}: {why}")))
}

fn encode(form: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        form.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED))).collect();
    pairs.join("&")
}

fn basic(auth: &RegistryAuth) -> String {
    format!("Basic {}", BASE64.encode(format!("{}:{}", auth.username, auth.password)))
}

fn secret(text: &str) -> Result<HeaderValue, AuthError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| AuthError::Token("a token holds what no header may".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (text, scheme, parameters) in [
            ("Basic realm=\"a b\"", "basic", &[("realm", "a b")][..]),
            ("Basic", "basic", &[]),
            (
                "Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a/b:pull,push\"",
                "bearer",
                &[
                    ("realm", "https://auth.example/token"),
                    ("scope", "repository:a/b:pull,push"),
                    ("service", "registry"),
                ],
            ),
            ("bearer Realm=x, error=\"a \\\"b\\\"\"", "bearer", &[("error", "a \"b\""), ("realm", "x")]),
            ("Bearer realm=\"cut off", "bearer", &[("realm", "cut off")]),
        ] {
            let challenge = Challenge::parse(text);
            let found: Vec<_> =
                challenge.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!((challenge.scheme.as_str(), found.as_slice()), (scheme, parameters), "{text}");
        }
    }
}
