//! First and later starts against a server in memory.

use super::*;
use auth::{Attributes, Authorizer as _, User, rbac::Index};
use client::fake::FakeApi;
use std::collections::BTreeSet;

fn options() -> ObjectOptions {
    ObjectOptions {
        ca: "CA".to_owned(),
        front_proxy_ca: "FRONT".to_owned(),
        server: "https://192.0.2.7:6443".to_owned(),
        advertise_address: "192.0.2.7".parse().unwrap(),
        advertise_port: 6443,
        pod_cidr: "10.244.0.0/16".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        service_cidr: "10.96.0.0/16".to_owned(),
        service_address: "10.96.0.1".parse().unwrap(),
        dns_address: "10.96.0.10".parse().unwrap(),
    }
}

#[test]
fn every_object_stands_once_and_says_what_it_is() {
    let mut seen = BTreeSet::new();
    for object in all(&options()) {
        let place = (object.resource.clone(), object.namespace().map(str::to_owned), object.name().to_owned());
        assert!(seen.insert(place), "{} {}", object.resource.resource, object.name());
        assert_eq!(object.value["apiVersion"], object.resource.group_version().to_string());
        assert!(object.value["kind"].is_string() && !object.name().is_empty());
    }
}

#[tokio::test]
async fn a_second_start_changes_nothing_and_repairs_what_must_not_differ() {
    let api = FakeApi::new();
    let objects = all(&options());
    ensure(&api, &objects).await.unwrap();
    let services = GroupVersionResource::of("", "v1", "services");
    let roles = GroupVersionResource::of("rbac.authorization.k8s.io", "v1", "clusterroles");
    let before = api.get(&services, "default", "kubernetes").unwrap();
    assert_eq!(before["spec"]["clusterIP"], "10.96.0.1");
    ensure(&api, &objects).await.unwrap();
    assert_eq!(api.get(&services, "default", "kubernetes").unwrap(), before);

    let mut service = before.clone();
    service["spec"]["ports"][0]["targetPort"] = json!(1);
    api.put(&services, service);
    let mut view = api.get(&roles, "", "view").unwrap();
    view["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    api.put(&roles, view);
    api.remove(&roles, "", "system:node-proxier");
    ensure(&api, &objects).await.unwrap();
    assert_eq!(api.get(&services, "default", "kubernetes").unwrap()["spec"]["ports"][0]["targetPort"], 6443);
    assert_eq!(api.get(&roles, "", "view").unwrap()["rules"].as_array().unwrap().len(), 1);
    assert!(api.get(&roles, "", "system:node-proxier").is_some());
}

#[tokio::test]
async fn two_servers_starting_at_once_agree() {
    let api = FakeApi::new();
    let objects = all(&options());
    let (left, right) = tokio::join!(ensure(&api, &objects), ensure(&api, &objects));
    left.unwrap();
    right.unwrap();
}

#[tokio::test]
async fn a_refusal_names_the_object() {
    let api = FakeApi::new();
    api.fault(|request| {
        (request.verb == client::Verb::Create && request.resource.resource == "configmaps")
            .then(|| meta::Status::internal("no").into())
    });
    let error = ensure(&api, &all(&options())).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot create configmaps ") && error.ends_with("Internal error occurred: no"),
        "{error}"
    );
}

#[test]
fn joining_nodes_may_join_and_no_more() {
    let index = Index::default();
    for object in all(&options()) {
        index.upsert(&object.resource.resource, &object.value);
    }
    let joining = User::new("system:bootstrap:abcdef", &["system:bootstrappers", crate::token::JOIN_GROUP]);
    let proxy = User::new("system:serviceaccount:kube-system:kube-proxy", &[]);
    let nobody = User::new("system:anonymous", &["system:unauthenticated"]);
    let admin = User::new("kubernetes-admin", &[crate::ADMIN_GROUP]);
    let on = |user, verb, group, resource| Attributes::resource(user, verb, group, resource);
    let token =
        |user, name| on(user, "create", "", "serviceaccounts").subresource("token").namespace("kube-system").name(name);
    for (asked, allowed) in [
        (on(&joining, "create", "certificates.k8s.io", "certificatesigningrequests"), true),
        (on(&joining, "create", "certificates.k8s.io", "certificatesigningrequests").subresource("nodeclient"), true),
        (
            on(&joining, "create", "certificates.k8s.io", "certificatesigningrequests").subresource("selfnodeclient"),
            false,
        ),
        (token(&joining, "coredns"), true),
        (token(&joining, "namespace-controller"), false),
        (on(&joining, "get", "", "secrets").namespace("kube-system"), false),
        (token(&proxy, "kube-proxy"), true),
        (token(&proxy, "coredns"), false),
        (on(&proxy, "watch", "discovery.k8s.io", "endpointslices"), true),
        (on(&nobody, "get", "", "configmaps").namespace("kube-public").name("cluster-info"), true),
        (on(&nobody, "get", "", "configmaps").namespace("kube-public").name("other"), false),
        (on(&admin, "delete", "apps", "deployments").namespace("x"), true),
    ] {
        assert_eq!(index.authorize(&asked).is_allowed(), allowed, "{asked:?}");
    }
}
