//! `kubectl describe`.

use crate::command::{Command, Done, FILES, SELECTOR};
use crate::describe::describe;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, int};
use crate::output::{error_line, out};
use crate::session::Session;
use crate::targets::{Target, listed, targets};
use serde_json::Value;

const FLAGS: &[Flag] = &[
    SELECTOR,
    boolean("all-namespaces", "If present, list the requested object(s) across all namespaces.").short('A'),
    int("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable."),
    Flag { default: "true", ..boolean("show-events", "If true, display events related to the described object.") },
];

pub static COMMAND: Command = Command {
    name: "describe",
    usage: "describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME) [options]",
    short: "Show details of a specific resource or group of resources",
    examples: "# Describe a node\nkubectl describe nodes kubernetes-node-emt8.c.myproject.internal\n\n# Describe a pod\nkubectl describe pods/nginx\n\n# Describe all pods\nkubectl describe pods",
    flags: &[FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.words.is_empty() && args.list("filename").is_empty() {
            let text = "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.";
            return Err(Failure::message(text));
        }
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for target in targets(session, &args, &args.words).await? {
            match objects(session, &args, target).await {
                Ok(objects) => found.extend(objects),
                Err(failure) => failures.push(failure),
            }
        }
        for (at, (target, object)) in found.iter().enumerate() {
            let text = describe(session, target, object, args.bool("show-events")).await?;
            let gap = if at > 0 { "\n\n" } else { "" };
            out(&format!("{gap}{text}"));
        }
        if found.is_empty() && failures.is_empty() {
            match session.namespace().await {
                Ok(namespace) if !args.bool("all-namespaces") => {
                    error_line(&format!("No resources found in {namespace} namespace."));
                }
                _ => error_line("No resources found"),
            }
        }
        Failure::collect(failures)
    })
}

/// The object of a name, those whose names begin with it, or all.
async fn objects(session: &Session, args: &Args, target: Target) -> Outcome<Vec<(Target, Value)>> {
    if target.name.is_empty() {
        return listed(session, args, target).await;
    }
    let failure = match target.get(session).await {
        Ok(object) => return Ok(vec![(target, object)]),
        Err(failure) if failure.is_not_found() && !args.words.iter().any(|word| word.contains('/')) => failure,
        Err(failure) => return Err(failure),
    };
    let prefix = target.name.clone();
    let all = listed(session, args, Target { name: String::new(), ..target }).await?;
    let matching: Vec<_> = all.into_iter().filter(|(target, _)| target.name.starts_with(&prefix)).collect();
    if matching.is_empty() { Err(failure) } else { Ok(matching) }
}
