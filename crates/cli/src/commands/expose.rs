//! `kubectl expose`: a Service for what already runs.

use crate::changes::Write;
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, text};
use crate::print::{DryRun, Teller, name_of};
use crate::session::Session;
use crate::shared_flags::{FIELD_MANAGER, RECORD, SAVE_CONFIG};
use crate::targets::{Target, fetched, targets};
use serde_json::{Value, json};

const FLAGS: &[Flag] = &[
    DRY_RUN,
    text("cluster-ip", "", "ClusterIP to be assigned to the service."),
    text("external-ip", "", "Additional external IP address (not managed by Kubernetes) to accept for the service."),
    FIELD_MANAGER,
    text("labels", "", "Labels to apply to the service created by this call.").short('l'),
    text("load-balancer-ip", "", "IP to assign to the LoadBalancer."),
    text("name", "", "The name for the newly created object."),
    text("overrides", "", "An inline JSON override for the generated object."),
    text("override-type", "merge", "The method used to override the generated object: json, merge, or strategic."),
    text(
        "port",
        "",
        "The port that the service should serve on. Copied from the resource being exposed, if unspecified",
    ),
    text("protocol", "", "The network protocol for the service to be created. Default is 'TCP'."),
    RECORD,
    SAVE_CONFIG,
    text("selector", "", "A label selector to use for this service."),
    text(
        "session-affinity",
        "",
        "If non-empty, set the session affinity for the service to this; legal values: 'None', 'ClientIP'",
    ),
    text("target-port", "", "Name or number for the port on the container that the service should direct traffic to."),
    text("type", "", "Type for this service: ClusterIP, NodePort, LoadBalancer, or ExternalName."),
];

pub static COMMAND: Command = Command {
    name: "expose",
    usage: "expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type] [options]",
    short: "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
    examples: "# Create a service for a replicated nginx, which serves on port 80 and connects to the containers on port 8000\nkubectl expose rc nginx --port=80 --target-port=8000",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-expose")?;
        // `--selector` is the new service's own here, not one to choose objects by.
        let chosen = targets(session, &args, &args.words).await?;
        if chosen.iter().any(|target| target.name.is_empty()) {
            return Err(Failure::message("resource(s) were provided, but no name was specified"));
        }
        for (target, object) in fetched(session, &args, chosen).await? {
            let mut service = service(session, &args, &object)?;
            if !args.text("overrides").is_empty() {
                service = overridden(&service, args.text("overrides"), args.text("override-type"))?;
            }
            crate::change_cause::note(&session.path, &args, &mut service);
            if args.bool("save-config") {
                crate::last_applied::record(&mut service);
            }
            if write.dry_run != DryRun::Client {
                let place = Target { name: String::new(), resource: session.resource("services").await?, ..target };
                service = write.create(session, place.collection(), &service).await?;
            }
            teller.tell(&service, "service", "exposed")?;
        }
        Ok(())
    })
}

/// A generated object with what `--overrides` says laid over it.
pub fn overridden(object: &Value, overrides: &str, how: &str) -> Outcome<Value> {
    let failed = |why: String| Failure::message(why);
    let patch = wire::yaml::parse(overrides).map_err(|why| failed(why.to_string()))?.to_string();
    let patched = match how {
        "json" => wire::patch::json_patch(object, patch.as_bytes()),
        _ => wire::patch::merge_patch(object, patch.as_bytes()),
    };
    patched.map_err(|why| failed(why.to_string()))
}

fn service(session: &Session, args: &Args, object: &Value) -> Outcome<Value> {
    let given = |flag: &str| Some(args.text(flag)).filter(|text| !text.is_empty());
    let selector = match given("selector") {
        Some(text) => pairs(text)?,
        None => selector_of(object)?,
    };
    let mut metadata = json!({"creationTimestamp": null, "name": given("name").unwrap_or(name_of(object))});
    if let Some(namespace) = session.given_namespace() {
        metadata["namespace"] = json!(namespace);
    }
    match given("labels") {
        Some(text) => metadata["labels"] = pairs(text)?,
        None if object["metadata"]["labels"].is_object() => metadata["labels"] = object["metadata"]["labels"].clone(),
        None => {}
    }
    let mut spec = json!({"selector": selector});
    let ports = ports(args, object)?;
    if !ports.is_empty() {
        spec["ports"] = json!(ports);
    }
    let fields = [
        ("type", "type"),
        ("clusterIP", "cluster-ip"),
        ("loadBalancerIP", "load-balancer-ip"),
        ("sessionAffinity", "session-affinity"),
    ];
    for (field, flag) in fields {
        if let Some(value) = given(flag) {
            spec[field] = json!(value);
        }
    }
    if let Some(address) = given("external-ip") {
        spec["externalIPs"] = json!([address]);
    }
    let status = json!({"loadBalancer": {}});
    Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": status}))
}

pub fn pairs(text: &str) -> Outcome<Value> {
    let pair = |pair: &str| {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::message(format!("unexpected label spec: {pair}")))?;
        Ok((key.to_owned(), json!(value)))
    };
    text.split(',').map(pair).collect::<Outcome<Vec<_>>>().map(|pairs| Value::Object(pairs.into_iter().collect()))
}

fn selector_of(object: &Value) -> Outcome<Value> {
    let spec = &object["spec"]["selector"];
    let found = match object["kind"].as_str().unwrap_or_default() {
        "Pod" => &object["metadata"]["labels"],
        "Service" | "ReplicationController" => spec,
        _ => {
            if spec["matchExpressions"].as_array().is_some_and(|list| !list.is_empty()) {
                return Err(Failure::message(
                    "couldn't convert expressions - \"matchExpressions\" to map-based selector format",
                ));
            }
            &spec["matchLabels"]
        }
    };
    if found.as_object().is_some_and(|labels| !labels.is_empty()) {
        return Ok(found.clone());
    }
    let kind = object["kind"].as_str().unwrap_or_default();
    Err(Failure::message(match kind {
        "Pod" => "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed".to_owned(),
        "Service" => "couldn't retrieve selectors via --selector flag or introspection: the service has no pod selector set".to_owned(),
        _ => format!("cannot expose a {kind}"),
    }))
}

fn ports(args: &Args, object: &Value) -> Outcome<Vec<Value>> {
    let declared = declared(object);
    let listed: Vec<(i64, String)> = if args.text("port").is_empty() {
        declared
    } else {
        let number = |text: &str| {
            text.parse::<i64>().map_err(|_| Failure::message(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
        };
        let protocol_of = |port: i64| declared.iter().find(|(number, _)| *number == port).map(|(_, name)| name.clone());
        let listed = args.text("port").split(',').map(|text| {
            let port = number(text)?;
            Ok((port, protocol_of(port).unwrap_or_else(|| "TCP".to_owned())))
        });
        listed.collect::<Outcome<Vec<_>>>()?
    };
    if listed.is_empty() && args.text("cluster-ip") != "None" {
        return Err(Failure::message("couldn't find port via --port flag or introspection"));
    }
    let several = listed.len() > 1;
    let port = |(at, (port, protocol)): (usize, &(i64, String))| {
        let protocol = Some(args.text("protocol")).filter(|name| !name.is_empty()).unwrap_or(protocol);
        let target = match args.text("target-port") {
            "" => json!(port),
            text => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
        };
        let mut port = json!({"port": port, "protocol": protocol, "targetPort": target});
        if several {
            port["name"] = json!(format!("port-{}", at + 1));
        }
        port
    };
    Ok(listed.iter().enumerate().map(port).collect())
}

/// The ports that an object names already, with their protocols.
fn declared(object: &Value) -> Vec<(i64, String)> {
    let (lists, field): (Vec<&Value>, &str) = match object["kind"].as_str().unwrap_or_default() {
        "Service" => (vec![&object["spec"]["ports"]], "port"),
        kind => {
            let spec = if kind == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
            let containers = spec["containers"].as_array();
            (containers.into_iter().flatten().map(|container| &container["ports"]).collect(), "containerPort")
        }
    };
    let ports = lists.into_iter().filter_map(Value::as_array).flatten();
    ports
        .filter_map(|port| Some((port[field].as_i64()?, port["protocol"].as_str().unwrap_or("TCP").to_owned())))
        .collect()
}
