//! Webhooks against a real TLS server that answers as each test wants.

use super::{Reinvocation, Shape, Webhooks};
use crate::testing::World;
use crate::{Attributes, Notes, Operation};
use base::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use meta::{GroupVersionKind, GroupVersionResource, Status, User};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Answers requests by path; keeps what it was asked.
struct Server {
    port: u16,
    authority: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    /// The task ends with it.
    task: tokio::task::AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer = fn(&str, &Value) -> Value;

impl Server {
    async fn start(env: &Env, answer: Answer) -> Server {
        let names = vec!["hook.ns.svc".to_owned(), "127.0.0.1".to_owned()];
        // As tools make them: its own authority, and marked as one.
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&signing_key).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (seen, clock, tasks) = (asked.clone(), env.clock.clone(), env.tasks.clone());
        let serve = env.tasks.spawn("webhook", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen, clock) = (acceptor.clone(), seen.clone(), clock.clone());
                tasks.spawn("webhook connection", async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let (seen, clock) = (seen.clone(), clock.clone());
                        async move {
                            let path = request.uri().to_string();
                            let body = request.into_body().collect().await?.to_bytes();
                            let review: Value = serde_json::from_slice(&body).unwrap();
                            if path.starts_with("/slow") {
                                clock.sleep(Duration::from_secs(30)).await;
                            }
                            let mut told = answer(&path, &review["request"]);
                            if told["response"]["uid"].is_null() && told["response"].is_object() {
                                told["response"]["uid"] = review["request"]["uid"].clone();
                            }
                            seen.lock().unwrap().push((path, review));
                            Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from(told.to_string()))))
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Server { port, authority: STANDARD.encode(cert.pem()), asked, task: serve.abort_handle() }
    }

    fn hook(&self, name: &str, path: &str, more: Value) -> Value {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let mut hook = json!({
            "name": name, "clientConfig": {"url": url, "caBundle": self.authority},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 2, "failurePolicy": "Fail",
        });
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        hook
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.split('?').next().unwrap().to_owned()).collect()
    }
}

fn review(response: Value) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
}

fn patch(operations: Value) -> Value {
    review(json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())}))
}

/// One answer a path.
fn answers(path: &str, request: &Value) -> Value {
    let path = path.split('?').next().unwrap();
    match path {
        "/deny" => review(json!({"allowed": false, "status": {"message": "no such thing here", "code": 418}})),
        "/mute" => review(json!({"allowed": false})),
        "/warn" => review(json!({"allowed": true, "warnings": ["careful"], "auditAnnotations": {"seen": "yes"}})),
        "/label" => patch(json!([{"op": "add", "path": "/metadata/labels", "value": {"added": "yes"}}])),
        "/count" => {
            let count = request["object"]["data"]["count"].as_str().unwrap_or("0").parse::<u32>().unwrap() + 1;
            patch(json!([{"op": "add", "path": "/data", "value": {"count": count.to_string()}}]))
        }
        "/bad-uid" => review(json!({"allowed": true, "uid": "other"})),
        "/no-type" => review(json!({"allowed": true, "patch": "W10="})),
        "/absent" => json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}),
        "/other" => json!({"kind": "Pod", "apiVersion": "v1", "response": {}}),
        "/wrong-patch" => patch(json!([{"op": "remove", "path": "/nothing/there"}])),
        _ => review(json!({"allowed": true})),
    }
}

struct Plain;

impl Shape for Plain {
    fn requested(&self) -> Option<(GroupVersionResource, GroupVersionKind)> {
        None
    }

    fn equivalents(&self) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        vec![(GroupVersionResource::of("old", "v1beta1", "maps"), GroupVersionKind::of("old", "v1beta1", "Map"))]
    }

    fn convert(&self, object: &Value, kind: &GroupVersionKind) -> Result<Value, Status> {
        let mut object = object.clone();
        object["kind"] = json!(kind.kind);
        Ok(object)
    }

    fn merge(&self, _: &Value, _: Value, _: &GroupVersionKind) -> Result<Value, String> {
        Err("nothing is applied by webhooks".to_owned())
    }

    fn reread(&self, object: Value, _: &GroupVersionKind) -> Result<Value, Status> {
        Ok(object)
    }
}

struct Case<'a> {
    world: World,
    operation: Operation,
    resource: &'a str,
    namespace: &'a str,
    dry_run: bool,
}

impl Default for Case<'_> {
    fn default() -> Self {
        let namespace = json!({"metadata": {"name": "shop", "labels": {"judged": "yes"}}});
        let world = World { objects: vec![("namespaces", namespace)], ..World::default() };
        Case { world, operation: Operation::Create, resource: "configmaps", namespace: "shop", dry_run: false }
    }
}

struct Outcome {
    object: Value,
    notes: Notes,
    result: Result<(), Status>,
}

impl Case<'_> {
    async fn run(&self, env: &Env, kind: &str, hooks: &[Value]) -> Outcome {
        let webhooks = Webhooks::new(env);
        let plural = format!("{kind}webhookconfigurations");
        webhooks.observe(&plural, "all", Some(&json!({"metadata": {"name": "all"}, "webhooks": hooks})));
        let user = User::new("jane", &["dev"]);
        let mut object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"app": "web"}}});
        let mut notes = Notes::default();
        let mut request = Attributes {
            operation: self.operation,
            kind: GroupVersionKind::of("", "v1", "ConfigMap"),
            resource: GroupVersionResource {
                group: "".into(),
                version: "v1".into(),
                resource: self.resource.to_owned().into(),
            },
            subresource: "",
            namespace: self.namespace,
            name: "a",
            object: (&mut object).into(),
            old_object: None,
            user: &user,
            dry_run: self.dry_run,
            options: &Value::Null,
            audit: BTreeMap::new(),
        };
        let mut rounds = Reinvocation::default();
        let result = if kind == "validating" {
            assert!(webhooks.any_validating() && !webhooks.any_mutating());
            webhooks.validate(&request, &self.world, &Plain, &mut notes).await
        } else {
            let mut result = webhooks.mutate(&mut request, &self.world, &Plain, &mut rounds, &mut notes).await;
            if result.is_ok() && rounds.begin_second() {
                result = webhooks.mutate(&mut request, &self.world, &Plain, &mut rounds, &mut notes).await;
            }
            result
        };
        Outcome { object, notes, result }
    }
}

#[tokio::test]
async fn verdicts_and_failures_are_told_in_upstreams_words() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let port = server.port;
    let fail = |why: String| Some((500, format!("Internal error occurred: failed calling webhook \"w.x.y\": {why}")));
    let cases = [
        ("/ok", None),
        ("/deny", Some((418, "admission webhook \"w.x.y\" denied the request: no such thing here".to_owned()))),
        ("/mute", Some((400, "admission webhook \"w.x.y\" denied the request without explanation".to_owned()))),
        ("/absent", fail("received invalid webhook response: webhook response was absent".to_owned())),
        (
            "/other",
            fail(
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, \
                 Kind=AdmissionReview, got v1, Kind=Pod"
                    .to_owned(),
            ),
        ),
        (
            "/no-type",
            fail("received invalid webhook response: validating webhook may not return response.patch".to_owned()),
        ),
        (
            "/slow",
            fail(format!(
                "failed to call webhook: Post \"https://127.0.0.1:{port}/slow?timeout=1s\": context deadline exceeded"
            )),
        ),
    ];
    for (path, wanted) in cases {
        let hook = server.hook("w.x.y", path, json!({"timeoutSeconds": 1}));
        let outcome = Case::default().run(&env, "validating", &[hook]).await;
        assert_eq!(outcome.result.err().map(|status| (status.code, status.message)), wanted, "{path}");
    }
    let hook = server.hook("w.x.y", "/bad-uid", json!({}));
    let message = Case::default().run(&env, "validating", &[hook]).await.result.unwrap_err().message;
    assert!(message.contains("expected response.uid=") && message.contains("got \"other\""), "{message}");
}

#[tokio::test]
async fn a_webhook_that_may_fail_stops_nothing() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let mut gone = server.hook("gone.x.y", "/ok", json!({"failurePolicy": "Ignore"}));
    gone["clientConfig"]["url"] = json!("https://127.0.0.1:9/ok");
    let mut stranger = server.hook("stranger.x.y", "/ok", json!({"failurePolicy": "Fail"}));
    stranger["clientConfig"]["caBundle"] =
        json!(STANDARD.encode(rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem()));
    let outcome = Case::default().run(&env, "validating", &[gone, server.hook("w.x.y", "/warn", json!({}))]).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.notes.warnings, ["careful"]);
    assert_eq!(outcome.notes.audit["w.x.y/seen"], "yes");
    assert_eq!(outcome.notes.audit["failed-open.validating.webhook.admission.k8s.io/round_0_index_0"], "gone.x.y");
    let message = Case::default().run(&env, "validating", &[stranger]).await.result.unwrap_err().message;
    assert!(message.contains("x509: certificate signed by unknown authority"), "{message}");
}

#[tokio::test]
async fn rules_and_selectors_choose_requests() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let rule = |operation: &str, group: &str, resource: &str, scope: &str| {
        json!({"rules": [{"operations": [operation], "apiGroups": [group], "apiVersions": ["*"], "resources": [resource],
                          "scope": scope}]})
    };
    let selector = |field: &str, key: &str| json!({field: {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
    let cases = [
        (rule("*", "*", "*", "*"), true),
        (rule("CREATE", "", "configmaps", "Namespaced"), true),
        (rule("CREATE", "", "configmaps", "Cluster"), false),
        (rule("UPDATE", "", "configmaps", "*"), false),
        (rule("CREATE", "apps", "*", "*"), false),
        (rule("CREATE", "", "configmaps/status", "*"), false),
        (rule("CREATE", "", "*/*", "*"), true),
        (rule("CREATE", "old", "maps", "*"), true),
        (selector("namespaceSelector", "judged"), true),
        (selector("namespaceSelector", "spared"), false),
        (selector("objectSelector", "app"), true),
        (selector("objectSelector", "other"), false),
    ];
    for (more, wanted) in cases {
        let hook = server.hook("w.x.y", "/deny", more.clone());
        let outcome = Case::default().run(&env, "validating", &[hook]).await;
        assert_eq!(outcome.result.is_err(), wanted, "{more}");
    }
    let mut exact = rule("CREATE", "old", "maps", "*");
    exact["matchPolicy"] = json!("Exact");
    let outcome = Case::default().run(&env, "validating", &[server.hook("w.x.y", "/deny", exact)]).await;
    assert!(outcome.result.is_ok(), "an equivalent kind is not asked for");
    let lost = Case { namespace: "nowhere", ..Case::default() };
    let hook = server.hook("w.x.y", "/ok", selector("namespaceSelector", "judged"));
    assert_eq!(
        lost.run(&env, "validating", &[hook]).await.result.unwrap_err().message,
        "namespaces \"nowhere\" not found"
    );
}

#[tokio::test]
async fn what_a_webhook_is_sent() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let hook = server.hook("w.x.y", "/ok", json!({}));
    Case::default().run(&env, "validating", &[hook]).await.result.unwrap();
    let (path, review) = server.asked.lock().unwrap().remove(0);
    assert_eq!(path, "/ok?timeout=2s");
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    let request = &review["request"];
    assert_eq!(request["userInfo"], json!({"username": "jane", "groups": ["dev"]}));
    assert_eq!(request["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!((&request["operation"], &request["namespace"]), (&json!("CREATE"), &json!("shop")));
    assert_eq!(request["object"]["metadata"]["name"], json!("a"));
    assert_eq!((&request["oldObject"], &request["dryRun"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn changes_follow_each_other_and_may_be_looked_at_again() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let once = [server.hook("c.x.y", "/count", json!({})), server.hook("l.x.y", "/label", json!({}))];
    let outcome = Case::default().run(&env, "mutating", &once).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.object["metadata"]["labels"], json!({"added": "yes"}));
    assert_eq!(outcome.object["data"], json!({"count": "1"}));
    assert_eq!(server.paths(), ["/count", "/label"]);
    server.asked.lock().unwrap().clear();
    let again = [
        server.hook("c.x.y", "/count", json!({"reinvocationPolicy": "IfNeeded"})),
        server.hook("l.x.y", "/label", json!({})),
    ];
    let outcome = Case::default().run(&env, "mutating", &again).await;
    assert_eq!(outcome.object["data"], json!({"count": "2"}));
    assert_eq!(server.paths(), ["/count", "/label", "/count"]);
    let broken = server.hook("b.x.y", "/wrong-patch", json!({}));
    assert_eq!(Case::default().run(&env, "mutating", &[broken]).await.result.unwrap_err().code, 500);
}

#[tokio::test]
async fn dry_runs_conditions_and_services() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let dry = Case { dry_run: true, ..Case::default() };
    let hook = server.hook("w.x.y", "/ok", json!({"sideEffects": "Some"}));
    let status = dry.run(&env, "validating", &[hook]).await.result.unwrap_err();
    assert_eq!((status.code, status.message.as_str()), (400, "admission webhook \"w.x.y\" does not support dry run"));
    for (expression, policy, code) in [
        ("request.namespace == 'shop' && has(object.metadata)", "Fail", 418),
        ("request.namespace != 'shop'", "Fail", 0),
        ("object.none == 1", "Fail", 403),
        ("object.none == 1", "Ignore", 0),
    ] {
        let conditions = json!({"matchConditions": [{"name": "a", "expression": expression}], "failurePolicy": policy});
        let hook = server.hook("w.x.y", "/deny", conditions);
        let result = Case::default().run(&env, "validating", &[hook]).await.result;
        assert_eq!(result.err().map_or(0, |status| status.code), code, "{expression}");
    }
    let mut hook = server.hook("w.x.y", "/deny", json!({}));
    let service = json!({"namespace": "ns", "name": "hook", "path": "/deny"});
    hook["clientConfig"] = json!({"service": service, "caBundle": server.authority});
    let message =
        Case::default().run(&env, "validating", std::slice::from_ref(&hook)).await.result.unwrap_err().message;
    let wanted = "failed to call webhook: Post \"https://hook.ns.svc:443/deny?timeout=2s\": service \"hook\" not found";
    assert!(message.ends_with(wanted), "{message}");
    let mut known = Case::default();
    let service =
        json!({"metadata": {"namespace": "ns", "name": "hook"}, "spec": {"ports": [{"port": 443, "name": "x"}]}});
    let labels = json!({"kubernetes.io/service-name": "hook"});
    let slice = json!({"metadata": {"namespace": "ns", "name": "s", "labels": labels},
                       "ports": [{"name": "x", "port": server.port}], "endpoints": [{"addresses": ["127.0.0.1"]}]});
    known.world.objects.extend([("services", service), ("endpointslices", slice)]);
    let status = known.run(&env, "validating", &[hook]).await.result.unwrap_err();
    assert_eq!(status.code, 418, "{}", status.message);
}

#[tokio::test]
async fn webhooks_skip_what_their_conditions_leave_out() {
    let env = Env::real();
    let server = Server::start(&env, answers).await;
    let own_name = |name: &str| {
        json!({"matchConditions": [{"name": "not-me", "expression":
        format!("object.metadata.name != '{name}'")}]})
    };
    let asked = server.hook("l.x.y", "/label", own_name("skip-me"));
    let case = Case::default();
    let changed = case.run(&env, "mutating", &[asked]).await;
    assert_eq!(server.paths(), ["/label"]);
    let mut skipped = server.hook("l.x.y", "/label", json!({}));
    let name = changed.object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    skipped["matchConditions"] = own_name(&name)["matchConditions"].clone();
    case.run(&env, "mutating", &[skipped]).await.result.unwrap();
    assert_eq!(server.paths(), ["/label"], "not asked again");
}
