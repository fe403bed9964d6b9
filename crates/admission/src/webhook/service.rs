//! Where a webhook's Service is: one of its ready endpoints, as upstream's endpoint resolver.

use super::configuration::Client;
use crate::Lookup;
use crate::paths::{items, text};
use base::Rng;
use client::webhook::Destination;
use serde_json::Value;
use std::time::Duration;

/// # Errors
/// There is nothing to call, in upstream's words.
pub(super) fn destination(
    client: &Client,
    limit: Duration,
    lookup: &dyn Lookup,
    rng: &Rng,
) -> Result<Destination, String> {
    let seconds = limit.as_secs();
    match client {
        Client::Url { url, authorities } => {
            let joint = if url.contains('?') { '&' } else { '?' };
            let url = format!("{}{joint}timeout={seconds}s", with_path(url));
            Ok(Destination { url, at: None, authorities: authorities.clone() })
        }
        Client::Service { namespace, name, port, path, authorities } => {
            let slash = if path.starts_with('/') { "" } else { "/" };
            let url = format!("https://{name}.{namespace}.svc:{port}{slash}{path}?timeout={seconds}s");
            let at = resolve(lookup, namespace, name, *port, rng).map_err(|why| format!("Post {url:?}: {why}"))?;
            Ok(Destination { url, at: Some(at), authorities: authorities.clone() })
        }
    }
}

/// A URL without a path asks for the root.
fn with_path(url: &str) -> String {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    if rest.contains('/') { url.to_owned() } else { format!("{url}/") }
}

fn resolve(lookup: &dyn Lookup, namespace: &str, name: &str, port: u16, rng: &Rng) -> Result<(String, u16), String> {
    let service = lookup.get("", "services", namespace, name).ok_or_else(|| format!("service {name:?} not found"))?;
    if service["spec"]["type"] == "ExternalName" {
        return Ok((text(&service, &["spec", "externalName"]).to_owned(), port));
    }
    let wanted = items(&service, &["spec", "ports"]).iter().find(|one| one["port"].as_u64() == Some(u64::from(port)));
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let port_name = text(wanted, &["name"]);
    let mut ready: Vec<(String, u16)> = Vec::new();
    for slice in lookup.list("discovery.k8s.io", "endpointslices", namespace) {
        let of_service = slice["metadata"]["labels"]["kubernetes.io/service-name"] == name;
        let numbers = items(&slice, &["ports"]).iter().find(|one| text(one, &["name"]) == port_name);
        let number = numbers.and_then(|one| u16::try_from(one["port"].as_u64()?).ok());
        if let (true, Some(number)) = (of_service, number) {
            ready.extend(addresses(&slice).map(|address| (address.to_owned(), number)));
        }
    }
    match ready.len() {
        0 => Err(format!("no endpoints available for service {name:?}")),
        count => Ok(ready.swap_remove(rng.usize(0..count))),
    }
}

fn addresses(slice: &Value) -> impl Iterator<Item = &str> {
    let ready = items(slice, &["endpoints"]).iter().filter(|endpoint| endpoint["conditions"]["ready"] != false);
    ready.filter_map(|endpoint| endpoint["addresses"][0].as_str())
}
