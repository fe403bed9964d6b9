//! `kubectl cordon` and `kubectl uncordon`: whether a node takes new pods.

use crate::changes::{STRATEGIC, Write};
use crate::command::{Command, DRY_RUN, Done, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::output::line;
use crate::print::DryRun;
use crate::session::Session;
use crate::targets::{Target, fetched, from_words};
use serde_json::{Value, json};

pub static CORDON: Command = Command {
    name: "cordon",
    usage: "cordon NODE [options]",
    short: "Mark node as unschedulable",
    examples: "# Mark node \"foo\" as unschedulable\nkubectl cordon foo",
    flags: &[&[DRY_RUN, SELECTOR]],
    run: Some(|session, args| run(session, args, true)),
    ..Command::EMPTY
};

pub static UNCORDON: Command = Command {
    name: "uncordon",
    usage: "uncordon NODE [options]",
    short: "Mark node as schedulable",
    examples: "# Mark node \"foo\" as schedulable\nkubectl uncordon foo",
    flags: &[&[DRY_RUN, SELECTOR]],
    run: Some(|session, args| run(session, args, false)),
    ..Command::EMPTY
};

fn run<'a>(session: &'a Session, args: Args, closes: bool) -> Done<'a> {
    Box::pin(async move {
        if args.words.is_empty() && args.text("selector").is_empty() {
            let usage = if closes { "cordon NODE [options]" } else { "uncordon NODE [options]" };
            return Err(Failure::usage(&session.path, format!("USAGE: {usage}")));
        }
        let write = Write { manager: String::new(), ..Write::of(&args, "")? };
        let words: Vec<String> = ["nodes".to_owned()].into_iter().chain(args.words.iter().cloned()).collect();
        for (target, node) in fetched(session, &args, from_words(session, &words, false).await?).await? {
            close(session, &write, &target, &node, closes).await?;
        }
        Ok(())
    })
}

/// Closes a node or opens it, and says so.
pub(super) async fn close(session: &Session, write: &Write, target: &Target, node: &Value, closes: bool) -> Outcome {
    let (told, suffix) = (if closes { "cordoned" } else { "uncordoned" }, write.dry_run.suffix());
    if (node["spec"]["unschedulable"] == true) == closes {
        line(&format!("node/{} already {told}{suffix}", target.name));
        return Ok(());
    }
    if write.dry_run != DryRun::Client {
        let wanted = if closes { json!(true) } else { json!(null) };
        let patch = json!({"spec": {"unschedulable": wanted}});
        write.patch(session, target.path(None), STRATEGIC, patch.to_string()).await?;
    }
    line(&format!("node/{} {told}{suffix}", target.name));
    Ok(())
}
