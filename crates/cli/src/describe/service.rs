//! Services and Endpoints.

use super::events::events;
use super::page::{Page, items, number, or_none, plain};
use super::{Subject, Written};
use crate::print::table::label_text;
use crate::session::Call;
use serde_json::Value;

/// As many endpoints are named; the others are counted.
const SHOWN: usize = 3;

pub fn service<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        page.head(subject.object);
        page.field(0, "Selector", label_text(&spec["selector"]));
        page.field(0, "Type", plain(&spec["type"]));
        page.text(0, "IP Family Policy", &spec["ipFamilyPolicy"]);
        page.field(0, "IP Families", or_none(joined(&spec["ipFamilies"])));
        page.field(0, "IP", plain(&spec["clusterIP"]));
        page.field(0, "IPs", or_none(joined(&spec["clusterIPs"])));
        if items(&spec["externalIPs"]).next().is_some() {
            page.field(0, "External IPs", joined(&spec["externalIPs"]));
        }
        page.text(0, "Desired LoadBalancer IP", &spec["loadBalancerIP"]);
        page.text(0, "External Name", &spec["externalName"]);
        ingress(page, &subject.object["status"]["loadBalancer"]["ingress"]);
        let namespace = plain(&metadata["namespace"]);
        let call = Call::get(format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"))
            .query("labelSelector", format!("kubernetes.io/service-name={}", plain(&metadata["name"])));
        let slices = subject.session.json(call).await.unwrap_or_default();
        for port in items(&spec["ports"]) {
            ports(page, port, &slices);
        }
        page.field(0, "Session Affinity", plain(&spec["sessionAffinity"]));
        page.text(0, "External Traffic Policy", &spec["externalTrafficPolicy"]);
        page.text(0, "Internal Traffic Policy", &spec["internalTrafficPolicy"]);
        if number(&spec["healthCheckNodePort"]) != 0 {
            page.field(0, "HealthCheck NodePort", number(&spec["healthCheckNodePort"]));
        }
        if items(&spec["loadBalancerSourceRanges"]).next().is_some() {
            page.field(0, "LoadBalancer Source Ranges", joined(&spec["loadBalancerSourceRanges"]));
        }
        page.text(0, "Traffic Distribution", &spec["trafficDistribution"]);
        events(subject, page).await
    })
}

pub(super) fn joined(list: &Value) -> String {
    items(list).map(plain).collect::<Vec<_>>().join(",")
}

fn ingress(page: &mut Page, list: &Value) {
    let one = |point: &Value| {
        let (ip, mode) = (plain(&point["ip"]), plain(&point["ipMode"]));
        match (ip.is_empty(), mode.is_empty()) {
            (true, _) => plain(&point["hostname"]),
            (false, true) => ip,
            (false, false) => format!("{ip} ({mode})"),
        }
    };
    let all: Vec<String> = items(list).map(one).collect();
    if !all.is_empty() {
        page.field(0, "LoadBalancer Ingress", all.join(", "));
    }
}

fn ports(page: &mut Page, port: &Value, slices: &Value) {
    let name = plain(&port["name"]);
    let shown = if name.is_empty() { "<unset>" } else { &name };
    let protocol = plain(&port["protocol"]);
    page.field(0, "Port", format!("{shown}\t{}/{protocol}", number(&port["port"])));
    page.field(0, "TargetPort", format!("{}/{protocol}", plain(&port["targetPort"])));
    page.text(0, "AppProtocol", &port["appProtocol"]);
    if number(&port["nodePort"]) != 0 {
        page.field(0, "NodePort", format!("{shown}\t{}/{protocol}", number(&port["nodePort"])));
    }
    page.field(0, "Endpoints", endpoint_list(slices, &name));
}

/// The ready endpoints of one port.
pub(super) fn endpoint_list(slices: &Value, port: &str) -> String {
    if items(&slices["items"]).next().is_none() {
        return "<none>".to_owned();
    }
    let mut found = Vec::new();
    for slice in items(&slices["items"]) {
        let ready = |point: &&Value| point["conditions"]["ready"] != false;
        if items(&slice["ports"]).next().is_none() {
            found.extend(items(&slice["endpoints"]).filter(ready).map(|point| plain(&point["addresses"][0])));
        }
        for one in items(&slice["ports"]).filter(|one| plain(&one["name"]) == port) {
            for point in items(&slice["endpoints"]).filter(ready) {
                let address = plain(&point["addresses"][0]);
                let address = if address.contains(':') { format!("[{address}]") } else { address };
                found.push(format!("{address}:{}", number(&one["port"])));
            }
        }
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    let text = found.join(",");
    if more > 0 { format!("{text} + {more} more...") } else { text }
}

pub fn endpoint_slice<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.head(object);
        page.field(0, "AddressType", plain(&object["addressType"]));
        if items(&object["ports"]).next().is_none() {
            page.line(0, "Ports: <unset>");
        } else {
            page.line(0, "Ports:");
            page.line(1, "Name\tPort\tProtocol");
            page.line(1, "----\t----\t--------");
        }
        for port in items(&object["ports"]) {
            let name = or_unset(&port["name"]);
            page.line(1, format!("{name}\t{}\t{}", or_unset(&port["port"]), plain(&port["protocol"])));
        }
        page.line(0, if items(&object["endpoints"]).next().is_none() { "Endpoints: <none>" } else { "Endpoints:" });
        for point in items(&object["endpoints"]) {
            page.field(1, "- Addresses", joined(&point["addresses"]));
            page.line(2, "Conditions:");
            page.field(3, "Ready", or_unset(&point["conditions"]["ready"]));
            page.field(2, "Hostname", or_unset(&point["hostname"]));
            let target = &point["targetRef"];
            if target.is_object() {
                page.field(2, "TargetRef", format!("{}/{}", plain(&target["kind"]), plain(&target["name"])));
            }
            page.field(2, "NodeName", or_unset(&point["nodeName"]));
            page.field(2, "Zone", or_unset(&point["zone"]));
        }
        events(subject, page).await
    })
}

fn or_unset(value: &Value) -> String {
    match plain(value) {
        none if none.is_empty() => "<unset>".to_owned(),
        some => some,
    }
}

pub fn endpoints<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        page.head(subject.object);
        page.line(0, "Subsets:");
        for subset in items(&subject.object["subsets"]) {
            let addresses = |field: &str| {
                or_none(items(&subset[field]).map(|point| plain(&point["ip"])).collect::<Vec<_>>().join(","))
            };
            page.field(1, "Addresses", addresses("addresses"));
            page.field(1, "NotReadyAddresses", addresses("notReadyAddresses"));
            if items(&subset["ports"]).next().is_some() {
                page.line(1, "Ports:");
                page.line(2, "Name\tPort\tProtocol");
                page.line(2, "----\t----\t--------");
                for port in items(&subset["ports"]) {
                    let name = plain(&port["name"]);
                    let name = if name.is_empty() { "<unset>".to_owned() } else { name };
                    page.line(2, format!("{name}\t{}\t{}", number(&port["port"]), plain(&port["protocol"])));
                }
            }
            page.line(0, "");
        }
        events(subject, page).await
    })
}
