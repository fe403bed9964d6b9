//! `kubectl create ingress`.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, repeat, text};
use crate::session::Session;
use serde_json::{Value, json};

const OWN: &[Flag] = &[
    repeat("annotation", "Annotation to insert in the ingress object, in the format annotation=value"),
    text("class", "", "Ingress Class to be used"),
    text("default-backend", "", "Default service for backend, in format of svcname:port"),
    repeat(
        "rule",
        "Rule in format host/path=service:port[,tls=secretname]. Paths containing the leading character '*' are considered pathType=Prefix. tls argument is optional.",
    ),
];

pub static COMMAND: Command = Command {
    name: "ingress",
    aliases: &["ing"],
    usage: "create ingress NAME --rule=host/path=service:port[,tls[=secret]] [options]",
    short: "Create an ingress with the specified name",
    flags: &[PRINT, FLAGS, OWN],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let object = object(name(session, &args)?, &args)?;
        finish(session, &args, object, "failed to create ingress:").await
    })
}

fn object(name: &str, args: &Args) -> Outcome<Value> {
    let rules = args.list("rule");
    let default = args.text("default-backend");
    if rules.is_empty() && default.is_empty() {
        return Err(Failure::message(
            "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
        ));
    }
    let mut meta = metadata(name, &[]);
    for pair in args.list("annotation") {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::message(format!(
                "{pair} is an invalid annotation and should be in format key=[value]"
            )));
        };
        meta["annotations"][key] = json!(value);
    }
    let mut spec = json!({});
    if !args.text("class").is_empty() {
        spec["ingressClassName"] = json!(args.text("class"));
    }
    if !default.is_empty() {
        let Some((service, port)) = default.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
            return Err(Failure::message("default-backend should be in format servicename:serviceport"));
        };
        spec["defaultBackend"] = backend(service, port);
    }
    let rules = rules.iter().map(|rule| Rule::parse(rule)).collect::<Outcome<Vec<_>>>()?;
    if !rules.is_empty() {
        spec["rules"] = json!(by_host(&rules));
    }
    let tls = tls(&rules);
    if !tls.is_empty() {
        spec["tls"] = json!(tls);
    }
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec,
        "status": {"loadBalancer": {}},
    }))
}

fn backend(service: &str, port: &str) -> Value {
    let port = port.parse::<i64>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    json!({"service": {"name": service, "port": port}})
}

struct Rule {
    host: String,
    path: Value,
    /// With TLS; the secret may be left out.
    secret: Option<String>,
}

impl Rule {
    fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::message(format!(
                "rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            ))
        };
        let (rule, tls) = text.split_once(',').map_or((text, None), |(rule, tls)| (rule, Some(tls)));
        let (place, service) = rule.split_once('=').ok_or_else(wrong)?;
        let (host, path) = place.split_once('/').ok_or_else(wrong)?;
        let (service, port) =
            service.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty()).ok_or_else(wrong)?;
        let secret = match tls {
            None => None,
            Some("tls") => Some(String::new()),
            Some(tls) => Some(tls.strip_prefix("tls=").ok_or_else(wrong)?.to_owned()),
        };
        let (path, kind) = path.strip_suffix('*').map_or((path, "Exact"), |path| (path, "Prefix"));
        let path = json!({"path": format!("/{path}"), "pathType": kind, "backend": backend(service, port)});
        Ok(Rule { host: host.to_owned(), path, secret })
    }
}

fn by_host(rules: &[Rule]) -> Vec<Value> {
    let mut hosts: Vec<(&str, Vec<&Value>)> = Vec::new();
    for rule in rules {
        match hosts.iter_mut().find(|(host, _)| *host == rule.host) {
            Some((_, paths)) => paths.push(&rule.path),
            None => hosts.push((&rule.host, vec![&rule.path])),
        }
    }
    let one = |(host, paths): &(&str, Vec<&Value>)| {
        let mut rule = json!({"http": {"paths": paths}});
        if !host.is_empty() {
            rule["host"] = json!(host);
        }
        rule
    };
    hosts.iter().map(one).collect()
}

fn tls(rules: &[Rule]) -> Vec<Value> {
    let mut secrets: Vec<(&str, Vec<&str>)> = Vec::new();
    for rule in rules {
        let Some(secret) = &rule.secret else { continue };
        match secrets.iter_mut().find(|(known, _)| known == secret) {
            Some((_, hosts)) if hosts.contains(&rule.host.as_str()) => {}
            Some((_, hosts)) => hosts.push(&rule.host),
            None => secrets.push((secret, vec![&rule.host])),
        }
    }
    let one = |(secret, hosts): &(&str, Vec<&str>)| {
        let hosts: Vec<&&str> = hosts.iter().filter(|host| !host.is_empty()).collect();
        let mut entry = json!({});
        if !hosts.is_empty() {
            entry["hosts"] = json!(hosts);
        }
        if !secret.is_empty() {
            entry["secretName"] = json!(secret);
        }
        entry
    };
    secrets.iter().map(one).collect()
}
