//! Values sealed by each provider, read back, moved, changed and after a change of keys; and a key
//! service made here.

use super::{Encryption, Sealer};
use crate::secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECRET: &str = "/registry/secrets/default/a";
const MAP: &str = "/registry/configmaps/default/a";
const DEPLOYMENT: &str = "/registry/apps/deployments/default/a";
const CUSTOM: &str = "/registry/example.com/things/default/a";

fn own() -> Sealer {
    Sealer::new("key1", &[7; 32]).unwrap()
}

fn config(providers: &str, resources: &str) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [{resources}]\n  providers:\n{providers}"
    )
}

fn keyed(form: &str, name: &str, size: usize) -> String {
    let key = STANDARD.encode(&secret::sha256_hex(name.as_bytes()).as_bytes()[..size]);
    format!("  - {form}: {{keys: [{{name: {name}, secret: {key}}}]}}\n")
}

fn load(encryption: &Encryption, dir: &Path, text: &str) -> Result<(), String> {
    let path = dir.join("encryption.yaml");
    std::fs::write(&path, text).unwrap();
    encryption.load(&path).map_err(|error| error.to_string())
}

#[test]
fn each_provider_opens_what_it_sealed_and_nothing_that_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    for (form, size) in
        [("aesgcm", 16), ("aesgcm", 32), ("aescbc", 16), ("aescbc", 24), ("aescbc", 32), ("secretbox", 32)]
    {
        let encryption = Encryption::new(own());
        load(&encryption, dir.path(), &config(&keyed(form, "k", size), "secrets")).unwrap();
        let sealed = encryption.seal(SECRET, b"top secret").unwrap().unwrap();
        assert!(sealed.starts_with(format!("k8s:enc:{form}:v1:k:").as_bytes()), "{form}");
        assert!(!sealed.windows(10).any(|part| part == b"top secret"), "{form}");
        assert_eq!(encryption.open(SECRET, &sealed).unwrap().as_deref(), Some(&b"top secret"[..]), "{form}");
        assert_eq!(encryption.open(SECRET, b"{}").unwrap(), None);
        if form != "aescbc" {
            let mut changed = sealed.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(encryption.open(SECRET, &changed).is_err(), "{form}");
        }
        assert!(encryption.open(SECRET, &sealed[..30]).is_err(), "{form}");
        assert_eq!(encryption.seal(MAP, b"{}").unwrap(), None, "{form}");
        // The next key seals, the old one still opens.
        let both = format!("{}{}", keyed("secretbox", "new", 32), keyed(form, "k", size));
        load(&encryption, dir.path(), &config(&both, "secrets")).unwrap();
        assert!(encryption.seal(SECRET, b"x").unwrap().unwrap().starts_with(b"k8s:enc:secretbox:v1:new:"));
        assert_eq!(encryption.open(SECRET, &sealed).unwrap().as_deref(), Some(&b"top secret"[..]));
    }
}

#[test]
fn secrets_keep_their_own_seal_and_identity_takes_it_away() {
    let dir = tempfile::tempdir().unwrap();
    let encryption = Encryption::new(own());
    let before = encryption.seal(SECRET, b"x").unwrap().unwrap();
    assert!(before.starts_with(b"k8s:enc:aesgcm:v1:key1:"));
    assert_eq!(encryption.seal(MAP, b"x").unwrap(), None);
    let text = config(&format!("  - identity: {{}}\n{}", keyed("aesgcm", "k", 32)), "'*.*'");
    load(&encryption, dir.path(), &text).unwrap();
    assert_eq!(encryption.seal(SECRET, b"x").unwrap(), None);
    assert_eq!(encryption.open(SECRET, &before).unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(encryption.open(SECRET, b"k8s:enc:secretbox:v1:k:zzz").unwrap_err(), "no matching prefix found");
}

#[test]
fn rules_name_resources_as_upstream_does() {
    let dir = tempfile::tempdir().unwrap();
    let provider = keyed("aesgcm", "k", 32);
    for (resources, sealed) in [
        ("secrets, configmaps", [true, true, false, false]),
        ("deployments.apps", [false, false, true, false]),
        ("'*.apps'", [false, false, true, false]),
        ("'*.'", [true, true, false, false]),
        ("'*.*'", [true, true, true, true]),
        ("things.example.com", [false, false, false, true]),
    ] {
        let encryption = Encryption::new(own());
        load(&encryption, dir.path(), &config(&provider, resources)).unwrap();
        for (place, expected) in [SECRET, MAP, DEPLOYMENT, CUSTOM].into_iter().zip(sealed) {
            let is_sealed =
                encryption.seal(place, b"{}").unwrap().is_some_and(|value| value.starts_with(b"k8s:enc:aesgcm:v1:k:"));
            assert_eq!(is_sealed, expected, "{resources} {place}");
        }
    }
}

#[test]
fn files_are_refused_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let encryption = Encryption::new(own());
    for (text, error) in [
        (config("", "secrets"), "resources[0].providers: Required value: at least one provider is required"),
        (config("  - identity: {}\n", "'*'"), "use '*.' to encrypt all the resources from core API group"),
        (
            config("  - aesgcm: {keys: []}\n", "secrets"),
            "resources[0].providers[0].aesgcm.keys: Required value: at least one key is required",
        ),
        (
            config("  - aesgcm: {keys: [{name: a, secret: AAAA}]}\n", "secrets"),
            "an aesgcm key has 16 or 32 bytes here, not 3",
        ),
        (config("  - aesgcm: {keys: [{name: a, secret: '%'}]}\n", "secrets"), "secrets must be base64 encoded"),
        (config("  - kms: {apiVersion: v1, name: a, endpoint: 'unix:///x'}\n", "secrets"), "only v2 is supported"),
        (config("  - kms: {apiVersion: v2, name: a, endpoint: 'tcp://x'}\n", "secrets"), "must be a unix:///path"),
        (config("  - kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}\n", "secrets"), "must not contain ':'"),
        (config("  - other: {}\n", "secrets"), "unknown field `other`"),
        ("kind: Other\napiVersion: v1\n".to_owned(), "no kind \"Other\" is registered for version \"v1\""),
    ] {
        let why = load(&encryption, dir.path(), &text).unwrap_err();
        assert!(why.contains(error), "{why}");
    }
}

/// A key service whose only secret is to turn every bit: enough to see what it is asked.
struct Service {
    calls: Arc<AtomicUsize>,
    key: Arc<AtomicUsize>,
}

fn serve(path: &Path) -> Service {
    let service = Service { calls: Arc::default(), key: Arc::default() };
    let (calls, key) = (service.calls.clone(), service.key.clone());
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    base::tasks::thread("key service", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let tasks = base::Tasks::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (calls, key) = (calls.clone(), key.clone());
                let answer = service_fn(move |request| answer(request, calls.clone(), key.clone()));
                tasks.spawn("call", async move {
                    // How it ends is the client's affair.
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
    })
    .unwrap();
    service
}

type Streamed = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(
    request: http::Request<Incoming>,
    calls: Arc<AtomicUsize>,
    key: Arc<AtomicUsize>,
) -> Result<http::Response<Streamed>, Infallible> {
    use super::messages::{Fields, Message};
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let fields = Fields::read(&body[5..]).unwrap();
    let turned: Vec<u8> = fields.bytes(1).iter().map(|byte| !byte).collect();
    let id = format!("key-{}", key.load(Ordering::Relaxed));
    let message = match path.as_str() {
        "/v2.KeyManagementService/Status" => Message::default().bytes(1, b"v2").bytes(2, b"ok").bytes(3, id.as_bytes()),
        "/v2.KeyManagementService/Encrypt" => {
            calls.fetch_add(1, Ordering::Relaxed);
            let notes = [("a.example.com".to_owned(), b"note".to_vec())];
            Message::default().bytes(1, &turned).bytes(2, id.as_bytes()).map(3, &notes)
        }
        "/v2.KeyManagementService/Decrypt" => {
            calls.fetch_add(1, Ordering::Relaxed);
            assert_eq!(fields.map(4), [("a.example.com".to_owned(), b"note".to_vec())]);
            assert_eq!(fields.text(3), "key-0");
            Message::default().bytes(1, &turned)
        }
        other => panic!("{other}"),
    };
    let message = message.done();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = vec![Ok(Frame::data(frame.into())), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

#[test]
fn a_key_service_is_asked_once_for_a_seed_and_once_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    let service = serve(&socket);
    let text = config(
        &format!("  - kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}', timeout: 5s}}\n", socket.display()),
        "secrets",
    );
    let encryption = Encryption::new(own());
    load(&encryption, dir.path(), &text).unwrap();
    let sealed: Vec<Vec<u8>> =
        (0..20).map(|number| encryption.seal(SECRET, format!("value {number}").as_bytes()).unwrap().unwrap()).collect();
    assert_eq!(service.calls.load(Ordering::Relaxed), 1, "one seed for all values");
    assert!(sealed[0].starts_with(b"k8s:enc:kms:v2:vault:"));
    let restarted = Encryption::new(own());
    load(&restarted, dir.path(), &text).unwrap();
    for (number, sealed) in sealed.iter().enumerate() {
        let plain = restarted.open(SECRET, sealed).unwrap().unwrap();
        assert_eq!(plain, format!("value {number}").as_bytes());
        assert!(restarted.open(MAP, sealed).is_err(), "it opens at its place only");
    }
    assert_eq!(service.calls.load(Ordering::Relaxed), 2, "the seed was opened once");
    let away = config("  - kms: {apiVersion: v2, name: gone, endpoint: 'unix:///nowhere/kms.sock'}\n", "secrets");
    load(&encryption, dir.path(), &away).unwrap();
    let why = encryption.seal(SECRET, b"x").unwrap_err();
    assert!(why.contains("dial unix /nowhere/kms.sock"), "{why}");
}

#[test]
fn a_key_service_that_never_answers_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    // It takes connections, and that is all.
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let endpoint = socket.display();
    let text = config(
        &format!("  - kms: {{apiVersion: v2, name: deaf, endpoint: 'unix://{endpoint}', timeout: 2s}}\n"),
        "secrets",
    );
    let encryption = Encryption::new(own());
    load(&encryption, dir.path(), &text).unwrap();
    let clock = base::Clock::real();
    let start = clock.now();
    for _ in 0..500 {
        assert!(encryption.seal(SECRET, b"x").is_err());
    }
    // Each waiting for itself would take 1000 seconds.
    assert!(clock.now() < start + jiff::SignedDuration::from_secs(120));
}
