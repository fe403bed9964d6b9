//! `kubectl set selector`.

use super::change::{ALWAYS_TOLD, FLAGS, change};
use crate::command::{Command, Done, FILES, PRINT};
use crate::commands::expose::pairs;
use crate::failure::Failure;
use crate::flags::{Args, text};
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "selector",
    usage: "set selector (-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version] [options]",
    short: "Set the selector on a resource",
    flags: &[
        PRINT,
        FILES,
        FLAGS,
        &[text(
            "resource-version",
            "",
            "If non-empty, the selectors update will only succeed if this is the current resource-version for the object.",
        )],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let Some((expression, words)) = args.words.split_last().filter(|(last, _)| last.contains('=')) else {
            return Err(Failure::message("a selector is required"));
        };
        let selector = pairs(expression)?;
        change(session, &args, words, ALWAYS_TOLD, &|object| {
            if object["kind"] != "Service" {
                let kind = object["kind"].as_str().unwrap_or_default();
                return Err(Failure::message(format!("setting a selector is only supported for Services, not {kind}")));
            }
            object["spec"]["selector"] = selector.clone();
            if !args.text("resource-version").is_empty() {
                object["metadata"]["resourceVersion"] = json!(args.text("resource-version"));
            }
            Ok(())
        })
        .await
    })
}
