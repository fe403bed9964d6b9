//! `kubectl run`: one pod, and perhaps staying with it.

use super::delete::remove_pod;
use super::exec::attach_to;
use super::expose::{overridden, pairs};
use crate::changes::Write;
use crate::command::{Command, DRY_RUN, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, repeat, text};
use crate::output::line;
use crate::print::{DryRun, Format, Teller};
use crate::session::{Call, Session};
use crate::shared_flags::{DELETION, DETACH_KEYS, FIELD_MANAGER, RECORD, RUNNING_TIMEOUT, SAVE_CONFIG};
use crate::terminal::Left;
use serde_json::{Value, json};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(250);

const FLAGS: &[Flag] = &[
    DRY_RUN,
    repeat("annotations", "Annotations to apply to the pod."),
    boolean(
        "attach",
        "If true, wait for the Pod to start running, and then attach to the Pod as if 'kubectl attach ...' were called.",
    ),
    boolean(
        "command",
        "If true and extra arguments are present, use them as the 'command' field in the container, rather than the 'args' field which is the default.",
    ),
    DETACH_KEYS,
    repeat("env", "Environment variables to set in the container."),
    boolean("expose", "If true, create a ClusterIP service associated with the pod. Requires `--port`."),
    FIELD_MANAGER,
    text("image", "", "The image for the container to run."),
    text(
        "image-pull-policy",
        "",
        "The image pull policy for the container. If left empty, this value will not be specified by the client and defaulted by the server.",
    ),
    text("labels", "", "Comma separated labels to apply to the pod. Will override previous values.").short('l'),
    boolean(
        "leave-stdin-open",
        "If the pod is started in interactive mode or with stdin, leave stdin open after the first attach completes.",
    ),
    text("overrides", "", "An inline JSON override for the generated object."),
    text("override-type", "merge", "The method used to override the generated object: json, merge, or strategic."),
    RECORD,
    RUNNING_TIMEOUT,
    text("port", "", "The port that this container exposes."),
    boolean("privileged", "If true, run the container in privileged mode."),
    boolean("quiet", "If true, suppress prompt messages.").short('q'),
    text("restart", "Always", "The restart policy for this Pod. Legal values [Always, OnFailure, Never]."),
    boolean(
        "rm",
        "If true, delete the pod after it exits. Only valid when attaching to the container, e.g. with '--attach' or with '-i/--stdin'.",
    ),
    SAVE_CONFIG,
    boolean("stdin", "Keep stdin open on the container in the pod, even if nothing is attached.").short('i'),
    boolean("tty", "Allocate a TTY for the container in the pod.").short('t'),
];

pub static COMMAND: Command = Command {
    name: "run",
    usage: "run NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...] [options]",
    short: "Create and run a particular image in a pod",
    examples: "# Start a nginx pod\nkubectl run nginx --image=nginx\n\n# Start a busybox pod and keep it in the foreground, don't restart it if it exits\nkubectl run -i -t busybox --image=busybox --restart=Never",
    flags: &[PRINT, DELETION, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.text("image").is_empty() {
            return Err(Failure::message("required flag(s) \"image\" not set"));
        }
        let Some(name) = args.words.first().filter(|_| args.before_dash != Some(0)) else {
            return Err(Failure::usage(&session.path, "NAME is required for run"));
        };
        let stays = args.bool("attach") || args.bool("stdin");
        check(&args, stays)?;
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-run")?;
        let mut pod = pod(session, name, &args)?;
        if !args.text("overrides").is_empty() {
            pod = overridden(&pod, args.text("overrides"), args.text("override-type"))?;
        }
        if args.bool("save-config") {
            crate::last_applied::record(&mut pod);
        }
        crate::change_cause::note(&session.path, &args, &mut pod);
        let namespace = if write.dry_run == DryRun::Client { String::new() } else { session.namespace().await? };
        if write.dry_run != DryRun::Client {
            pod = write.create(session, format!("/api/v1/namespaces/{namespace}/pods"), &pod).await?;
        }
        let service =
            if args.bool("expose") { Some(expose(session, &args, &write, name, &namespace).await?) } else { None };
        if !stays || write.dry_run != DryRun::None {
            if let Some(service) = service {
                teller.tell(&service, "service", "created")?;
                if teller.format == Format::Yaml {
                    // Upstream sets them apart twice.
                    line("---");
                }
            }
            return teller.tell(&pod, "pod", "created");
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let ended = stay(session, &args, &path).await;
        if args.bool("rm") {
            remove_pod(session, &args, &path, name).await?;
        }
        ended
    })
}

fn check(args: &Args, stays: bool) -> Outcome {
    if args.bool("rm") && !stays {
        return Err(Failure::usage("kubectl run", "--rm should only be used for attached containers"));
    }
    if args.bool("tty") && !args.bool("stdin") {
        return Err(Failure::message("-i/--stdin is required for containers with -t/--tty=true"));
    }
    if args.bool("expose") && args.text("port").is_empty() {
        return Err(Failure::message("--port must be set when exposing a service"));
    }
    let restart = args.text("restart");
    if !["Always", "OnFailure", "Never"].contains(&restart) {
        return Err(Failure::message(format!(
            "invalid restart policy: {restart}\nSee 'kubectl run -h' for help and examples"
        )));
    }
    Ok(())
}

fn pod(session: &Session, name: &str, args: &Args) -> Outcome<Value> {
    let labels = match args.text("labels") {
        "" => json!({"run": name}),
        given => pairs(given)?,
    };
    let mut metadata = json!({"creationTimestamp": null, "labels": labels, "name": name});
    if let Some(namespace) = session.given_namespace() {
        metadata["namespace"] = json!(namespace);
    }
    for pair in args.list("annotations") {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::message(format!("invalid annotation format: {pair}")));
        };
        metadata["annotations"][key] = json!(value);
    }
    let mut container = json!({"image": args.text("image"), "name": name, "resources": {}});
    let words: Vec<&String> = args.words.iter().skip(1).collect();
    if !words.is_empty() {
        container[if args.bool("command") { "command" } else { "args" }] = json!(words);
    }
    for pair in args.list("env") {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::message(format!("invalid env: {pair}")));
        };
        let list = &mut container["env"];
        let mut all = list.as_array().cloned().unwrap_or_default();
        all.push(json!({"name": key, "value": value}));
        *list = json!(all);
    }
    if !args.text("port").is_empty() {
        let port: i64 = args
            .text("port")
            .parse()
            .map_err(|_| Failure::message(format!("strconv.Atoi: parsing {:?}: invalid syntax", args.text("port"))))?;
        container["ports"] = json!([{"containerPort": port}]);
    }
    if !args.text("image-pull-policy").is_empty() {
        container["imagePullPolicy"] = json!(args.text("image-pull-policy"));
    }
    if args.bool("privileged") {
        container["securityContext"] = json!({"privileged": true});
    }
    if args.bool("stdin") {
        container["stdin"] = json!(true);
        if !args.bool("leave-stdin-open") {
            container["stdinOnce"] = json!(true);
        }
    }
    if args.bool("tty") {
        container["tty"] = json!(true);
    }
    let spec = json!({"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": args.text("restart")});
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}))
}

async fn expose(session: &Session, args: &Args, write: &Write, name: &str, namespace: &str) -> Outcome<Value> {
    let port: i64 = args.text("port").parse().unwrap_or_default();
    let labels = match args.text("labels") {
        "" => json!({"run": name}),
        given => pairs(given)?,
    };
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"creationTimestamp": null, "name": name},
        "spec": {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels},
        "status": {"loadBalancer": {}},
    });
    if !args.text("labels").is_empty() {
        service["metadata"]["labels"] = service["spec"]["selector"].clone();
    }
    if let Some(namespace) = session.given_namespace() {
        service["metadata"]["namespace"] = json!(namespace);
    }
    if write.dry_run != DryRun::Client {
        service = write.create(session, format!("/api/v1/namespaces/{namespace}/services"), &service).await?;
    }
    Ok(service)
}

/// Waits for the pod to run, attaches, and takes over the exit code of what ran in it.
async fn stay(session: &Session, args: &Args, path: &str) -> Outcome {
    let clock = session.env.clock.clone();
    let phase = |pod: &Value| pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
    let started = async {
        loop {
            let pod = session.json(Call::get(path)).await?;
            if ["Running", "Succeeded", "Failed"].contains(&phase(&pod).as_str()) {
                return Ok::<_, Failure>(pod);
            }
            clock.sleep(LOOK).await;
        }
    };
    let timed_out = |_| Failure::message("timed out waiting for the condition");
    let pod = clock.timeout(args.duration("pod-running-timeout"), started).await.map_err(timed_out)??;
    let container = super::logs::default_container(&pod)?;
    if phase(&pod) == "Running" {
        if attach_to(session, &pod, &container, args).await? == Left::Running {
            return Ok(());
        }
    } else {
        let log = Call::get(format!("{path}/log")).accept("*/*").query("container", container.clone());
        crate::output::out_bytes(&session.send(log).await?);
    }
    if args.text("restart") == "Always" {
        return Ok(());
    }
    // The end of the streams and the end of the pod's status are told apart.
    let ended = async {
        loop {
            let pod = session.json(Call::get(path)).await?;
            if ["Succeeded", "Failed"].contains(&phase(&pod).as_str()) {
                return Ok::<_, Failure>(pod);
            }
            clock.sleep(LOOK).await;
        }
    };
    let Ok(pod) = clock.timeout(Duration::from_secs(10), ended).await else { return Ok(()) };
    let statuses = pod?["status"]["containerStatuses"].clone();
    let code = statuses[0]["state"]["terminated"]["exitCode"].as_i64().unwrap_or_default();
    match u8::try_from(code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Code(code)),
        Err(_) => Err(Failure::Code(1)),
    }
}
