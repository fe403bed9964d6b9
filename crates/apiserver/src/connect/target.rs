//! Where a passed-on request goes: which address, and which path there.

use super::Asked;
use crate::object::Object;
use crate::server::Server;
use meta::{Reason, Status};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

const KUBELET_PORT: u16 = 10250;
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub struct Target {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// What the certificate must be for.
    pub server_name: String,
    pub path_and_query: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    None,
    /// Nodes show certificates of the cluster.
    Verified,
    /// What runs in pods has certificates of its own making.
    Unverified,
}

impl Tls {
    fn of_scheme(is_https: bool) -> Self {
        if is_https { Tls::Unverified } else { Tls::None }
    }
}

pub fn find(server: &Server, asked: &Asked, query: &str) -> Result<Target, Status> {
    match (asked.resource.as_str(), asked.subresource.as_str()) {
        ("pods", "proxy") => pod_proxy(server, asked, query),
        ("services", "proxy") => service_proxy(server, asked, query),
        ("nodes", "proxy") => {
            let name = asked.name.rsplit_once(':').map_or(asked.name.as_str(), |(name, _)| name);
            kubelet(server, name, format!("/{}", asked.rest), query)
        }
        _ => pod_stream(server, asked, query),
    }
}

fn object(server: &Server, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
    let resource = server.resources.find("", "v1", plural).ok_or_else(Status::no_such_path)?;
    server.get(&resource, namespace, name)?.value()
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Logs, exec, attach and port-forward of a pod, on its kubelet.
fn pod_stream(server: &Server, asked: &Asked, query: &str) -> Result<Target, Status> {
    let pod = object(server, "pods", &asked.namespace, &asked.name)?;
    let node = text(&pod, "/spec/nodeName");
    let given = crate::http::query_pairs(query).find(|(key, _)| key == "container").map(|(_, value)| value);
    let (namespace, name) = (segment(&asked.namespace), segment(&asked.name));
    let start = match asked.subresource.as_str() {
        "portforward" => {
            let phase = text(&pod, "/status/phase");
            if phase != "Running" && !phase.is_empty() {
                return Err(Status::bad_request(format!(
                    "unable to forward port because pod is not running. Current status={phase}"
                )));
            }
            format!("/portForward/{namespace}/{name}")
        }
        kind => {
            let container = segment(&container(&pod, &asked.name, given.as_deref().unwrap_or_default())?);
            let kind = if kind == "log" { "containerLogs" } else { kind };
            format!("/{kind}/{namespace}/{name}/{container}")
        }
    };
    if node.is_empty() {
        // As upstream: logs of a pod without a node are empty, everything else must wait.
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", asked.name)));
    }
    kubelet(server, node, start, &node_query(&asked.subresource, query))
}

/// What the API calls the options of a stream, and what kubelets call them.
const STREAM_OPTIONS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// The query as kubelets read it, upstream's as well as ours.
fn node_query(subresource: &str, query: &str) -> String {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let option = STREAM_OPTIONS.iter().find(|(known, _)| *known == name);
        match (subresource, name, option) {
            (_, "container", _) => {}
            ("portforward", "ports", _) => pairs.push(format!("port={value}")),
            ("exec" | "attach", _, Some((_, theirs))) if !is_false(value) => pairs.push(format!("{theirs}=1")),
            ("exec" | "attach", _, Some(_)) => {}
            _ => pairs.push(pair.to_owned()),
        }
    }
    pairs.join("&")
}

/// A flag of a query is set by any other word.
fn is_false(value: &str) -> bool {
    value == "0" || value.eq_ignore_ascii_case("false")
}

/// The container meant: the one named, or the only one there is.
fn container(pod: &Value, name: &str, given: &str) -> Result<String, Status> {
    let names = |field: &str| -> Vec<String> {
        let list = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    let (plain, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if given.is_empty() {
        if let [only] = plain.as_slice() {
            return Ok(only.clone());
        }
        let mut message =
            format!("a container name must be specified for pod {name}, choose one of: [{}]", plain.join(" "));
        if !init.is_empty() {
            message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
        }
        return Err(Status::bad_request(message));
    }
    let known = [&plain, &init, &ephemeral].iter().any(|list| list.iter().any(|one| one == given));
    if known {
        Ok(given.to_owned())
    } else {
        Err(Status::bad_request(format!("container {given} is not valid for pod {name}")))
    }
}

fn kubelet(server: &Server, node: &str, path: String, query: &str) -> Result<Target, Status> {
    let (host, port) = kubelet_address(&object(server, "nodes", "", node)?)?;
    Ok(Target { server_name: host.clone(), host, port, tls: Tls::Verified, path_and_query: join(path, query) })
}

/// Where a node's kubelet listens.
///
/// # Errors
/// The node has no address that is of use.
pub(crate) fn kubelet_address(node: &Value) -> Result<(String, u16), Status> {
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_type = |kind: &str| {
        addresses.iter().find(|one| one["type"] == kind).and_then(|one| one["address"].as_str()).map(str::to_owned)
    };
    let host = of_type("InternalIP").or_else(|| of_type("ExternalIP")).or_else(|| of_type("Hostname"));
    let host =
        host.ok_or_else(|| Status::internal(format!("no preferred addresses found; known addresses: {addresses:?}")))?;
    Ok((host, port))
}

fn pod_proxy(server: &Server, asked: &Asked, query: &str) -> Result<Target, Status> {
    let (tls, name, port) = split_name(&asked.name);
    let pod = object(server, "pods", &asked.namespace, name)?;
    let host = text(&pod, "/status/podIP").to_owned();
    if host.is_empty() {
        return Err(Status::bad_request(format!("address not allowed: pod {name} has no address")));
    }
    let first = || pod.pointer("/spec/containers/0/ports/0/containerPort").and_then(Value::as_u64);
    let port = match port {
        "" => first().and_then(|port| u16::try_from(port).ok()).unwrap_or(if tls { 443 } else { 80 }),
        port => port.parse().map_err(|_| Status::bad_request(format!("invalid pod request {:?}", asked.name)))?,
    };
    let path_and_query = join(format!("/{}", asked.rest), query);
    Ok(Target { server_name: host.clone(), host, port, tls: Tls::of_scheme(tls), path_and_query })
}

fn service_proxy(server: &Server, asked: &Asked, query: &str) -> Result<Target, Status> {
    let (tls, name, port) = split_name(&asked.name);
    let service = object(server, "services", &asked.namespace, name)?;
    let unavailable =
        || Status::failure(Reason::ServiceUnavailable, format!("no endpoints available for service {:?}", asked.name));
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted = ports.iter().find(|one| {
        port.is_empty() || one["name"] == port || one["port"].as_u64().is_some_and(|number| number.to_string() == port)
    });
    let wanted_name = wanted.map(|one| one["name"].as_str().unwrap_or_default()).ok_or_else(unavailable)?;
    let mut ready = ready(server, &asked.namespace, name, wanted_name)?;
    if ready.is_empty() {
        return Err(unavailable());
    }
    let (host, port) = ready.swap_remove(server.env.rng.usize(0..ready.len()));
    let path_and_query = join(format!("/{}", asked.rest), query);
    Ok(Target { server_name: host.clone(), host, port, tls: Tls::of_scheme(tls), path_and_query })
}

/// Addresses and ports behind a port of a Service that take requests.
fn ready(server: &Server, namespace: &str, service: &str, port_name: &str) -> Result<Vec<(String, u16)>, Status> {
    let slices = server.resources.find("discovery.k8s.io", "v1", "endpointslices");
    let Some(collection) = slices.and_then(|row| row.collection.clone()) else { return Ok(Vec::new()) };
    let (slices, _) = collection.snapshot();
    let mut ready: Vec<(String, u16)> = Vec::new();
    let of_service = |slice: &&std::sync::Arc<Object>| {
        slice.index.namespace == namespace
            && slice.index.labels.get("kubernetes.io/service-name").is_some_and(|name| name == service)
    };
    for slice in slices.values().filter(of_service) {
        let slice = slice.value()?;
        let port = slice["ports"].as_array().and_then(|ports| {
            ports.iter().find(|one| one["name"].as_str().unwrap_or_default() == port_name)?["port"].as_u64()
        });
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"] != false {
                ready.extend(endpoint["addresses"][0].as_str().map(|address| (address.to_owned(), port)));
            }
        }
    }
    Ok(ready)
}

/// One of the places that answer for a Service's port.
///
/// # Errors
/// The Service, its port or an endpoint is missing.
pub(crate) fn endpoint(server: &Server, namespace: &str, name: &str, port: u16) -> Result<(String, u16), Status> {
    let service = object(server, "services", namespace, name)?;
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let wanted = ports.into_iter().flatten().find(|one| one["port"] == port);
    let none = || Status::failure(Reason::ServiceUnavailable, format!("no endpoints available for service {name:?}"));
    let wanted = wanted.map(|one| one["name"].as_str().unwrap_or_default()).ok_or_else(none)?;
    let mut ready = ready(server, namespace, name, wanted)?;
    if ready.is_empty() {
        return Err(none());
    }
    Ok(ready.swap_remove(server.env.rng.usize(0..ready.len())))
}

/// `[scheme:]name[:port]`
fn split_name(text: &str) -> (bool, &str, &str) {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [scheme, name, port] => (*scheme == "https", name, port),
        [name, port] => (false, name, port),
        _ => (false, text, ""),
    }
}

fn join(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_names_carry_scheme_and_port() {
        assert_eq!(split_name("web"), (false, "web", ""));
        assert_eq!(split_name("web:http"), (false, "web", "http"));
        assert_eq!(split_name("https:web:443"), (true, "web", "443"));
    }

    #[test]
    fn options_go_to_kubelets_under_their_names() {
        let exec = "command=sh&command=-c&stdin=true&stdout=1&stderr=false&container=c";
        assert_eq!(node_query("exec", exec), "command=sh&command=-c&input=1&output=1");
        assert_eq!(node_query("attach", "tty=True&stderr=true"), "tty=1&error=1");
        assert_eq!(node_query("portforward", "ports=80%2C81&ports=82"), "port=80%2C81&port=82");
        assert_eq!(node_query("log", "container=c&follow=true&tailLines=1"), "follow=true&tailLines=1");
    }

    #[test]
    fn a_pod_with_several_containers_wants_a_name() {
        let pod = serde_json::json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let message = container(&pod, "web", "").unwrap_err().message;
        assert_eq!(message, "a container name must be specified for pod web, choose one of: [a b]");
        assert_eq!(container(&pod, "web", "b").unwrap(), "b");
        assert_eq!(container(&pod, "web", "c").unwrap_err().message, "container c is not valid for pod web");
    }
}
