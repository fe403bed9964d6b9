//! `kubectl logs`.

use crate::command::{Command, Done, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, duration, int, text};
use crate::output::{error_line, out, out_bytes};
use crate::session::{Call, Session};
use crate::targets::Target;
use serde_json::Value;
use std::sync::Mutex;

const FLAGS: &[Flag] = &[
    SELECTOR,
    boolean("all-containers", "Get all containers' logs in the pod(s)."),
    boolean("all-pods", "Get logs from all pod(s). Sets prefix to true."),
    text("container", "", "Print the logs of this container").short('c'),
    boolean("follow", "Specify if the logs should be streamed.").short('f'),
    boolean("ignore-errors", "If watching / following pod logs, allow for any errors that occur to be non-fatal"),
    int("limit-bytes", "0", "Maximum bytes of logs to return. Defaults to no limit."),
    int(
        "max-log-requests",
        "5",
        "Specify maximum number of concurrent logs to follow when using by a selector. Defaults to 5.",
    ),
    duration(
        "pod-running-timeout",
        "20s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    ),
    boolean(
        "insecure-skip-tls-verify-backend",
        "Skip verifying the identity of the kubelet that logs are requested from. In theory, an attacker could provide invalid log content back. You might want to use this if your kubelet serving certificates have expired.",
    ),
    boolean("prefix", "Prefix each log line with the log source (pod name and container name)"),
    boolean("previous", "If true, print the logs for the previous instance of the container in a pod if it exists.")
        .short('p'),
    duration("since", "0s", "Only return logs newer than a relative duration like 5s, 2m, or 3h."),
    text("since-time", "", "Only return logs after a specific date (RFC3339)."),
    int(
        "tail",
        "-1",
        "Lines of recent log file to display. Defaults to -1 with no selector, showing all log lines otherwise 10, if a selector is provided.",
    ),
    boolean("timestamps", "Include timestamps on each line in the log output"),
];

pub static COMMAND: Command = Command {
    name: "logs",
    usage: "logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [options]",
    short: "Print the logs for a container in a pod",
    examples: "# Return snapshot logs from pod nginx with only one container\nkubectl logs nginx\n\n# Begin streaming the logs of the ruby container in pod web-1\nkubectl logs -f -c ruby web-1\n\n# Display only the most recent 20 lines of output in pod nginx\nkubectl logs --tail=20 nginx",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

const EXPECTED: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let by_selector = !args.text("selector").is_empty();
        if args.words.is_empty() && !by_selector {
            return Err(Failure::usage(&session.path, EXPECTED));
        }
        if args.has("since") && args.has("since-time") {
            return Err(Failure::message("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        let pods = pods(session, &args).await?;
        let mut sources = Vec::new();
        for pod in &pods {
            for container in containers(pod, &args)? {
                sources.push((pod, container));
            }
        }
        let limit = usize::try_from(args.int("max-log-requests")).unwrap_or(1).max(1);
        if args.bool("follow") && sources.len() > limit {
            return Err(Failure::message(format!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {limit}, use --max-log-requests to increase the limit",
                sources.len()
            )));
        }
        let printing = Mutex::new(());
        if args.bool("follow") && sources.len() > 1 {
            let streams = sources.iter().map(|(pod, container)| print(session, &args, pod, container, &printing));
            let ended: Vec<Outcome> = futures_util::future::join_all(streams).await;
            return Failure::collect(ended.into_iter().filter_map(Result::err).collect());
        }
        for (pod, container) in &sources {
            let printed = print(session, &args, pod, container, &printing).await;
            match printed {
                Err(failure) if args.bool("ignore-errors") => error_line(&failure.to_string()),
                other => other?,
            }
        }
        Ok(())
    })
}

/// The pods that are meant: by name, by selector, or those of a workload.
async fn pods(session: &Session, args: &Args) -> Outcome<Vec<Value>> {
    let words = &args.words;
    let namespace = session.namespace().await?;
    let of_selector = |selector: String| {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        async move {
            let list = session.json(Call::get(path).query("labelSelector", selector)).await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            Ok::<_, Failure>(items)
        }
    };
    if words.is_empty() {
        let found = of_selector(args.text("selector").to_owned()).await?;
        if found.is_empty() {
            error_line(&format!("No resources found in {namespace} namespace."));
        }
        return Ok(found);
    }
    let (pod, all) = match words[0].split_once('/') {
        None => return Ok(vec![pod_for_logs(session, &words[0]).await?]),
        Some(("pod" | "pods" | "po", name)) => return Ok(vec![pod_for_logs(session, name).await?]),
        Some(_) => pod_of(session, &words[0]).await.map_err(|failure| in_namespace(failure, &namespace))?,
    };
    if args.bool("all-pods") {
        return Ok(all);
    }
    if all.len() > 1 {
        let name = crate::print::name_of(&pod);
        error_line(&format!("Found {} pods, using pod/{name}", all.len()));
    }
    Ok(vec![pod])
}

pub async fn pod(session: &Session, name: &str) -> Outcome<Value> {
    let namespace = session.namespace().await?;
    session.json(Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}"))).await
}

/// The same for logs, which tell in which namespace there is no such pod.
async fn pod_for_logs(session: &Session, name: &str) -> Outcome<Value> {
    let namespace = session.namespace().await?;
    pod(session, name).await.map_err(|failure| in_namespace(failure, &namespace))
}

fn in_namespace(failure: Failure, namespace: &str) -> Failure {
    match failure.status() {
        Some(status) if failure.is_not_found() => {
            Failure::message(format!("error from server (NotFound): {} in namespace {namespace:?}", status.message))
        }
        _ => failure,
    }
}

/// The pod that a workload or service is best represented by (a ready one, the oldest), and all
/// of its pods.
pub async fn pod_of(session: &Session, word: &str) -> Outcome<(Value, Vec<Value>)> {
    let targets = crate::targets::from_words(session, &[word.to_owned()], false).await?;
    let Some(target) = targets.first() else { return Err(Failure::message(EXPECTED)) };
    let object = target.get(session).await?;
    if object["kind"] == "Pod" {
        return Ok((object.clone(), vec![object]));
    }
    let mut found = session.json(Call::get(path_of(target)).query("labelSelector", selector(&object)?)).await?;
    let mut pods = found["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let rank = |pod: &Value| {
        let ready = meta::conditions::is_true(&pod["status"]["conditions"], "Ready");
        let running = pod["status"]["phase"] == "Running";
        (!running, !ready, pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned())
    };
    pods.sort_by_key(rank);
    match pods.first().cloned() {
        Some(pod) => Ok((pod, pods)),
        None => Err(Failure::message("timed out waiting for the condition")),
    }
}

fn path_of(target: &Target) -> String {
    format!("/api/v1/namespaces/{}/pods", target.namespace.as_deref().unwrap_or_default())
}

pub fn selector(object: &Value) -> Outcome<String> {
    let spec = &object["spec"]["selector"];
    let refused = |why: String| Failure::message(why);
    let selector = match object["kind"].as_str().unwrap_or_default() {
        "Service" | "ReplicationController" => {
            let labels = serde_json::from_value(spec.clone()).unwrap_or_default();
            meta::labels::Selector::from_set(&labels)
        }
        _ => meta::labels::Selector::from_json(spec).map_err(|why| refused(why.to_string()))?,
    };
    if selector.requirements().is_empty() {
        let kind = object["kind"].as_str().unwrap_or_default();
        return Err(refused(format!("cannot get the logs from {kind}: it selects no pods")));
    }
    Ok(selector.to_string())
}

/// The containers of a pod whose logs are meant.
fn containers(pod: &Value, args: &Args) -> Outcome<Vec<String>> {
    let names = |list: &str| -> Vec<String> {
        let list = pod["spec"][list].as_array();
        list.into_iter().flatten().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
    };
    let (init, plain, ephemeral) = (names("initContainers"), names("containers"), names("ephemeralContainers"));
    if args.bool("all-containers") {
        return Ok([init, plain, ephemeral].concat());
    }
    let second = args.words.get(1).map(String::as_str);
    let asked = Some(args.text("container")).filter(|name| !name.is_empty()).or(second);
    let name = crate::print::name_of(pod);
    if let Some(asked) = asked {
        let known = [&init, &plain, &ephemeral].into_iter().flatten().any(|one| one == asked);
        if !known {
            return Err(Failure::message(format!("container {asked} is not valid for pod {name}")));
        }
        return Ok(vec![asked.to_owned()]);
    }
    if args.bool("all-pods") {
        return Ok(vec![chosen(pod)?.0]);
    }
    Ok(vec![default_container(pod)?])
}

/// The container a command is for where none is named: the annotated one, or the first, with a
/// word on the others.
pub fn default_container(pod: &Value) -> Outcome<String> {
    let (container, word) = chosen(pod)?;
    if let Some(word) = word {
        error_line(&word);
    }
    Ok(container)
}

fn chosen(pod: &Value) -> Outcome<(String, Option<String>)> {
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    let names: Vec<&str> = ["containers", "ephemeralContainers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    if let Some(annotated) = annotated.filter(|name| names.contains(name)) {
        return Ok((annotated.to_owned(), None));
    }
    let Some(first) = names.first() else { return Err(Failure::message("the pod has no containers")) };
    let word = (names.len() > 1).then(|| {
        let init = pod["spec"]["initContainers"].as_array().map_or(0, Vec::len);
        let shown: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| if at + init >= names.len() { format!("{name} (init)") } else { (*name).to_owned() })
            .collect();
        format!("Defaulted container {first:?} out of: {}", shown.join(", "))
    });
    Ok(((*first).to_owned(), word))
}

async fn print(session: &Session, args: &Args, pod: &Value, container: &str, printing: &Mutex<()>) -> Outcome {
    let name = crate::print::name_of(pod);
    let namespace = crate::print::namespace_of(pod);
    let flag = |name: &str| if args.bool(name) { "true" } else { "" };
    let mut call = Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log"))
        .accept("*/*")
        .query("container", container)
        .query("follow", flag("follow"))
        .query("previous", flag("previous"))
        .query("timestamps", flag("timestamps"))
        .query("insecureSkipTLSVerifyBackend", flag("insecure-skip-tls-verify-backend"))
        .query("sinceTime", args.text("since-time"));
    let tail = if !args.has("tail") && !args.text("selector").is_empty() { 10 } else { args.int("tail") };
    if tail >= 0 {
        call = call.query("tailLines", tail.to_string());
    }
    if args.int("limit-bytes") > 0 {
        call = call.query("limitBytes", args.int("limit-bytes").to_string());
    }
    if !args.duration("since").is_zero() {
        call = call.query("sinceSeconds", args.duration("since").as_secs().max(1).to_string());
    }
    let mut body = session.stream(call).await?;
    let prefix = args.bool("prefix") || args.bool("all-pods");
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|why| Failure::message(why.to_string()))?;
        if !prefix {
            out_bytes(&piece);
            continue;
        }
        rest.extend_from_slice(&piece);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = rest.drain(..whole).collect();
        let _one_at_a_time = printing.lock();
        for line in String::from_utf8_lossy(&lines).split_inclusive('\n') {
            out(&format!("[pod/{name}/{container}] {line}"));
        }
    }
    if !rest.is_empty() {
        out(&format!("[pod/{name}/{container}] {}\n", String::from_utf8_lossy(&rest)));
    }
    Ok(())
}
