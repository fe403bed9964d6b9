//! Policies about pods: NetworkPolicies and PodDisruptionBudgets.

use super::events::events;
use super::page::{Page, items, number, or_none, plain, selector};
use super::{Subject, Written};
use base::Timestamp;
use serde_json::Value;

/// How one direction of traffic is called.
struct Direction {
    name: &'static str,
    kind: &'static str,
    rules: &'static str,
    peers: &'static str,
    peer: &'static str,
    end: &'static str,
}

const DIRECTIONS: [Direction; 2] = [
    Direction { name: "ingress", kind: "Ingress", rules: "ingress", peers: "from", peer: "From", end: "source" },
    Direction { name: "egress", kind: "Egress", rules: "egress", peers: "to", peer: "To", end: "destination" },
];

pub fn network_policy<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.field(0, "Namespace", plain(&metadata["namespace"]));
        let made = metadata["creationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        page.field(
            0,
            "Created on",
            made.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
        );
        page.pairs("", "Labels", &metadata["labels"]);
        page.annotations("", &metadata["annotations"]);
        page.line(0, "Spec:");
        let pods = match selector(&spec["podSelector"]).as_str() {
            "" | "<none>" => "<none> (Allowing the specific traffic to all pods in this namespace)".to_owned(),
            some => some.to_owned(),
        };
        page.line(1, format!("PodSelector:     {pods}"));
        let types: Vec<String> = items(&spec["policyTypes"]).map(plain).collect();
        for direction in &DIRECTIONS {
            if types.iter().any(|kind| kind == direction.kind) {
                page.line(1, format!("Allowing {} traffic:", direction.name));
                rules(page, direction, &spec[direction.rules]);
            } else {
                page.line(1, format!("Not affecting {} traffic", direction.name));
            }
        }
        page.line(1, format!("Policy Types: {}", types.join(", ")));
        Ok(())
    })
}

fn rules(page: &mut Page, direction: &Direction, rules: &Value) {
    if items(rules).next().is_none() {
        page.line(2, format!("<none> (Selected pods are isolated for {} connectivity)", direction.name));
    }
    for (at, rule) in items(rules).enumerate() {
        if at > 0 {
            page.line(2, "----------");
        }
        if items(&rule["ports"]).next().is_none() {
            page.line(2, "To Port: <any> (traffic allowed to all ports)");
        }
        for port in items(&rule["ports"]) {
            let protocol = match plain(&port["protocol"]) {
                none if none.is_empty() => "TCP".to_owned(),
                some => some,
            };
            let first = plain(&port["port"]);
            page.line(
                2,
                match &port["endPort"] {
                    Value::Null => format!("To Port: {first}/{protocol}"),
                    last => format!("To Port Range: {first}-{}/{protocol}", plain(last)),
                },
            );
        }
        let peers = &rule[direction.peers];
        if items(peers).next().is_none() {
            page.line(2, format!("{}: <any> (traffic not restricted by {})", direction.peer, direction.end));
        }
        for peer in items(peers) {
            page.line(2, format!("{}:", direction.peer));
            self::peer(page, peer);
        }
    }
}

fn peer(page: &mut Page, peer: &Value) {
    for (label, field) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
        if peer[field].is_object() {
            page.line(3, format!("{label}: {}", or_none(selector(&peer[field]))));
        }
    }
    let block = &peer["ipBlock"];
    if block.is_object() {
        page.line(3, "IPBlock:");
        page.line(4, format!("CIDR: {}", plain(&block["cidr"])));
        let except: Vec<String> = items(&block["except"]).map(plain).collect();
        page.line(4, format!("Except: {}", except.join(", ")));
    }
}

pub fn disruption_budget<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec) = (&subject.object["metadata"], &subject.object["spec"]);
        let status = &subject.object["status"];
        page.field(0, "Name", plain(&metadata["name"]));
        page.field(0, "Namespace", plain(&metadata["namespace"]));
        page.text(0, "Min available", &spec["minAvailable"]);
        page.text(0, "Max unavailable", &spec["maxUnavailable"]);
        let pods = if spec["selector"].is_null() { "<unset>".to_owned() } else { selector(&spec["selector"]) };
        page.field(0, "Selector", pods);
        page.line(0, "Status:");
        for (label, field) in [
            ("Allowed disruptions", "disruptionsAllowed"),
            ("Current", "currentHealthy"),
            ("Desired", "desiredHealthy"),
            ("Total", "expectedPods"),
        ] {
            page.field(2, label, number(&status[field]));
        }
        events(subject, page).await
    })
}
