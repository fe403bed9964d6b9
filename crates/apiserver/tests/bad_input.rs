//! Bodies, patches and selectors that are wrong, deep, long or meant to do harm, over a real connection: the
//! Status each is answered with, and that nobody else is kept waiting.

#![allow(clippy::unwrap_used)]

mod listening;
mod started;

use apiserver::Limits;
use base::Env;
use bytes::Bytes;
use client::Https;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use std::time::Duration;
use store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    env: Env,
    api: Https,
    url: String,
}

impl Rig {
    async fn start() -> Self {
        let env = Env::real();
        let store = MemoryStore::new(&env);
        let server = started::server(&env, store, listening::known(""), &["ServiceAccount"], Limits::default()).await;
        let place = listening::listen(&env, listening::front(&env, server)).await;
        let rig = Rig { api: place.client(&env, "secret"), env, url: place.url };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        let (code, said) = rig.send(Method::POST, "/api/v1/namespaces", JSON, namespace.to_string()).await;
        // Made by the server itself where it was quicker.
        assert!(code == 201 || code == 409, "{said}");
        rig
    }

    async fn send(&self, method: Method, path: &str, media_type: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap());
        let answer = self.env.clock.timeout(PATIENCE, self.api.raw(method, path, headers, body.into())).await;
        let answer = answer.expect("an answer in time").unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect(16 << 20).await.unwrap();
        (code, serde_json::from_slice(&body).unwrap())
    }
}

/// What is sent, and the Status it is answered with: code, reason and how the message begins.
type Case = (&'static str, Vec<u8>, u16, &'static str, &'static str);

fn case(media: &'static str, body: impl Into<Vec<u8>>, code: u16, reason: &'static str, says: &'static str) -> Case {
    (media, body.into(), code, reason, says)
}

/// Tells how an answer is not the Status that was expected.
fn wrong(code: u16, said: &Value, case: &Case) -> Option<String> {
    let (_, body, expected, reason, says) = case;
    let message = said["message"].as_str().unwrap_or_default();
    let form = said["kind"] == "Status" && said["apiVersion"] == "v1" && said["status"] == "Failure";
    let fits = form && code == *expected && said["code"] == *expected && said["reason"] == *reason;
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    // What comes of an attack is no longer than of a mistake.
    let is_short = message.len() < 1000;
    (!fits || !message.starts_with(says) || !is_short)
        .then(|| format!("{shown}\n  wanted {reason}: {says}\n  said {said}"))
}

/// A list in a list in a list, each nine times the one before.
fn laughs() -> String {
    let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (letter, before) in ('b'..='j').zip('a'..) {
        let nine = vec![format!("*{before}"); 9].join(",");
        text.push_str(&format!("{letter}: &{letter} [{nine}]\n"));
    }
    text
}

const NO_KIND: &str =
    "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ";
const HANDLED: &str = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ";

fn bodies() -> Vec<Case> {
    let map =
        |rest: &str| format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"x\"}}{rest}}}");
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let number = |digits: &str| map("").replace("\"name\"", &format!("\"generation\":{digits},\"name\""));
    let mut invalid = map(",\"data\":{\"a\":\"?\"}").into_bytes();
    invalid.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    vec![
        case(
            JSON,
            "",
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
        case(
            JSON,
            "hello",
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'h' looking for beginning of value (hello)",
        ),
        case(
            JSON,
            &map("")[..40],
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input",
        ),
        case(
            JSON,
            map("") + " x",
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'x' after top-level value",
        ),
        case(
            JSON,
            "[]",
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go value of type v1.ConfigMap",
        ),
        case(JSON, map(&format!(",\"data\":{}", deep("{\"a\":", "}"))), 400, "BadRequest", ""),
        case(JSON, number("1e999"), 400, "BadRequest", ""),
        case(
            JSON,
            number("123456789012345678901234567890"),
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number ",
        ),
        case(JSON, invalid.clone(), 400, "BadRequest", NO_KIND),
        case(
            JSON,
            map(",\"data\":{\"a\":1}"),
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        case(JSON, map(",\"data\":{\"a\\u0000\":\"\"}"), 422, "Invalid", "ConfigMap \"x\" is invalid: data[a"),
        case(
            JSON,
            map(&format!(",\"data\":{{\"a\":\"{}\"}}", "x".repeat(1_100_000))),
            422,
            "Invalid",
            "ConfigMap \"x\" is invalid: []: Too long: may not be more than 1048576 bytes",
        ),
        case(YAML, laughs(), 400, "BadRequest", "error decoding YAML: yaml: document contains excessive aliasing"),
        case(YAML, deep("[", "]"), 400, "BadRequest", "error decoding YAML: yaml: "),
        case(YAML, "a: &a [*a]", 400, "BadRequest", "error decoding YAML: yaml: anchor value contains itself"),
        case(YAML, invalid, 400, "BadRequest", "yaml: invalid UTF-8"),
        case(
            PROTOBUF,
            "nope",
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ),
        case(
            PROTOBUF,
            b"k8s\0\n\xff\xff\xff\xff\x0f".to_vec(),
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: unexpected EOF",
        ),
        case(
            PROTOBUF,
            b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\n\n\x08\n\x02\xff\xfe\x12\x02\xff\xfe".to_vec(),
            400,
            "BadRequest",
            HANDLED,
        ),
        case(
            "text/xml",
            "<a/>",
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
    ]
}

#[tokio::test]
async fn wrong_bodies_are_refused_in_upstreams_words() {
    let rig = Rig::start().await;
    let mut all = Vec::new();
    for case in bodies() {
        let (code, said) = rig.send(Method::POST, MAPS, case.0, case.1.clone()).await;
        all.extend(wrong(code, &said, &case));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    let (code, _) = rig.send(Method::GET, &format!("{MAPS}/x"), JSON, "").await;
    assert_eq!(code, 404, "none of them was kept");
}

#[tokio::test]
async fn fields_given_twice_are_told_and_refused_where_that_is_asked_for() {
    let rig = Rig::start().await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1"},"data":{"b":"2"}}"#;
    let (code, said) = rig.send(Method::POST, &format!("{MAPS}?fieldValidation=Strict"), JSON, body).await;
    let expected = format!("{HANDLED}strict decoding error: duplicate field \"data\"");
    assert_eq!((code, said["message"].as_str()), (400, Some(expected.as_str())));
    let (code, said) = rig.send(Method::POST, MAPS, JSON, body).await;
    assert_eq!((code, &said["data"]["b"]), (201, &json!("2")));
}

#[tokio::test]
async fn wide_maps_are_taken_whole() {
    let rig = Rig::start().await;
    let data: serde_json::Map<String, Value> = (0..60_000).map(|at| (format!("k{at}"), json!("v"))).collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wide"}, "data": data});
    let (code, said) = rig.send(Method::POST, MAPS, JSON, object.to_string()).await;
    assert_eq!((code, said["data"].as_object().map(serde_json::Map::len)), (201, Some(60_000)), "{}", said["message"]);
}

fn patches() -> Vec<Case> {
    let (json, merge) = ("application/json-patch+json", "application/merge-patch+json");
    let (strategic, apply) = ("application/strategic-merge-patch+json", "application/apply-patch+yaml");
    let deep = format!("{}1{}", "{\"a\":".repeat(1200), "}".repeat(1200));
    let many = format!("[{}]", vec![r#"{"op":"add","path":"/data/b","value":"x"}"#; 10_001].join(","));
    let doubling = format!("[{}]", vec![r#"{"op":"copy","from":"/data","path":"/data/x"}"#; 60].join(","));
    let rejected = "the server rejected our request due to an error in our request";
    vec![
        case(json, "{", 400, "BadRequest", "error decoding patch: "),
        case(json, r#"[{"op":"jump","path":"/a"}]"#, 422, "Invalid", rejected),
        case(json, r#"[{"op":"remove","path":"/none"}]"#, 422, "Invalid", rejected),
        case(json, r#"[{"op":"test","path":"/data/a","value":"2"}]"#, 422, "Invalid", rejected),
        case(
            json,
            many,
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
        case(json, doubling, 422, "Invalid", ""),
        case(merge, "{", 400, "BadRequest", "invalid JSON patch"),
        case(merge, deep.clone(), 400, "BadRequest", "invalid JSON patch"),
        case(
            merge,
            r#"{"metadata":{"name":"q"}}"#,
            400,
            "BadRequest",
            "the name of the object (q) does not match the name on the URL (p)",
        ),
        case(strategic, "[]", 400, "BadRequest", "Invalid JSON document"),
        case(strategic, deep, 400, "BadRequest", "error decoding patch: "),
        case(apply, "{", 400, "BadRequest", "error decoding YAML: yaml: "),
        case(apply, laughs(), 400, "BadRequest", "error decoding YAML: yaml: document contains excessive aliasing"),
        case(
            apply,
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: p, managedFields: [{}]}}",
            400,
            "BadRequest",
            "metadata.managedFields must be nil",
        ),
        case(
            "text/plain",
            "{}",
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, ",
        ),
    ]
}

#[tokio::test]
async fn wrong_patches_change_nothing() {
    let rig = Rig::start().await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"a": "1"}});
    let (_, before) = rig.send(Method::POST, MAPS, JSON, object.to_string()).await;
    let mut all = Vec::new();
    for case in patches() {
        let path = if case.0.contains("apply") { format!("{MAPS}/p?fieldManager=me") } else { format!("{MAPS}/p") };
        let (code, said) = rig.send(Method::PATCH, &path, case.0, case.1.clone()).await;
        all.extend(wrong(code, &said, &case));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    let (_, after) = rig.send(Method::GET, &format!("{MAPS}/p"), JSON, "").await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let rig = Rig::start().await;
    let cases = [
        ("labelSelector=a%20in", "unable to parse requirement: "),
        ("labelSelector=%2C", "unable to parse requirement: found ','"),
        ("fieldSelector=a", "invalid selector: 'a'; can't understand 'a'"),
        (
            "fieldSelector=spec.x%3D1",
            "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        ("continue=zzz", "invalid continue token: "),
        (
            "resourceVersion=x",
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ];
    for (query, says) in cases {
        let (code, said) = rig.send(Method::GET, &format!("{MAPS}?{query}"), JSON, "").await;
        let case = case(JSON, query, 400, "BadRequest", says);
        assert_eq!(wrong(code, &said, &case), None);
    }
}

/// Connections that never say hello, and bodies that never come, cost the others nothing.
#[tokio::test]
async fn who_stalls_holds_up_nobody() {
    let rig = Rig::start().await;
    let address = rig.url.trim_start_matches("https://");
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut io = rig.api.connect_http1().await.unwrap();
        let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n\
            content-type: application/json\r\ncontent-length: 3000000\r\n\r\n{\"a\":";
        io.write_all(head.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        slow.push(io);
    }
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "through"}});
    let (code, said) = rig.send(Method::POST, MAPS, JSON, object.to_string()).await;
    assert_eq!(code, 201, "{said}");
    let (code, _) = rig.send(Method::GET, &format!("{MAPS}/through"), JSON, "").await;
    assert_eq!(code, 200);
    // Who never says hello is left after a while.
    let mut byte = [0];
    let end = rig.env.clock.timeout(PATIENCE, silent[0].read(&mut byte)).await.expect("the server hangs up");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    drop(slow);
}

/// All answers of a client come over one connection.
#[tokio::test]
async fn who_does_not_read_a_watch_reads_other_answers() {
    const OBJECT: usize = 500_000;
    let rig = Rig::start().await;
    let watch = rig.api.raw(Method::GET, &format!("{MAPS}?watch=1"), HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_eq!(watch.version(), http::Version::HTTP_2);
    // More than a connection may carry ahead where nobody says otherwise, and more than one answer may.
    for number in 0..20 {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("large-{number}")},
            "data": {"large": "x".repeat(OBJECT)}});
        let (code, said) = rig.send(Method::POST, MAPS, JSON, object.to_string()).await;
        assert_eq!(code, 201, "{said}");
    }
    let (code, said) = rig.send(Method::GET, MAPS, JSON, "").await;
    assert_eq!((code, said["items"].as_array().unwrap().len()), (200, 20));
    drop(watch);
}

/// Many clients read nothing before they have sent everything.
#[tokio::test]
async fn who_sends_too_much_reads_why_it_was_refused() {
    const PIECES: usize = 320;
    const REASON: &str = "Request entity too large: limit is 3145728";
    let rig = Rig::start().await;
    let piece = vec![b' '; 64 << 10];
    for (framing, before, after, end) in [
        (format!("content-length: {}", PIECES * piece.len()), "", "", ""),
        ("transfer-encoding: chunked".to_owned(), "10000\r\n", "\r\n", "0\r\n\r\n"),
    ] {
        let mut io = rig.api.connect_http1().await.unwrap();
        let exchange = async {
            let head = format!(
                "POST {MAPS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n\
                 content-type: application/json\r\n{framing}\r\n\r\n"
            );
            io.write_all(head.as_bytes()).await?;
            for _ in 0..PIECES {
                io.write_all(before.as_bytes()).await?;
                io.write_all(&piece).await?;
                io.write_all(after.as_bytes()).await?;
            }
            io.write_all(end.as_bytes()).await?;
            io.flush().await?;
            let mut answer = Vec::new();
            let is_whole = |answer: &[u8]| answer.windows(REASON.len()).any(|part| part == REASON.as_bytes());
            while !is_whole(&answer) && io.read_buf(&mut answer).await? > 0 {}
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = rig.env.clock.timeout(PATIENCE, exchange).await.expect("an answer in time");
        let answer = answer.unwrap_or_else(|error| panic!("{framing}: {error}"));
        assert!(answer.starts_with("HTTP/1.1 413 "), "{framing}: {answer}");
        assert!(answer.contains(REASON), "{framing}: {answer}");
    }
}
