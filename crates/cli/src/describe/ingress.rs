//! Ingresses and their classes.

use super::events::events;
use super::page::{Page, items, or_none, plain};
use super::service::{endpoint_list, joined};
use super::{Subject, Written};
use crate::session::Call;
use serde_json::Value;

pub fn ingress<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.pairs("", "Labels", &metadata["labels"]);
        page.field(0, "Namespace", plain(&metadata["namespace"]));
        let address =
            |point: &Value| if point["ip"].is_null() { plain(&point["hostname"]) } else { plain(&point["ip"]) };
        let addresses = items(&subject.object["status"]["loadBalancer"]["ingress"]).map(address);
        page.field(0, "Address", addresses.collect::<Vec<_>>().join(","));
        page.field(0, "Ingress Class", or_none(plain(&spec["ingressClassName"])));
        let default = match &spec["defaultBackend"] {
            Value::Null => "<default>".to_owned(),
            backend => self::backend(subject, backend).await,
        };
        page.field(0, "Default backend", &default);
        certificates(page, &spec["tls"]);
        page.line(0, "Rules:");
        page.line(1, "Host\tPath\tBackends");
        page.line(1, "----\t----\t--------");
        let mut rules = items(&spec["rules"]).filter(|rule| rule["http"].is_object()).peekable();
        if rules.peek().is_none() {
            page.line(1, format!("*\t*\t{default}"));
        }
        for rule in rules {
            let host = plain(&rule["host"]);
            page.line(1, format!("{}\t", if host.is_empty() { "*" } else { &host }));
            for path in items(&rule["http"]["paths"]) {
                let backend = self::backend(subject, &path["backend"]).await;
                page.line(2, format!("\t{} \t{backend}", plain(&path["path"])));
            }
        }
        page.annotations("", &metadata["annotations"]);
        events(subject, page).await
    })
}

fn certificates(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "TLS:");
    for tls in items(list) {
        let (secret, hosts) = (plain(&tls["secretName"]), joined(&tls["hosts"]));
        page.line(
            1,
            if secret.is_empty() { format!("SNI routes {hosts}") } else { format!("{secret} terminates {hosts}") },
        );
    }
}

/// A service and what stands behind it now, or another object.
async fn backend(subject: &Subject<'_>, backend: &Value) -> String {
    let resource = &backend["resource"];
    if resource.is_object() {
        let group = or_none(plain(&resource["apiGroup"]));
        return format!("APIGroup: {group}, Kind: {}, Name: {}", plain(&resource["kind"]), plain(&resource["name"]));
    }
    let (name, port) = (plain(&backend["service"]["name"]), &backend["service"]["port"]);
    let shown = if port["number"].is_null() { plain(&port["name"]) } else { plain(&port["number"]) };
    let namespace = plain(&subject.object["metadata"]["namespace"]);
    let service = subject.session.json(Call::get(format!("/api/v1/namespaces/{namespace}/services/{name}"))).await;
    let service = match service {
        Ok(service) => service,
        Err(failure) => {
            let why = failure.status().map_or_else(|| failure.to_string(), |status| status.message.clone());
            return format!("{name}:{shown} (<error: {why}>)");
        }
    };
    let call = Call::get(format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"))
        .query("labelSelector", format!("kubernetes.io/service-name={name}"));
    let slices = subject.session.json(call).await.unwrap_or_default();
    let is_it = |one: &&Value| {
        if port["number"].is_null() { one["name"] == port["name"] } else { one["port"] == port["number"] }
    };
    let port_name = items(&service["spec"]["ports"]).find(is_it).map(|one| plain(&one["name"])).unwrap_or_default();
    format!("{name}:{shown} ({})", endpoint_list(&slices, &port_name))
}

pub fn class<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.pairs("", "Labels", &metadata["labels"]);
        page.annotations("", &metadata["annotations"]);
        page.field(0, "Controller", plain(&spec["controller"]));
        if spec["parameters"].is_object() {
            page.line(0, "Parameters:");
            page.text(1, "APIGroup", &spec["parameters"]["apiGroup"]);
            page.field(1, "Kind", plain(&spec["parameters"]["kind"]));
            page.field(1, "Name", plain(&spec["parameters"]["name"]));
        }
        events(subject, page).await
    })
}
