//! Tokens of service accounts and questions about access, through the whole path of a request.

#![allow(clippy::unwrap_used)]

mod started;

use apiserver::{Identity, Limits, Local};
use auth::authn::service_account::Bound;
use auth::authn::{Issuer, Verifier};
use auth::pki::Key;
use base::Env;
use client::{Api, Request, Response, Verb};
use meta::{GroupVersionResource, User};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::MemoryStore;

const ACCOUNTS: GroupVersionResource = GroupVersionResource::of("", "v1", "serviceaccounts");
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

async fn root() -> Local {
    start(&Env::real(), Arc::new(Key::generate().unwrap())).await
}

/// Signs with the key.
async fn start(env: &Env, key: Arc<Key>) -> Local {
    let audiences = vec![ISSUER.to_owned()];
    let verifier =
        Verifier { keys: vec![key.public().clone()], issuers: audiences.clone(), audiences: audiences.clone() };
    let issuer = Issuer { key, issuer: ISSUER.to_owned(), audiences: audiences.clone(), extends: true };
    let identity = Identity { verifier: Some(verifier), issuer: Some(issuer), ..Identity::default() };
    let server = started::server(env, MemoryStore::new(env), identity, &["ServiceAccount"], Limits::default()).await;
    env.tasks.spawn("upkeep", server.clone().upkeep());
    let root = Local::new(server, User::new("root", &["system:masters"]));
    let namespaces = GroupVersionResource::of("", "v1", "namespaces");
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    send(&root, Request::new(Verb::Create, namespaces), &shop).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}});
    send(&root, Request::new(Verb::Create, ACCOUNTS).namespace("shop"), &account).await;
    root
}

async fn send(api: &Local, request: Request, body: &Value) -> Value {
    let request = Request { body: body.to_string().into(), ..request };
    match api.call(request).await.unwrap() {
        Response::Object { body, .. } => serde_json::from_slice(&body).unwrap(),
        _ => panic!("an object is answered with one"),
    }
}

async fn review(api: &Local, group: &'static str, resource: &'static str, kind: &str, spec: Value) -> Value {
    let body = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
    send(api, Request::new(Verb::Create, GroupVersionResource::of(group, "v1", resource)), &body).await
}

#[tokio::test]
async fn a_requested_token_is_good_in_a_review() {
    let root = root().await;
    let request = Request { subresource: Some("token".to_owned()), ..Request::new(Verb::Create, ACCOUNTS) };
    let body =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let token = send(&root, request.namespace("shop").name("web"), &body).await;
    assert_eq!(token["spec"]["audiences"], json!([ISSUER]));
    let token = token["status"]["token"].as_str().unwrap();
    let ask =
        |token: &str| review(&root, "authentication.k8s.io", "tokenreviews", "TokenReview", json!({"token": token}));
    let status = ask(token).await["status"].clone();
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["user"]["username"], "system:serviceaccount:shop:web");
    assert_eq!(status["audiences"], json!([ISSUER]));
    let status = ask(&format!("{token}x")).await["status"].clone();
    assert!(status.get("authenticated").is_none_or(|good| good == false), "{status}");
}

#[tokio::test]
async fn the_use_of_a_secrets_token_is_noted() {
    let env = Env::real();
    let key = Arc::new(Key::generate().unwrap());
    let root = start(&env, key.clone()).await;
    let namespaces = GroupVersionResource::of("", "v1", "namespaces");
    let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    send(&root, Request::new(Verb::Create, namespaces), &system).await;
    let account = send(&root, Request::new(Verb::Get, ACCOUNTS).namespace("shop").name("web"), &Value::Null).await;
    let uid = account["metadata"]["uid"].as_str().unwrap();
    let issuer = Issuer { key, issuer: ISSUER.to_owned(), audiences: Vec::new(), extends: true };
    let token = issuer.issue_legacy("shop", Bound { name: "web", uid }, "web-token").unwrap();
    let secrets = GroupVersionResource::of("", "v1", "secrets");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "web-token", "annotations": {"kubernetes.io/service-account.name": "web"}},
        "stringData": {"token": token}});
    send(&root, Request::new(Verb::Create, secrets.clone()).namespace("shop"), &secret).await;
    let spec = json!({"token": token});
    let answer = review(&root, "authentication.k8s.io", "tokenreviews", "TokenReview", spec).await;
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");
    let deadline = env.clock.instant() + Duration::from_secs(30);
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    let tracking = "kube-apiserver-legacy-service-account-token-tracking";
    loop {
        let secret = Request::new(Verb::Get, secrets.clone()).namespace("shop").name("web-token");
        let used = send(&root, secret, &Value::Null).await;
        let used = &used["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"];
        let map = root.call(Request::new(Verb::Get, maps.clone()).namespace("kube-system").name(tracking)).await;
        if used.is_string()
            && let Ok(Response::Object { body, .. }) = map
        {
            let map: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(map["data"]["since"].as_str().unwrap().len(), "2006-01-02".len(), "{map}");
            return;
        }
        assert!(env.clock.instant() < deadline, "used: {used}");
        env.clock.sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_account_is_updated() {
    let root = root().await;
    let named = |verb| Request::new(verb, ACCOUNTS).namespace("shop").name("web");
    let mut account = send(&root, named(Verb::Get), &Value::Null).await;
    assert!(account.get("automountServiceAccountToken").is_none());
    account["automountServiceAccountToken"] = true.into();
    send(&root, named(Verb::Update), &account).await;
    assert_eq!(send(&root, named(Verb::Get), &Value::Null).await["automountServiceAccountToken"], true);
}

#[tokio::test]
async fn reviews_say_what_a_user_may() {
    let root = root().await;
    let rbac = |resource| GroupVersionResource::of("rbac.authorization.k8s.io", "v1", resource);
    let api_version = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": api_version, "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    send(&root, Request::new(Verb::Create, rbac("roles")).namespace("shop"), &role).await;
    let binding = json!({"apiVersion": api_version, "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]});
    send(&root, Request::new(Verb::Create, rbac("rolebindings")).namespace("shop"), &binding).await;
    for (user, verb, allowed) in [("jane", "list", true), ("jane", "delete", false), ("joe", "list", false)] {
        let about = json!({"namespace": "shop", "verb": verb, "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}});
        let spec = json!({"user": user, "resourceAttributes": about});
        let group = "authorization.k8s.io";
        let answer = review(&root, group, "subjectaccessreviews", "SubjectAccessReview", spec.clone()).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{user} {verb}: {answer}");
        let local = GroupVersionResource::of(group, "v1", "localsubjectaccessreviews");
        let body = json!({"apiVersion": format!("{group}/v1"), "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": "shop"}, "spec": spec});
        let answer = send(&root, Request::new(Verb::Create, local).namespace("shop"), &body).await;
        assert_eq!(answer["status"]["allowed"], allowed, "local {user} {verb}: {answer}");
    }
}
