//! Containers, of a pod with their states or of a template without.

use super::page::{Page, items, number, or_none, plain, time, titled};
use super::volume::volumes;
use serde_json::Value;

/// A pod template on its own, for `rollout history`: there kubectl leaves the tabs as they are.
pub fn pod_template(template: &Value) -> String {
    let mut page = Page::default();
    write_template(&mut page, template);
    page.unaligned()
}

pub fn write_template(page: &mut Page, template: &Value) {
    page.line(0, "Pod Template:");
    if template.is_null() {
        page.line(1, "<unset>");
        return;
    }
    let spec = &template["spec"];
    page.pairs("  ", "Labels", &template["metadata"]["labels"]);
    if template["metadata"]["annotations"].as_object().is_some_and(|map| !map.is_empty()) {
        page.annotations("  ", &template["metadata"]["annotations"]);
    }
    page.text(1, "Service Account", &spec["serviceAccountName"]);
    if items(&spec["initContainers"]).next().is_some() {
        containers(page, "Init Containers", &spec["initContainers"], None, "  ");
    }
    containers(page, "Containers", &spec["containers"], None, "  ");
    volumes(page, &spec["volumes"], "  ");
    spread(page, "  ", &spec["topologySpreadConstraints"]);
    page.text(1, "Priority Class Name", &spec["priorityClassName"]);
    page.pairs("  ", "Node-Selectors", &spec["nodeSelector"]);
    tolerations(page, "  ", &spec["tolerations"]);
}

/// A pod, where its containers' states and values are known.
pub struct Known<'a> {
    pub pod: &'a Value,
    pub statuses: &'a Value,
}

pub fn containers(page: &mut Page, label: &str, list: &Value, known: Option<&Known<'_>>, indent: &str) {
    if items(list).next().is_none() {
        page.line(0, format!("{indent}{label}: <none>"));
        return;
    }
    page.line(0, format!("{indent}{label}:"));
    for container in items(list) {
        let name = plain(&container["name"]);
        let blank = if indent.is_empty() { "" } else { " " };
        page.line(1, format!("{blank}{name}:"));
        let status = known.and_then(|known| items(known.statuses).find(|status| status["name"] == container["name"]));
        basics(page, container, status);
        words(page, "Command", &container["command"]);
        words(page, "Args", &container["args"]);
        if let Some(status) = status {
            states(page, status);
        }
        resources(page, 2, &container["resources"]);
        for (label, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if container[field].is_object() {
                page.field(2, label, probe(&container[field]));
            }
        }
        environment(page, container, known);
        mounts(page, container);
    }
}

fn basics(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        page.field(2, "Container ID", plain(&status["containerID"]));
    }
    page.field(2, "Image", plain(&container["image"]));
    if let Some(status) = status {
        page.field(2, "Image ID", plain(&status["imageID"]));
    }
    for (label, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let port = |port: &Value| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            format!("{}/{protocol}", number(&port[field]))
        };
        let all: Vec<String> = items(&container["ports"]).map(port).collect();
        let label = if all.len() > 1 { format!("{label}s") } else { label.to_owned() };
        page.field(2, &label, or_none(all.join(", ")));
    }
    let profile = &container["securityContext"]["seccompProfile"];
    page.text(2, "SeccompProfile", &profile["type"]);
    if profile["type"] == "Localhost" {
        page.text(3, "LocalhostProfile", &profile["localhostProfile"]);
    }
}

fn words(page: &mut Page, label: &str, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(2, format!("{label}:"));
    for word in items(list) {
        plain(word).split('\n').for_each(|line| page.line(3, line));
    }
}

fn states(page: &mut Page, status: &Value) {
    state(page, "State", &status["state"]);
    if status["lastState"]["terminated"].is_object() {
        state(page, "Last State", &status["lastState"]);
    }
    page.field(2, "Ready", titled(status["ready"] == true));
    page.field(2, "Restart Count", number(&status["restartCount"]));
}

fn state(page: &mut Page, label: &str, state: &Value) {
    if state["running"].is_object() {
        page.field(2, label, "Running");
        page.field(3, "Started", time(&state["running"]["startedAt"]));
    } else if state["terminated"].is_object() {
        let ended = &state["terminated"];
        page.field(2, label, "Terminated");
        page.text(3, "Reason", &ended["reason"]);
        page.text(3, "Message", &ended["message"]);
        page.field(3, "Exit Code", number(&ended["exitCode"]));
        if number(&ended["signal"]) > 0 {
            page.field(3, "Signal", number(&ended["signal"]));
        }
        page.field(3, "Started", time(&ended["startedAt"]));
        page.field(3, "Finished", time(&ended["finishedAt"]));
    } else {
        page.field(2, label, "Waiting");
        page.text(3, "Reason", &state["waiting"]["reason"]);
    }
}

pub fn resources(page: &mut Page, level: usize, resources: &Value) {
    for (label, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let Some(map) = resources[field].as_object().filter(|map| !map.is_empty()) else { continue };
        page.line(level, format!("{label}:"));
        map.iter().for_each(|(name, amount)| page.field(level + 1, name, plain(amount)));
    }
}

fn probe(probe: &Value) -> String {
    let seconds = |field: &str| number(&probe[field]);
    let timing = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        seconds("initialDelaySeconds"),
        seconds("timeoutSeconds"),
        seconds("periodSeconds"),
        seconds("successThreshold"),
        seconds("failureThreshold")
    );
    let how = if probe["exec"].is_object() {
        let words: Vec<String> = items(&probe["exec"]["command"]).map(plain).collect();
        format!("exec [{}]", words.join(" "))
    } else if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let path = plain(&get["path"]);
        let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
        format!("http-get {scheme}://{}:{}{slash}{path}", plain(&get["host"]), plain(&get["port"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket {}:{}", plain(&probe["tcpSocket"]["host"]), plain(&probe["tcpSocket"]["port"]))
    } else if probe["grpc"].is_object() {
        format!("grpc <pod>:{} {}", plain(&probe["grpc"]["port"]), plain(&probe["grpc"]["service"]))
    } else {
        "unknown".to_owned()
    };
    format!("{how} {timing}")
}

fn environment(page: &mut Page, container: &Value, known: Option<&Known<'_>>) {
    if items(&container["envFrom"]).next().is_some() {
        page.line(2, "Environment Variables from:");
        for source in items(&container["envFrom"]) {
            let (kind, of) = if source["configMapRef"].is_object() {
                ("ConfigMap", &source["configMapRef"])
            } else {
                ("Secret", &source["secretRef"])
            };
            let prefix = plain(&source["prefix"]);
            let prefix = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
            let optional = of["optional"] == true;
            page.line(3, format!("{}\t{kind}{prefix}\tOptional: {optional}", plain(&of["name"])));
        }
    }
    if items(&container["env"]).next().is_none() {
        page.line(2, "Environment:\t<none>");
        return;
    }
    page.line(2, "Environment:");
    for variable in items(&container["env"]) {
        let name = plain(&variable["name"]);
        let from = &variable["valueFrom"];
        if !from.is_object() {
            let value = plain(&variable["value"]);
            for (at, line) in value.split('\n').enumerate() {
                page.line(3, if at == 0 { format!("{name}:\t{line}") } else { format!("\t{line}") });
            }
            continue;
        }
        let optional = |of: &Value| of["optional"] == true;
        let text = if from["fieldRef"].is_object() {
            let reference = &from["fieldRef"];
            let path = plain(&reference["fieldPath"]);
            let version = reference["apiVersion"].as_str().unwrap_or("v1");
            format!("{} ({version}:{path})", known.map(|known| field_of(known.pod, &path)).unwrap_or_default())
        } else if from["resourceFieldRef"].is_object() {
            let resource = plain(&from["resourceFieldRef"]["resource"]);
            format!("{} ({resource})", resource_of(container, &resource))
        } else if from["secretKeyRef"].is_object() {
            let of = &from["secretKeyRef"];
            let (key, name) = (plain(&of["key"]), plain(&of["name"]));
            format!("<set to the key '{key}' in secret '{name}'>\tOptional: {}", optional(of))
        } else {
            let of = &from["configMapKeyRef"];
            let (key, name) = (plain(&of["key"]), plain(&of["name"]));
            format!("<set to the key '{key}' of config map '{name}'>\tOptional: {}", optional(of))
        };
        page.line(3, format!("{name}:\t{text}"));
    }
}

/// What a downward API path gives: `metadata.labels['a']`. Upstream shows the values of metadata alone.
fn field_of(pod: &Value, path: &str) -> String {
    if let Some((map, key)) = path.split_once("['") {
        let key = key.trim_end_matches("']");
        return plain(&pod["metadata"][map.trim_start_matches("metadata.")][key]);
    }
    match path.strip_prefix("metadata.") {
        Some(field) => plain(&pod["metadata"][field]),
        None => String::new(),
    }
}

fn resource_of(container: &Value, resource: &str) -> String {
    let (list, name) = resource.split_once('.').unwrap_or(("limits", resource));
    let set = &container["resources"][list][name];
    if set.is_null() && list == "limits" { "node allocatable".to_owned() } else { plain(set) }
}

fn mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = items(&container["volumeMounts"]).collect();
    mounts.sort_by_key(|mount| plain(&mount["mountPath"]));
    if mounts.is_empty() {
        page.line(2, "Mounts:\t<none>");
    } else {
        page.line(2, "Mounts:");
    }
    for mount in mounts {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        let sub = plain(&mount["subPath"]);
        let sub = if sub.is_empty() { String::new() } else { format!(",path={sub:?}") };
        page.line(3, format!("{} from {} ({mode}{sub})", plain(&mount["mountPath"]), plain(&mount["name"])));
    }
    let mut devices: Vec<&Value> = items(&container["volumeDevices"]).collect();
    devices.sort_by_key(|device| plain(&device["devicePath"]));
    if !devices.is_empty() {
        page.line(2, "Devices:");
        devices.iter().for_each(|device| {
            page.line(3, format!("{} from {}", plain(&device["devicePath"]), plain(&device["name"])));
        });
    }
}

pub fn tolerations(page: &mut Page, indent: &str, list: &Value) {
    let mut all: Vec<&Value> = items(list).collect();
    all.sort_by_key(|toleration| plain(&toleration["key"]));
    let mut lines: Vec<String> = all.into_iter().map(toleration).collect();
    if lines.is_empty() {
        lines.push("<none>".to_owned());
    }
    page.column(indent, "Tolerations", &lines);
}

fn toleration(toleration: &Value) -> String {
    let (key, value, effect) = (plain(&toleration["key"]), plain(&toleration["value"]), plain(&toleration["effect"]));
    let mut text = key;
    if !value.is_empty() {
        text.push_str(&format!("={value}"));
    }
    if !effect.is_empty() {
        text.push_str(&format!(":{effect}"));
    }
    if toleration["operator"] == "Exists" && value.is_empty() {
        let blank = if text.is_empty() { "" } else { " " };
        text.push_str(&format!("{blank}op=Exists"));
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        text.push_str(&format!(" for {seconds}s"));
    }
    text
}

pub fn spread(page: &mut Page, indent: &str, list: &Value) {
    let mut all: Vec<&Value> = items(list).collect();
    all.sort_by_key(|one| plain(&one["topologyKey"]));
    let line = |one: &Value| {
        let selector = &one["labelSelector"];
        let selector = if selector.is_null() {
            String::new()
        } else {
            format!(" for selector {}", super::page::selector(selector))
        };
        format!(
            "{}:{} when max skew {} is exceeded{selector}",
            plain(&one["topologyKey"]),
            plain(&one["whenUnsatisfiable"]),
            number(&one["maxSkew"])
        )
    };
    let lines: Vec<String> = all.into_iter().map(line).collect();
    page.column(indent, "Topology Spread Constraints", &lines);
}
