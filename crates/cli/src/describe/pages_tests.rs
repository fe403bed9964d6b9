//! Pages as kubectl 1.33 prints them, in `pages.txt`: after `===` an object, then what
//! `kubectl describe --show-events=false` says of it. No server is asked: what one would add is left out.

#![allow(clippy::unwrap_used)]

use super::describe;
use crate::command::GLOBAL;
use crate::discovery::Resource;
use crate::flags::Args;
use crate::session::Session;
use crate::targets::Target;
use client::kubeconfig::PluginPolicy;
use serde_json::Value;

fn target(object: &Value) -> Target {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        name: String::new(),
        singular: String::new(),
        short_names: Vec::new(),
        kind: text(&object["kind"]),
        namespaced: true,
        verbs: Vec::new(),
        categories: Vec::new(),
        subresources: Vec::new(),
    };
    let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
    Target { resource, namespace, name: text(&object["metadata"]["name"]), object: None, source: String::new() }
}

#[tokio::test]
async fn pages_are_upstreams() {
    let nowhere = ["--kubeconfig".to_owned(), "/dev/null/none".to_owned()];
    let globals = Args::parse("kubectl", GLOBAL.to_vec(), &nowhere).unwrap();
    let session = Session::new(globals, "kubectl describe".to_owned(), PluginPolicy::DenyAll);
    for case in include_str!("pages.txt").split("=== ").skip(1) {
        let (object, expected) = case.split_once('\n').unwrap();
        let object: Value = serde_json::from_str(object).unwrap();
        let page = describe(&session, &target(&object), &object, false).await.unwrap();
        assert_eq!(page, expected, "{object}");
    }
}
