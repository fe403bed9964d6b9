//! `kubectl top node`.

use super::amounts::{Used, cores, mebibytes, percent, print};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::print::name_of;
use crate::session::{Call, Session};
use meta::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

const FLAGS: &[Flag] = &[
    boolean("no-headers", "If present, print output without headers"),
    text("selector", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.").short('l'),
    boolean("show-capacity", "Print node resources based on Capacity instead of Allocatable(default) of the nodes."),
    boolean("show-swap", "Print node resources related to swap memory."),
    text(
        "sort-by",
        "",
        "If non-empty, sort nodes list using specified field. The field can be either 'cpu' or 'memory'.",
    ),
    boolean("use-protocol-buffers", "Enables using protocol-buffers to access Metrics API."),
];

const USAGE: &str = "node [NAME | -l label]";

pub static COMMAND: Command = Command {
    name: "node",
    aliases: &["nodes", "no"],
    usage: "top node [NAME | -l label] [options]",
    short: "Display resource (CPU/memory) usage of nodes",
    long: "The top-node command allows you to see the resource consumption of nodes.",
    examples: "# Show metrics for all nodes\nkubectl top node\n\n# Show metrics for a given node\nkubectl top node NODE_NAME",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        super::check(session, &args, USAGE, &["selector"], "--selector").await?;
        let name = args.words.first().map(String::as_str).unwrap_or_default();
        let metrics = listed(session, &super::path("nodes", "", ""), name, &args).await?;
        if metrics.is_empty() {
            return Err(Failure::message("metrics not available yet"));
        }
        let nodes = listed(session, "/api/v1/nodes", name, &args).await?;
        print(&table(&metrics, &nodes, &View::of(&args)));
        Ok(())
    })
}

/// The one that is named, or all that are selected.
async fn listed(session: &Session, path: &str, name: &str, args: &Args) -> Outcome<Vec<Value>> {
    if !name.is_empty() {
        return Ok(vec![session.json(Call::get(format!("{path}/{name}"))).await?]);
    }
    let list = session.json(Call::get(path).query("labelSelector", args.text("selector"))).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

pub struct View<'a> {
    pub sort: &'a str,
    pub headers: bool,
    pub capacity: bool,
    pub swap: bool,
}

impl<'a> View<'a> {
    fn of(args: &'a Args) -> Self {
        View {
            sort: args.text("sort-by"),
            headers: !args.bool("no-headers"),
            capacity: args.bool("show-capacity"),
            swap: args.bool("show-swap"),
        }
    }
}

pub fn table(metrics: &[Value], nodes: &[Value], view: &View<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if view.headers {
        rows.push(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"].map(str::to_owned).to_vec());
        if view.swap {
            rows[0].extend(["SWAP(bytes)", "SWAP(%)"].map(str::to_owned));
        }
    }
    let mut there: BTreeMap<&str, &Value> = nodes.iter().map(|node| (name_of(node), node)).collect();
    let mut used: Vec<(&str, Used)> = metrics.iter().map(|one| (name_of(one), Used::of(&one["usage"]))).collect();
    used.sort_by_key(|(name, used)| (used.order(view.sort), *name));
    for (name, used) in used {
        let node = there.remove(name).unwrap_or(&Value::Null);
        rows.push(row(name, &used, node, view));
    }
    // Those whose use nobody could tell.
    let unknown = if view.swap { 6 } else { 4 };
    for name in there.keys() {
        let mut row = vec![(*name).to_owned()];
        row.resize(unknown + 1, "<unknown>".to_owned());
        rows.push(row);
    }
    rows
}

fn row(name: &str, used: &Used, node: &Value, view: &View<'_>) -> Vec<String> {
    let whole = &node["status"][if view.capacity { "capacity" } else { "allocatable" }];
    let mut row = vec![name.to_owned()];
    let share = |part: Quantity, whole: &Value| {
        let whole = whole.as_str().and_then(|text| Quantity::parse(text).ok());
        whole.map(|whole| percent(part, whole))
    };
    row.push(cores(used.cpu));
    row.extend(share(used.cpu, &whole["cpu"]));
    row.push(mebibytes(used.memory));
    row.extend(share(used.memory, &whole["memory"]));
    if view.swap {
        let whole = node["status"]["nodeInfo"]["swap"]["capacity"].as_i64().filter(|bytes| *bytes > 0);
        row.push(mebibytes(used.swap));
        row.push(whole.map_or_else(|| "<unknown>".to_owned(), |bytes| percent(used.swap, Quantity::bytes(bytes))));
    }
    row
}
