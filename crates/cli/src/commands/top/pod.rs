//! `kubectl top pod`.

use super::amounts::{Used, cores, mebibytes, print};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::output::error_line;
use crate::print::{name_of, namespace_of};
use crate::session::{Call, Session};
use base::Timestamp;
use serde_json::Value;

const FLAGS: &[Flag] = &[
    boolean("all-namespaces", "If present, list the requested object(s) across all namespaces.").short('A'),
    boolean("containers", "If present, print usage of containers within a pod."),
    text("field-selector", "", "Selector (field query) to filter on, supports '=', '==', and '!='."),
    boolean("no-headers", "If present, print output without headers."),
    text("selector", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.").short('l'),
    boolean("show-swap", "Print pod resources related to swap memory."),
    text(
        "sort-by",
        "",
        "If non-empty, sort pods list using specified field. The field can be either 'cpu' or 'memory'.",
    ),
    boolean("sum", "Print the sum of the resource usage"),
    boolean("use-protocol-buffers", "Enables using protocol-buffers to access Metrics API."),
];

const USAGE: &str = "pod [NAME | -l label]";
/// Younger pods have a right to no metrics.
const DELAY_SECONDS: i64 = 120;

pub static COMMAND: Command = Command {
    name: "pod",
    aliases: &["pods", "po"],
    usage: "top pod [NAME | -l label] [options]",
    short: "Display resource (CPU/memory) usage of pods",
    long: "The 'top pod' command allows you to see the resource consumption of pods.\n\nDue to the metrics pipeline delay, they may be unavailable for a few minutes since pod creation.",
    examples: "# Show metrics for all pods in the default namespace\nkubectl top pod\n\n# Show metrics for all pods in the given namespace\nkubectl top pod --namespace=NAMESPACE\n\n# Show metrics for a given pod and its containers\nkubectl top pod POD_NAME --containers\n\n# Show metrics for the pods defined by label name=myLabel\nkubectl top pod -l name=myLabel",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        super::check(session, &args, USAGE, &["selector", "field-selector"], "selector").await?;
        let name = args.words.first().map(String::as_str).unwrap_or_default();
        let namespace = if args.bool("all-namespaces") { String::new() } else { session.namespace().await? };
        let metrics = match name {
            "" => listed(session, &super::path("pods", &namespace, ""), &args).await?,
            name => vec![session.json(Call::get(super::path("pods", &namespace, name))).await?],
        };
        if metrics.is_empty() {
            return explain(session, &namespace, &args).await;
        }
        let view = View {
            namespaces: args.bool("all-namespaces"),
            containers: args.bool("containers"),
            headers: !args.bool("no-headers"),
            sum: args.bool("sum"),
            swap: args.bool("show-swap"),
            sort: args.text("sort-by"),
        };
        print(&table(&metrics, &view));
        Ok(())
    })
}

async fn listed(session: &Session, path: &str, args: &Args) -> Outcome<Vec<Value>> {
    let call = Call::get(path)
        .query("labelSelector", args.text("selector"))
        .query("fieldSelector", args.text("field-selector"));
    let list = session.json(call).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// There are no pods, or nothing is known of them yet.
async fn explain(session: &Session, namespace: &str, args: &Args) -> Outcome {
    let path =
        if namespace.is_empty() { "/api/v1/pods".to_owned() } else { format!("/api/v1/namespaces/{namespace}/pods") };
    let now = session.env.clock.now();
    for pod in &listed(session, &path, args).await? {
        let created = pod["metadata"]["creationTimestamp"].as_str().and_then(|text| meta::time::parse(text).ok());
        let age = now.duration_since(created.unwrap_or(Timestamp::UNIX_EPOCH));
        if age.as_secs() > DELAY_SECONDS {
            let (namespace, name) = (namespace_of(pod), name_of(pod));
            let age = meta::time::format_duration(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
            return Err(Failure::message(format!("Metrics not available for pod {namespace}/{name}, age: {age}")));
        }
    }
    match namespace {
        "" => error_line("No resources found"),
        namespace => error_line(&format!("No resources found in {namespace} namespace.")),
    }
    Ok(())
}

#[derive(Default)]
pub struct View<'a> {
    pub namespaces: bool,
    pub containers: bool,
    pub headers: bool,
    pub sum: bool,
    pub swap: bool,
    pub sort: &'a str,
}

/// A pod and its containers.
struct Pod<'m> {
    namespace: &'m str,
    name: &'m str,
    used: Used,
    containers: Vec<(&'m str, Used)>,
}

impl<'m> Pod<'m> {
    fn read(metrics: &'m Value, sort: &str) -> Self {
        let list = metrics["containers"].as_array();
        let read = |one: &'m Value| (one["name"].as_str().unwrap_or_default(), Used::of(&one["usage"]));
        let mut containers: Vec<(&str, Used)> = list.into_iter().flatten().map(read).collect();
        containers.sort_by_key(|(name, used)| (used.order(sort), *name));
        let mut whole = Used::default();
        containers.iter().for_each(|(_, used)| whole.add(used));
        Pod { namespace: namespace_of(metrics), name: name_of(metrics), used: whole, containers }
    }
}

pub fn table(metrics: &[Value], view: &View<'_>) -> Vec<Vec<String>> {
    let mut pods: Vec<Pod<'_>> = metrics.iter().map(|one| Pod::read(one, view.sort)).collect();
    pods.sort_by_key(|pod| (pod.used.order(view.sort), if view.namespaces { pod.namespace } else { "" }, pod.name));
    let before = usize::from(view.namespaces) + usize::from(view.containers);
    let mut rows: Vec<Vec<String>> = Vec::new();
    if view.headers {
        let names = [
            (view.namespaces, "NAMESPACE"),
            (view.containers, "POD"),
            (true, "NAME"),
            (true, "CPU(cores)"),
            (true, "MEMORY(bytes)"),
            (view.swap, "SWAP(bytes)"),
        ];
        rows.push(names.iter().filter(|(shown, _)| *shown).map(|(_, name)| (*name).to_owned()).collect());
    }
    for pod in &pods {
        let place = |more: &[&str]| -> Vec<String> {
            let namespace = Some(pod.namespace).filter(|_| view.namespaces);
            namespace.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
        };
        match view.containers {
            false => rows.push(line(place(&[pod.name]), &pod.used, view)),
            true => rows.extend(pod.containers.iter().map(|(name, used)| line(place(&[pod.name, name]), used, view))),
        }
    }
    if view.sum {
        let mut whole = Used::default();
        pods.iter().for_each(|pod| whole.add(&pod.used));
        let blank = vec![String::new(); before + 1];
        let rules = if view.swap { 3 } else { 2 };
        rows.push(blank.iter().cloned().chain(std::iter::repeat_n("________".to_owned(), rules)).collect());
        rows.push(line(blank, &whole, view));
    }
    rows
}

fn line(mut row: Vec<String>, used: &Used, view: &View<'_>) -> Vec<String> {
    row.push(cores(used.cpu));
    row.push(mebibytes(used.memory));
    if view.swap {
        row.push(mebibytes(used.swap));
    }
    row
}
