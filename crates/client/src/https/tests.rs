//! Against a real TLS server on loopback.

use super::answer::{read_event, read_failure, split_list};
use super::*;
use crate::{EventType, Options, PatchType};
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use meta::{GroupVersionResource, Reason};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

#[test]
fn urls_are_upstreams() {
    let options =
        Options { label_selector: Some("a=b,c in (d)".to_owned()), allow_watch_bookmarks: true, ..Options::default() };
    let deployments = GroupVersionResource::of("apps", "v1", "deployments");
    let cases = [
        (Request::new(Verb::List, PODS), "/api/v1/pods"),
        (Request::new(Verb::Get, PODS).namespace("a").name("b"), "/api/v1/namespaces/a/pods/b"),
        (
            Request::new(Verb::Patch(PatchType::Merge), deployments).namespace("a").name("b").subresource("status"),
            "/apis/apps/v1/namespaces/a/deployments/b/status",
        ),
        (
            Request::new(Verb::Watch, PODS).options(options),
            "/api/v1/pods?watch=true&labelSelector=a%3Db%2Cc%20in%20%28d%29&allowWatchBookmarks=true",
        ),
        (Request::new(Verb::Get, PODS).namespace("a").name("b/../c"), "/api/v1/namespaces/a/pods/b%2F..%2Fc"),
    ];
    for (request, path) in cases {
        assert_eq!(url::path_and_query(&request), path);
    }
}

#[test]
fn lists_are_split_without_touching_their_items() {
    let body = Bytes::from_static(
        br#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"a": 1},{"b":[2]}]}"#,
    );
    let list = split_list(&body).unwrap();
    assert_eq!(list.items, [&br#"{"a": 1}"#[..], &br#"{"b":[2]}"#[..]]);
    assert_eq!((list.resource_version.as_str(), list.continue_token.as_deref()), ("7", Some("x")));
    assert!(split_list(&Bytes::from_static(br#"{"metadata":{},"items":null}"#)).unwrap().items.is_empty());
}

#[test]
fn error_events_and_bare_failures_become_statuses() {
    let line = Bytes::from_static(br#"{"type":"ERROR","object":{"status":"Failure","reason":"Expired","code":410}}"#);
    assert!(read_event(&line).unwrap_err().is(Reason::Expired));
    let status = read_failure(StatusCode::TOO_MANY_REQUESTS, Some(3), b"slow down");
    assert_eq!((status.reason(), status.message.as_str()), (Reason::TooManyRequests, "slow down"));
    assert_eq!(status.details.unwrap().retry_after_seconds, 3);
}

struct Server {
    port: u16,
    ca: String,
    seen: Arc<Mutex<Vec<String>>>,
}

type Reply = http::Response<http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>>;

fn reply(code: u16, text: &'static str) -> Reply {
    http::Response::builder().status(code).body(Full::new(Bytes::from_static(text.as_bytes())).boxed()).unwrap()
}

/// What the little server answers.
async fn answer(seen: Arc<Mutex<Vec<String>>>, mut request: http::Request<Incoming>) -> Reply {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let line = format!("{:?} {} {} {token}", request.version(), request.method(), request.uri().path());
    let earlier = seen.lock().unwrap().iter().filter(|told| **told == line).count();
    seen.lock().unwrap().push(line);
    match request.uri().path() {
        _ if token == "Bearer old" => reply(401, ""),
        "/api/v1/pods" if request.uri().query() == Some("watch=true") => {
            let pieces =
                ["{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}\n{\"type\":\"MOD", "IFIED\",\"object\":{}}\n"];
            let frames = futures_util::stream::iter(pieces.map(|piece| Ok(Frame::data(Bytes::from(piece)))));
            http::Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
        "/api/v1/pods" => reply(200, r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"}}]}"#),
        "/api/v1/nodes" if earlier == 0 => {
            let mut later = reply(429, "later");
            later.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            later
        }
        "/api/v1/nodes" => reply(200, r#"{"metadata":{},"items":[]}"#),
        "/exec" => {
            base::Tasks::new().spawn("echo", async move {
                let mut io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let mut four = [0; 4];
                io.read_exact(&mut four).await.unwrap();
                io.write_all(&four).await.unwrap();
            });
            let mut switching = reply(101, "");
            switching.headers_mut().insert(http::header::UPGRADE, HeaderValue::from_static("echo"));
            switching
        }
        _ => reply(404, r#"{"kind":"Status","status":"Failure","reason":"NotFound","message":"no","code":404}"#),
    }
}

async fn serve(env: &Env, alpn: &[&[u8]]) -> Server {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), ca: ca.pem(), seen: Arc::default() };
    let (seen, tasks) = (server.seen.clone(), env.tasks.clone());
    env.tasks.spawn("server", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (seen, acceptor, runs) = (seen.clone(), acceptor.clone(), Runs(tasks.clone()));
            tasks.spawn("server connection", async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let seen = seen.clone();
                    async move { Ok::<_, std::convert::Infallible>(answer(seen, request).await) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(runs);
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    server
}

fn client(server: &Server, env: &Env) -> Https {
    let url = format!("https://127.0.0.1:{}", server.port);
    Https::new(HttpsOptions::new(url, Roots::Pem(server.ca.clone().into_bytes())), env).unwrap()
}

#[tokio::test]
async fn lists_watches_failures_and_postponed_requests() {
    for (alpn, version) in [(&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1")] {
        let env = Env::real();
        let server = serve(&env, alpn).await;
        let https = client(&server, &env);
        let Response::List(list) = https.call(Request::new(Verb::List, PODS)).await.unwrap() else { panic!() };
        assert_eq!((list.items.len(), list.resource_version.as_str()), (1, "5"));
        assert!(server.seen.lock().unwrap()[0].starts_with(version), "{:?}", server.seen);
        let Response::Watch(events) = https.call(Request::new(Verb::Watch, PODS)).await.unwrap() else { panic!() };
        let kinds: Vec<_> = events.map(|event| event.unwrap().kind).collect().await;
        assert_eq!(kinds, [EventType::Added, EventType::Modified]);
        let missing = https.call(Request::new(Verb::Get, PODS).namespace("a").name("b")).await.err().unwrap();
        assert!(missing.is(Reason::NotFound));
        let nodes = GroupVersionResource::of("", "v1", "nodes");
        assert!(https.call(Request::new(Verb::List, nodes)).await.is_ok(), "a postponed request is repeated");
        env.tasks.stop().await;
    }
}

#[tokio::test]
async fn an_upgraded_connection_is_handed_over() {
    let env = Env::real();
    let server = serve(&env, &[b"h2", b"http/1.1"]).await;
    let https = client(&server, &env);
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(http::header::UPGRADE, HeaderValue::from_static("echo"));
    let (answer, mut io) = https.upgrade(Method::POST, "/exec", headers.clone()).await.unwrap();
    assert_eq!(answer.headers()["upgrade"], "echo");
    io.write_all(b"ping").await.unwrap();
    let mut four = [0; 4];
    io.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
    assert!(https.upgrade(Method::POST, "/none", headers).await.err().unwrap().is(Reason::NotFound));
    env.tasks.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    struct Renewed;
    impl TokenSource for Renewed {
        fn token<'a>(&'a self, refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>> {
            Box::pin(async move { Ok(if refused.is_some() { "new" } else { "old" }.to_owned()) })
        }
    }
    let env = Env::real();
    let server = serve(&env, &[b"h2"]).await;
    let url = format!("https://127.0.0.1:{}", server.port);
    let options = HttpsOptions::new(url, Roots::Pem(server.ca.clone().into_bytes()));
    let https = Https::new(options.clone().token(Renewed), &env).unwrap();
    assert!(https.call(Request::new(Verb::List, PODS)).await.is_ok());
    let stuck = Https::new(options.token("old".to_owned()), &env).unwrap();
    assert!(stuck.call(Request::new(Verb::List, PODS)).await.err().unwrap().is(Reason::Unauthorized));
    env.tasks.stop().await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let env = Env::real();
    let server = serve(&env, &[b"h2"]).await;
    let other = serve(&env, &[b"h2"]).await;
    let url = format!("https://127.0.0.1:{}", server.port);
    let https = Https::new(HttpsOptions::new(url.clone(), Roots::Pem(other.ca.into_bytes())), &env).unwrap();
    let error = https.call(Request::new(Verb::List, PODS)).await.err().unwrap();
    assert!(error.to_string().contains("certificate"), "{error}");
    let unchecked = Https::new(HttpsOptions::new(url, Roots::Unchecked), &env).unwrap();
    assert!(unchecked.call(Request::new(Verb::List, PODS)).await.is_ok());
    env.tasks.stop().await;
}
