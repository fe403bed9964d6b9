//! Services, what stands behind them, and what leads to them.

use super::cells::{NONE, UNSET, age, at, at_or, cut, joined, label_map, load_balancer, name, selector};
use super::{AGE, NAME, Printer, text, wide};
use crate::tree::{items, text as text_of};
use serde_json::Value;

/// Of lists that can be long.
const SHOWN: usize = 3;

pub const SERVICE: Printer = Printer {
    group: "",
    kind: "Service",
    columns: &[NAME, text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, wide("Selector")],
    cells: |service, now| {
        let spec = &service["spec"];
        vec![
            name(service),
            spec["type"].clone(),
            at_or(spec, "/clusterIPs/0", NONE),
            external_address(service).into(),
            service_ports(spec).into(),
            age(service, now),
            label_map(&spec["selector"]).into(),
        ]
    },
};

pub const ENDPOINTS: Printer = Printer {
    group: "",
    kind: "Endpoints",
    columns: &[NAME, text("Endpoints"), AGE],
    cells: |object, now| vec![name(object), endpoints(object).into(), age(object, now)],
};

pub const ENDPOINT_SLICE: Printer = Printer {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    columns: &[NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE],
    cells: |slice, now| {
        let ports: Vec<String> = items(slice, "ports").iter().map(slice_port).collect();
        let addresses = items(slice, "endpoints").iter().flat_map(|endpoint| items(endpoint, "addresses"));
        let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
        let shown = |list: &[String]| if list.is_empty() { UNSET.to_owned() } else { cut(list, SHOWN) };
        vec![name(slice), slice["addressType"].clone(), shown(&ports).into(), shown(&addresses).into(), age(slice, now)]
    },
};

pub const INGRESS: Printer = Printer {
    group: "networking.k8s.io",
    kind: "Ingress",
    columns: &[NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE],
    cells: |ingress, now| {
        let spec = &ingress["spec"];
        let ports = if items(spec, "tls").is_empty() { "80" } else { "80, 443" };
        vec![
            name(ingress),
            at_or(ingress, "/spec/ingressClassName", NONE),
            hosts(items(spec, "rules")).into(),
            load_balancer(&ingress["status"]).into(),
            ports.into(),
            age(ingress, now),
        ]
    },
};

pub const INGRESS_CLASS: Printer = Printer {
    group: "networking.k8s.io",
    kind: "IngressClass",
    columns: &[NAME, text("Controller"), text("Parameters"), AGE],
    cells: |class, now| {
        let parameters = &class["spec"]["parameters"];
        let shown = if parameters.is_object() {
            let group = text_of(parameters, "apiGroup");
            let dot = if group.is_empty() { "" } else { "." };
            format!("{}{dot}{group}/{}", text_of(parameters, "kind"), text_of(parameters, "name"))
        } else {
            NONE.to_owned()
        };
        vec![name(class), at_or(class, "/spec/controller", ""), shown.into(), age(class, now)]
    },
};

pub const NETWORK_POLICY: Printer = Printer {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    columns: &[NAME, text("Pod-Selector"), AGE],
    cells: |policy, now| vec![name(policy), selector(&policy["spec"]["podSelector"]).into(), age(policy, now)],
};

pub const SERVICE_CIDR: Printer = Printer {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    columns: &[NAME, text("CIDRs"), AGE],
    cells: |range, now| vec![name(range), joined(items(&range["spec"], "cidrs"), ",", "").into(), age(range, now)],
};

pub const IP_ADDRESS: Printer = Printer {
    group: "networking.k8s.io",
    kind: "IPAddress",
    columns: &[NAME, text("ParentRef"), AGE],
    cells: |address, now| {
        let parent = &address["spec"]["parentRef"];
        let mut shown = text_of(parent, "resource").to_owned();
        for (separator, field) in [(".", "group"), ("/", "namespace")] {
            if !text_of(parent, field).is_empty() {
                shown.push_str(separator);
                shown.push_str(text_of(parent, field));
            }
        }
        shown.push('/');
        shown.push_str(text_of(parent, "name"));
        let shown = if parent.is_object() { shown.to_lowercase() } else { NONE.to_owned() };
        vec![name(address), shown.into(), age(address, now)]
    },
};

fn external_address(service: &Value) -> String {
    let spec = &service["spec"];
    let external = items(spec, "externalIPs");
    match text_of(spec, "type") {
        "ClusterIP" | "NodePort" => joined(external, ",", NONE),
        "ExternalName" => text_of(spec, "externalName").to_owned(),
        "LoadBalancer" => {
            let given = load_balancer(&service["status"]);
            let parts: Vec<String> =
                [given, joined(external, ",", "")].into_iter().filter(|part| !part.is_empty()).collect();
            if parts.is_empty() { "<pending>".to_owned() } else { parts.join(",") }
        }
        _ => super::cells::UNKNOWN.to_owned(),
    }
}

fn service_ports(spec: &Value) -> String {
    let ports: Vec<String> = items(spec, "ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (port["port"].as_i64().unwrap_or_default(), text_of(port, "protocol"));
            match port["nodePort"].as_i64().unwrap_or_default() {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { NONE.to_owned() } else { ports.join(",") }
}

fn endpoints(object: &Value) -> String {
    let subsets = items(object, "subsets");
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || items(subset, "addresses").iter().map(|address| at(address, "/ip"));
        let ports = items(subset, "ports");
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = port["port"].as_i64().unwrap_or_default();
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    if all.is_empty() { NONE.to_owned() } else { cut(&all, SHOWN) }
}

fn slice_port(port: &Value) -> String {
    match port["port"].as_i64() {
        Some(number) => number.to_string(),
        None if !text_of(port, "name").is_empty() => text_of(port, "name").to_owned(),
        None => "*".to_owned(),
    }
}

fn hosts(rules: &[Value]) -> String {
    let hosts: Vec<String> =
        rules.iter().map(|rule| text_of(rule, "host")).filter(|host| !host.is_empty()).map(str::to_owned).collect();
    if hosts.is_empty() { "*".to_owned() } else { cut(&hosts, SHOWN) }
}
