//! `kubectl create service clusterip|nodeport|loadbalancer|externalname`.

use super::generate::{FLAGS, finish, metadata, name, require};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, int, list, text};
use crate::session::Session;
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "service",
    aliases: &["svc"],
    usage: "create service [flags] [options]",
    short: "Create a service using a specified subcommand",
    children: &[&CLUSTER_IP, &EXTERNAL_NAME, &LOAD_BALANCER, &NODE_PORT],
    ..Command::EMPTY
};

const TCP: Flag = list("tcp", "Port pairs can be specified as '<port>:<targetPort>'.");

static CLUSTER_IP: Command = Command {
    name: "clusterip",
    usage: "create service clusterip NAME [--tcp=<port>:<targetPort>] [--dry-run=server|client|none] [options]",
    short: "Create a ClusterIP service",
    flags: &[
        PRINT,
        FLAGS,
        &[
            TCP,
            text(
                "clusterip",
                "",
                "Assign your own ClusterIP or set to 'None' for a 'headless' service (no loadbalancing).",
            ),
        ],
    ],
    run: Some(|session, args| run(session, args, "ClusterIP")),
    ..Command::EMPTY
};

static NODE_PORT: Command = Command {
    name: "nodeport",
    usage: "create service nodeport NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]",
    short: "Create a NodePort service",
    flags: &[PRINT, FLAGS, &[TCP, int("node-port", "0", "Port used to expose the service on each node in a cluster.")]],
    run: Some(|session, args| run(session, args, "NodePort")),
    ..Command::EMPTY
};

static LOAD_BALANCER: Command = Command {
    name: "loadbalancer",
    usage: "create service loadbalancer NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]",
    short: "Create a LoadBalancer service",
    flags: &[PRINT, FLAGS, &[TCP]],
    run: Some(|session, args| run(session, args, "LoadBalancer")),
    ..Command::EMPTY
};

static EXTERNAL_NAME: Command = Command {
    name: "externalname",
    usage: "create service externalname NAME --external-name external.name [--dry-run=server|client|none] [options]",
    short: "Create an ExternalName service",
    flags: &[PRINT, FLAGS, &[TCP, text("external-name", "", "External name of service")]],
    run: Some(|session, args| run(session, args, "ExternalName")),
    ..Command::EMPTY
};

fn run<'a>(session: &'a Session, args: Args, kind: &'static str) -> Done<'a> {
    Box::pin(async move {
        if kind == "ExternalName" {
            require(&args, &["external-name"])?;
        }
        let name = name(session, &args)?;
        let headless = args.text("clusterip") == "None";
        if args.list("tcp").is_empty() && kind != "ExternalName" && !headless {
            return Err(Failure::message("at least one tcp port specifier must be provided"));
        }
        let mut spec = json!({"selector": {"app": name}, "type": kind});
        let ports =
            args.list("tcp").iter().map(|pair| port(pair, args.int("node-port"))).collect::<Outcome<Vec<_>>>()?;
        if !ports.is_empty() {
            spec["ports"] = json!(ports);
        }
        for (field, flag) in [("clusterIP", "clusterip"), ("externalName", "external-name")] {
            if !args.text(flag).is_empty() {
                spec[field] = json!(args.text(flag));
            }
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(name, &[("app", name)]),
            "spec": spec, "status": {"loadBalancer": {}},
        });
        finish(session, &args, object, &format!("failed to create {kind} service:")).await
    })
}

/// `80`, `80:8080` or `80:http`.
fn port(pair: &str, node_port: i64) -> Outcome<Value> {
    let (port, target) = pair.split_once(':').unwrap_or((pair, pair));
    let number: i64 =
        port.parse().map_err(|_| Failure::message(format!("strconv.Atoi: parsing {port:?}: invalid syntax")))?;
    if !(1..=65535).contains(&number) {
        return Err(Failure::message(format!("invalid port number: {number}")));
    }
    let target_port = target.parse::<i64>().map_or_else(|_| json!(target), |number| json!(number));
    let mut port = json!({
        "name": pair.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": target_port,
    });
    if node_port != 0 {
        port["nodePort"] = json!(node_port);
    }
    Ok(port)
}
