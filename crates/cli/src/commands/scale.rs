//! `kubectl scale`.

use crate::change_cause;
use crate::changes::{MERGE, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, duration, int, text};
use crate::print::{DryRun, Teller};
use crate::session::{Call, Session};
use crate::shared_flags::{ALL, RECORD};
use crate::targets::{Target, listed, targets};
use serde_json::{Value, json};
use std::time::Duration;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    SELECTOR,
    ALL,
    int(
        "current-replicas",
        "-1",
        "Precondition for current size. Requires that the current size of the resource match this value in order to scale.",
    ),
    int("replicas", "0", "The new desired number of replicas. Required."),
    RECORD,
    text("resource-version", "", "Precondition for resource version."),
    duration(
        "timeout",
        "0s",
        "The length of time to wait before giving up on a scale operation, zero means don't wait.",
    ),
];

pub static COMMAND: Command = Command {
    name: "scale",
    usage: "scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME) [options]",
    short: "Set a new size for a deployment, replica set, or replication controller",
    examples: "# Scale a replica set named 'foo' to 3\nkubectl scale --replicas=3 rs/foo\n\n# Scale a resource identified by type and name specified in \"foo.yaml\" to 3\nkubectl scale --replicas=3 -f foo.yaml",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !args.has("replicas") {
            return Err(Failure::message("required flag(s) \"replicas\" not set"));
        }
        if args.int("replicas") < 0 {
            let text = "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0";
            return Err(Failure::message(text));
        }
        let teller = Teller::of(&args)?;
        let write = Write { manager: String::new(), ..Write::of(&args, "")? };
        let mut chosen = Vec::new();
        for target in targets(session, &args, &args.words).await? {
            if !target.name.is_empty() {
                chosen.push(target);
            } else if args.bool("all") || args.has("selector") {
                chosen.extend(listed(session, &args, target).await?.into_iter().map(|(target, _)| target));
            } else {
                return Err(Failure::message("resource(s) were provided, but no name was specified"));
            }
        }
        if chosen.is_empty() {
            return Err(Failure::message("no objects passed to scale"));
        }
        if let [only] = chosen.as_slice()
            && let Err(failure) = only.get(session).await
        {
            return Err(match failure.status() {
                Some(status) if failure.is_not_found() => {
                    Failure::message(format!("no objects passed to scale {}", status.message))
                }
                _ => failure,
            });
        }
        for target in chosen {
            scale(session, &args, &teller, &write, &target).await?;
        }
        Ok(())
    })
}

async fn scale(session: &Session, args: &Args, teller: &Teller, write: &Write, target: &Target) -> Outcome {
    if write.dry_run == DryRun::Client {
        let object = target.get(session).await?;
        return teller.tell(&object, &target.resource.shown(), "scaled");
    }
    let mut patch = json!({"spec": {"replicas": args.int("replicas")}});
    if args.int("current-replicas") != -1 || !args.text("resource-version").is_empty() {
        let live = session.json(Call::get(target.path(Some("scale")))).await?;
        precondition(args, &live)?;
        patch["metadata"] = json!({"resourceVersion": live["metadata"]["resourceVersion"]});
    }
    write.patch(session, target.path(Some("scale")), MERGE, patch.to_string()).await?;
    if !args.duration("timeout").is_zero() {
        wait(session, args, target).await?;
    }
    if let Some(cause) = change_cause::patch(&session.path, args) {
        write.patch(session, target.path(None), MERGE, cause.to_string()).await?;
    }
    let object = target.get(session).await?;
    teller.tell(&object, &target.resource.shown(), "scaled")
}

fn precondition(args: &Args, live: &Value) -> Outcome {
    let (expected, found) = (args.int("current-replicas"), live["spec"]["replicas"].as_i64().unwrap_or_default());
    if expected != -1 && expected != found {
        return Err(Failure::message(format!("Expected replicas to be {expected}, was {found}")));
    }
    let (expected, found) = (args.text("resource-version"), live["metadata"]["resourceVersion"].as_str());
    if !expected.is_empty() && Some(expected) != found {
        let text = format!("Expected resource version to be {expected}, was {}", found.unwrap_or_default());
        return Err(Failure::message(text));
    }
    Ok(())
}

async fn wait(session: &Session, args: &Args, target: &Target) -> Outcome {
    let clock = session.env.clock.clone();
    let reached = async {
        loop {
            let scale = session.json(Call::get(target.path(Some("scale")))).await?;
            if scale["status"]["replicas"].as_i64().unwrap_or_default() == args.int("replicas") {
                return Ok(());
            }
            clock.sleep(Duration::from_millis(500)).await;
        }
    };
    let limit = args.duration("timeout");
    clock.timeout(limit, reached).await.unwrap_or_else(|_| Err(Failure::message("timed out waiting for the condition")))
}
