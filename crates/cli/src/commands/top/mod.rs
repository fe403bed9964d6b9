//! `kubectl top`: what nodes and pods use, as the Metrics API tells it.

mod amounts;
mod node;
mod pod;
#[cfg(test)]
mod tests;

use crate::command::Command;
use crate::discovery::Discovery;
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::session::Session;

pub static COMMAND: Command = Command {
    name: "top",
    usage: "top [flags] [options]",
    short: "Display resource (CPU/memory) usage",
    long: "The top command allows you to see the resource consumption for nodes or pods.\n\nThis command requires Metrics Server to be correctly configured and working on the server.",
    children: &[&node::COMMAND, &pod::COMMAND],
    ..Command::EMPTY
};

const GROUP: &str = "metrics.k8s.io";
/// Versions that are understood, the best first.
const VERSION: &str = "v1beta1";

/// Where the Metrics API's objects are.
fn path(resource: &str, namespace: &str, name: &str) -> String {
    let mut path = format!("/apis/{GROUP}/{VERSION}");
    if !namespace.is_empty() {
        path.push_str(&format!("/namespaces/{namespace}"));
    }
    path.push_str(&format!("/{resource}"));
    if !name.is_empty() {
        path.push_str(&format!("/{name}"));
    }
    path
}

/// What both commands check before they ask.
async fn check(session: &Session, args: &Args, usage: &str, selectors: &[&str], selector: &str) -> Outcome {
    if args.words.len() > 1 {
        return Err(Failure::usage(&session.path, usage));
    }
    let sort = args.text("sort-by");
    if !matches!(sort, "" | "cpu" | "memory") {
        return Err(Failure::message("--sort-by accepts only cpu or memory"));
    }
    if !args.words.is_empty() && selectors.iter().any(|flag| !args.text(flag).is_empty()) {
        return Err(Failure::message(format!("only one of NAME or {selector} can be provided")));
    }
    let discovery: &Discovery = session.discovery().await?;
    let served = |(group, version): &(String, String)| group == GROUP && version == VERSION;
    if discovery.versions().iter().any(served) { Ok(()) } else { Err(Failure::message("Metrics API not available")) }
}
