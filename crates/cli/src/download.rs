//! Manifests behind URLs: `-f https://…`.
//!
//! Follows redirects, asks again where the server is at fault, and reads no more than a file may hold. None of
//! the cluster's credentials go along. Called by the reader of manifests.

use crate::failure::{Failure, Outcome};
use base::Env;
use client::{Https, HttpsOptions, Roots};
use http::header::LOCATION;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use std::time::Duration;

/// As often as kubectl asks, and how long it waits between.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);
const MOST_REDIRECTS: usize = 10;

pub fn is_url(file: &str) -> bool {
    file.starts_with("http://") || file.starts_with("https://")
}

/// The text behind a URL, at most `limit` bytes of it.
pub async fn text(url: &str, limit: usize, env: &Env) -> Outcome<String> {
    let parsed: Result<Uri, _> = url.parse();
    if let Err(why) = parsed {
        return Err(Failure::message(format!("the URL passed to filename {url:?} is not valid: parse {url:?}: {why}")));
    }
    let mut failure = Failure::Code(1);
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            env.clock.sleep(PAUSE).await;
        }
        match fetch(url, env).await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                let body = answer.into_body().collect(limit).await.map_err(|why| told(url, why))?;
                return String::from_utf8(body.into()).map_err(|_| {
                    let why = "yaml: invalid leading UTF-8 octet";
                    Failure::message(format!("error parsing {url}: error converting YAML to JSON: {why}"))
                });
            }
            Ok(answer) => {
                let status = answer.status();
                failure = Failure::message(format!(
                    "unable to read URL {url:?}, server reported {status}, status code={}",
                    status.as_u16()
                ));
                if !status.is_server_error() {
                    break;
                }
            }
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

/// One attempt, with all that it is sent on to.
async fn fetch(url: &str, env: &Env) -> Outcome<Response<client::Body>> {
    let mut url = url.to_owned();
    for _ in 0..MOST_REDIRECTS {
        let answer = get(&url, env).await?;
        let next = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection());
        let Some(next) = next.and_then(|next| next.to_str().ok()) else { return Ok(answer) };
        url = resolve(&url, next);
    }
    Err(Failure::Connection { server: url, why: format!("stopped after {MOST_REDIRECTS} redirects") })
}

async fn get(url: &str, env: &Env) -> Outcome<Response<client::Body>> {
    let (origin, path) = split(url);
    let invalid = |why: String| Failure::Connection { server: url.to_owned(), why };
    let https = Https::new(HttpsOptions::new(origin, Roots::System), env).map_err(|why| invalid(why.to_string()))?;
    https.raw(Method::GET, &path, HeaderMap::new(), bytes::Bytes::new()).await.map_err(|why| told(origin, why))
}

fn told(server: &str, why: client::Error) -> Failure {
    match why {
        client::Error::Status(status) => Failure::Status(status),
        client::Error::Connection(why) => Failure::Connection { server: split(server).0.to_owned(), why },
        client::Error::Decode(why) => Failure::message(why),
    }
}

/// `https://host:port` and the path with its query; what follows a `#` is not sent.
fn split(url: &str) -> (&str, String) {
    let url = url.split('#').next().unwrap_or_default();
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    let (origin, path) = url.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (origin, format!("{slash}{path}"))
}

/// Where a redirect leads.
fn resolve(from: &str, to: &str) -> String {
    let (origin, path) = split(from);
    if to.contains("://") {
        return to.to_owned();
    }
    if to.starts_with("//") {
        let scheme = origin.split("//").next().unwrap_or_default();
        return format!("{scheme}{to}");
    }
    if to.starts_with('/') {
        return format!("{origin}{to}");
    }
    let path = path.split('?').next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    format!("{origin}{folder}{to}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn redirects_lead_where_browsers_go() {
        let rows = [
            ("http://a/b/c?d", "e", "http://a/b/e"),
            ("http://a/b/c", "/e?f", "http://a/e?f"),
            ("https://a:1", "e", "https://a:1/e"),
            ("https://a/b", "//c/d", "https://c/d"),
            ("https://a/b", "http://c", "http://c"),
        ];
        for (from, to, expected) in rows {
            assert_eq!(resolve(from, to), expected, "{from} {to}");
        }
    }

    /// Answers `answers` one connection each, and gives its address and, at the end, the paths asked for.
    #[allow(clippy::disallowed_methods)]
    fn serve(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut connection, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    assert_eq!(connection.read(&mut byte).unwrap(), 1, "the request was cut off");
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                assert!(!head.to_lowercase().contains("authorization"), "{head}");
                asked.push(head.split(' ').nth(1).unwrap().to_owned());
                connection.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (format!("http://{address}"), asked)
    }

    async fn fetched(url: &str) -> Result<String, String> {
        text(url, 100, &Env::real()).await.map_err(|failure| failure.to_string())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    const MOVED: &str = "HTTP/1.1 302 Found\r\nlocation: /there?x=1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const ABSENT: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\nconnection: close\r\n\r\n\
        0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789x";

    #[tokio::test]
    async fn what_is_there_is_read_and_the_rest_told() {
        let (url, asked) = serve(&[MOVED, OK]);
        assert_eq!(fetched(&format!("{url}/here#part")).await.as_deref(), Ok("hi"));
        assert_eq!(asked.join().unwrap(), ["/here", "/there?x=1"]);
        let (url, asked) = serve(&[ABSENT]);
        let expected = format!("error: unable to read URL \"{url}\", server reported 404 Not Found, status code=404");
        assert_eq!(fetched(&url).await, Err(expected));
        assert_eq!(asked.join().unwrap(), ["/"]);
        let (url, asked) = serve(&[BROKEN, BROKEN, BROKEN]);
        let reported = "server reported 503 Service Unavailable, status code=503";
        assert_eq!(fetched(&url).await, Err(format!("error: unable to read URL \"{url}\", {reported}")));
        assert_eq!(asked.join().unwrap().len(), 3);
        let (url, asked) = serve(&[BROKEN, OK]);
        assert_eq!(fetched(&url).await.as_deref(), Ok("hi"));
        assert_eq!(asked.join().unwrap().len(), 2);
        let (url, asked) = serve(&[LONG]);
        assert_eq!(fetched(&url).await, Err("error: the answer is longer than 100 bytes".to_owned()));
        asked.join().unwrap();
    }

    #[tokio::test]
    async fn who_is_not_there_is_told_apart_from_what_is_no_url() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = "was refused - did you specify the right host or port?";
        let told = fetched(&format!("http://127.0.0.1:{port}/x")).await;
        assert_eq!(told, Err(format!("The connection to the server 127.0.0.1:{port} {refused}")));
        let told = fetched("http://a b/").await.unwrap_err();
        assert!(told.starts_with("error: the URL passed to filename \"http://a b/\" is not valid: parse "), "{told}");
    }
}
