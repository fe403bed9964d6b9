//! Discovery, plain and aggregated, and what others need to check our tokens.

use crate::rig::{ISSUER, Rig};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{Request, Verb};
use http::Method;
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2_BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// As client-go asks: the newest it knows, or what there is.
const CLIENT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// Upstream's test looks for these groups.
const GROUPS: [&str; 17] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// `group/version/resource` and `group/version/resource/subresource` of an aggregated document.
fn resources_of(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for group in list(&document["items"]) {
        for version in list(&group["versions"]) {
            let place = format!("{}/{}", text(&group["metadata"], "name"), text(version, "version"));
            for resource in list(&version["resources"]) {
                let name = format!("{place}/{}", text(resource, "resource"));
                let parts = list(&resource["subresources"]).map(|part| format!("{name}/{}", text(part, "subresource")));
                all.extend(parts);
                all.insert(name);
            }
        }
    }
    all
}

/// The same from the documents of every group and version.
async fn plain_resources(rig: &Rig) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut places = vec![("/v1".to_owned(), "/api/v1".to_owned())];
    for group in list(&rig.document("/apis").await["groups"]) {
        places.extend(list(&group["versions"]).map(|version| {
            let place = text(version, "groupVersion");
            (place.to_owned(), format!("/apis/{place}"))
        }));
    }
    for (place, path) in places {
        let document = rig.document(&path).await;
        all.extend(list(&document["resources"]).map(|resource| format!("{place}/{}", text(resource, "name"))));
    }
    all
}

fn definition() -> Value {
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    json!({"metadata": {"name": "cats.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "cats", "singular": "cat", "kind": "Cat", "shortNames": ["c"], "categories": ["pets"]},
        "versions": [version("v1", true), version("v1beta1", false)]}})
}

#[tokio::test]
async fn clients_discover_all_by_two_documents() {
    let rig = Rig::start().await;
    let mut aggregated = BTreeSet::new();
    for path in ["/api", "/apis"] {
        let raw = rig.raw(Method::GET, path, &[("accept", CLIENT)], "").await;
        assert_eq!((raw.status, raw.media.as_str()), (200, V2), "{path}");
        aggregated.extend(resources_of(&raw.body));
    }
    // Whoever asks for all documents one by one learns the same.
    let plain = plain_resources(&rig).await;
    assert_eq!(aggregated.symmetric_difference(&plain).collect::<Vec<_>>(), [""; 0]);
    for known in ["/v1/pods", "/v1/pods/status", "apps/v1/deployments/scale", "batch/v1/cronjobs"] {
        assert!(aggregated.contains(known), "{known}");
    }
}

#[tokio::test]
async fn the_accept_header_chooses_the_form_of_discovery() {
    let rig = Rig::start().await;
    for (accept, version) in
        [(V2, Some("v2")), (V2_BETA, Some("v2beta1")), (CLIENT, Some("v2")), ("application/json", None)]
    {
        for (path, plain) in [("/api", "APIVersions"), ("/apis", "APIGroupList")] {
            let raw = rig.raw(Method::GET, path, &[("accept", accept)], "").await;
            assert_eq!(raw.status, 200, "{path} {accept}");
            let Some(version) = version else {
                assert_eq!((text(&raw.body, "kind"), raw.media.as_str()), (plain, "application/json"), "{path}");
                continue;
            };
            let wanted = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            assert_eq!(raw.media, wanted);
            assert_eq!(text(&raw.body, "kind"), "APIGroupDiscoveryList");
            assert_eq!(text(&raw.body, "apiVersion"), format!("apidiscovery.k8s.io/{version}"));
            let names: BTreeSet<&str> = list(&raw.body["items"]).map(|item| text(&item["metadata"], "name")).collect();
            let wanted: &[&str] = if path == "/api" { &[""] } else { &GROUPS };
            assert_eq!(wanted.iter().filter(|name| !names.contains(*name)).collect::<Vec<_>>(), [&""; 0], "{path}");
        }
    }
}

#[tokio::test]
async fn custom_resources_show_up_in_aggregated_discovery() {
    let rig = Rig::start().await;
    let wanted = ["v1/cats", "v1/cats/status", "v1beta1/cats", "v1beta1/cats/status"];
    let shown = async |accept: &str| {
        let raw = rig.raw(Method::GET, "/apis", &[("accept", accept)], "").await;
        (resources_of(&raw.body), raw.body)
    };
    assert!(shown(V2).await.0.iter().all(|name| !name.starts_with("example.com/")));
    rig.establish(&definition()).await;
    for accept in [V2, V2_BETA] {
        rig.until("the custom resource is in the document", async || {
            let (all, _) = shown(accept).await;
            wanted.iter().all(|name| all.contains(&format!("example.com/{name}")))
        })
        .await;
    }
    let (_, document) = shown(V2).await;
    let group = list(&document["items"]).find(|item| item["metadata"]["name"] == "example.com").unwrap();
    let versions: Vec<&str> = list(&group["versions"]).map(|version| text(version, "version")).collect();
    assert_eq!(versions, ["v1", "v1beta1"], "the better version comes first");
    let cats = &group["versions"][0]["resources"][0];
    assert_eq!(cats["responseKind"], json!({"group": "example.com", "version": "v1", "kind": "Cat"}));
    assert_eq!((&cats["scope"], &cats["singularResource"]), (&json!("Namespaced"), &json!("cat")));
    assert_eq!((&cats["shortNames"], &cats["categories"]), (&json!(["c"]), &json!(["pets"])));
    let verbs: BTreeSet<&str> = list(&cats["verbs"]).filter_map(Value::as_str).collect();
    let all = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    assert_eq!(verbs, BTreeSet::from(all));
}

#[tokio::test]
async fn every_group_leads_to_its_resources() {
    let rig = Rig::start().await;
    let groups = rig.document("/apis").await;
    let names: BTreeSet<&str> = list(&groups["groups"]).map(|group| text(group, "name")).collect();
    assert_eq!(GROUPS.iter().filter(|name| !names.contains(*name)).collect::<Vec<_>>(), [&""; 0]);
    for group in list(&groups["groups"]) {
        let (name, preferred) = (text(group, "name"), &group["preferredVersion"]);
        let own = rig.document(&format!("/apis/{name}")).await;
        assert_eq!(own["versions"], group["versions"], "{name}");
        assert!(list(&group["versions"]).any(|version| version == preferred), "{name}");
        for version in list(&group["versions"]) {
            let place = text(version, "groupVersion");
            assert_eq!(place, format!("{name}/{}", text(version, "version")));
            let document = rig.document(&format!("/apis/{place}")).await;
            assert_eq!((text(&document, "kind"), text(&document, "groupVersion")), ("APIResourceList", place));
            assert!(list(&document["resources"]).next().is_some(), "{place} has no resource");
        }
    }
}

#[tokio::test]
async fn who_may_not_ask_is_not_told_what_is_not_served() {
    let rig = Rig::start().await;
    let path = "/apis/x.example.com/v1/namespaces/home/things";
    assert_eq!(rig.raw(Method::GET, path, &[], "").await.status, 404);
    let refused = rig.raw(Method::GET, path, &[("impersonate-user", "jane")], "").await;
    let message = r#"things.x.example.com is forbidden: User "jane" cannot list resource "things" in API group "x.example.com" in the namespace "home""#;
    assert_eq!((refused.status, text(&refused.body, "message")), (403, message));
    let refused = rig.raw(Method::GET, "/apis/x.example.com/v1", &[("impersonate-user", "jane")], "").await;
    let message = r#"forbidden: User "jane" cannot get path "/apis/x.example.com/v1""#;
    assert_eq!((refused.status, text(&refused.body, "message")), (403, message));
}

/// What a relying party does: reads the configuration, fetches the keys, and checks a token.
#[tokio::test]
async fn others_can_check_tokens_by_the_published_keys() {
    let rig = Rig::start().await;
    let accounts = GroupVersionResource::of("", "v1", "serviceaccounts");
    rig.create(&accounts, &json!({"metadata": {"name": "web"}})).await.unwrap();
    let request = Request::new(Verb::Create, accounts).namespace("home").name("web").subresource("token");
    let body = json!({"spec": {"audiences": ["oidc-discovery-test"], "expirationSeconds": 600}}).to_string();
    let token = rig.send(request.body(body)).await.unwrap()["status"]["token"].as_str().unwrap().to_owned();

    let configuration = rig.document("/.well-known/openid-configuration").await;
    assert_eq!(configuration["issuer"], ISSUER);
    assert_eq!(configuration["response_types_supported"], json!(["id_token"]));
    assert_eq!(configuration["subject_types_supported"], json!(["public"]));
    let path = text(&configuration, "jwks_uri").strip_prefix(ISSUER).unwrap().to_owned();
    let keys = rig.raw(Method::GET, &path, &[], "").await;
    assert_eq!((keys.status, keys.media.as_str()), (200, "application/jwk-set+json"));

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let part = |number: usize| {
        let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&part).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    let key = list(&keys.body["keys"]).find(|key| key["kid"] == header["kid"]).unwrap();
    assert!(list(&configuration["id_token_signing_alg_values_supported"]).any(|one| *one == header["alg"]));
    assert_eq!((&header["alg"], &key["alg"], &key["use"]), (&json!("ES256"), &json!("ES256"), &json!("sig")));
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(key, name)).unwrap();
    let point = [vec![4], number("x"), number("y")].concat();
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(signed.as_bytes(), &signature).unwrap();
    assert!(public.verify(&signed.as_bytes()[1..], &signature).is_err());
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(["oidc-discovery-test"])));
    assert_eq!(claims["sub"], "system:serviceaccount:home:web");
}
