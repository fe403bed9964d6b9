//! Admission of a connection: plugins and webhooks see the options it is opened with.

use super::Asked;
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Judged};
use admission::Operation;
use meta::{GroupVersionKind, Status, User};
use serde_json::{Map, Value};

/// Reading logs is no connection.
pub(super) async fn admit(
    server: &Server,
    user: &User,
    resource: &Resource,
    asked: &Asked,
    query: &str,
) -> Result<(), Status> {
    let Some(kind) = kind(&asked.resource, &asked.subresource) else { return Ok(()) };
    let sent = GroupVersionKind::of("", "v1", kind);
    let mut options = options(kind, asked, query);
    let judged = Judged {
        operation: Operation::Connect,
        resource,
        sent: Some(&sent),
        subresource: &asked.subresource,
        namespace: &asked.namespace,
        name: &asked.name,
        user,
        dry_run: false,
        asked: None,
    };
    // There is no answer of ours that warnings could go with.
    let mut unheard = Vec::new();
    let mut caller = Caller { user, user_agent: "", warnings: &mut unheard, record: None };
    server.admit(&judged, &mut options, None, &mut caller).await?;
    server.judge(&judged, &mut options, None, &mut caller).await
}

fn kind(resource: &str, subresource: &str) -> Option<&'static str> {
    Some(match (resource, subresource) {
        (_, "exec") => "PodExecOptions",
        (_, "attach") => "PodAttachOptions",
        (_, "portforward") => "PodPortForwardOptions",
        ("pods", "proxy") => "PodProxyOptions",
        ("services", "proxy") => "ServiceProxyOptions",
        ("nodes", "proxy") => "NodeProxyOptions",
        _ => return None,
    })
}

fn options(kind: &str, asked: &Asked, query: &str) -> Value {
    let mut options = Map::new();
    options.insert("kind".to_owned(), kind.into());
    options.insert("apiVersion".to_owned(), "v1".into());
    if kind.ends_with("ProxyOptions") {
        options.insert("path".to_owned(), asked.rest.clone().into());
        return Value::Object(options);
    }
    for (key, value) in crate::http::query_pairs(query) {
        match &*key {
            "stdin" | "stdout" | "stderr" | "tty" => {
                options.insert(key.to_string(), (value == "true" || value == "1").into());
            }
            "container" => drop(options.insert(key.to_string(), value.to_string().into())),
            "command" => push(&mut options, "command", value.to_string().into()),
            "ports" => value.split(',').filter_map(|port| port.parse::<u16>().ok()).for_each(|port| {
                push(&mut options, "ports", port.into());
            }),
            _ => {}
        }
    }
    Value::Object(options)
}

fn push(options: &mut Map<String, Value>, field: &str, value: Value) {
    let list = options.entry(field.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_query_becomes_options() {
        let asked = |subresource: &str| Asked {
            resource: "pods".to_owned(),
            namespace: "ns".to_owned(),
            name: "web".to_owned(),
            subresource: subresource.to_owned(),
            rest: "a/b".to_owned(),
        };
        let exec = options("PodExecOptions", &asked("exec"), "command=ls&command=-l&stdin=true&tty=false&container=c");
        let wanted = json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["ls", "-l"], "stdin": true,
                            "tty": false, "container": "c"});
        assert_eq!(exec, wanted);
        let proxy = options("PodProxyOptions", &asked("proxy"), "x=1");
        assert_eq!(proxy, json!({"kind": "PodProxyOptions", "apiVersion": "v1", "path": "a/b"}));
        assert_eq!(kind("pods", "log"), None);
    }
}
