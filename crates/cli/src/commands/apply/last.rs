//! `kubectl apply view-last-applied`, `set-last-applied` and `edit-last-applied`.

use crate::changes::{MERGE, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR, VALIDATE};
use crate::commands::edit::{edited, without_comments};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean, text};
use crate::last_applied::{self, KEY};
use crate::output::{error_line, line, out};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::shared_flags::{ALL, FIELD_MANAGER, RECORD, WINDOWS_LINE_ENDINGS};
use crate::targets::{Target, fetched, from_files, targets};
use serde_json::{Value, json};

pub static VIEW: Command = Command {
    name: "view-last-applied",
    usage: "apply view-last-applied (TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME) [options]",
    short: "View the latest last-applied-configuration annotations by type/name or file",
    flags: &[FILES, &[SELECTOR, ALL, text("output", "yaml", "Output format. Must be one of (yaml, json)").short('o')]],
    run: Some(view),
    ..Command::EMPTY
};

pub static SET: Command = Command {
    name: "set-last-applied",
    usage: "apply set-last-applied -f FILENAME [options]",
    short: "Set the last-applied-configuration annotation on a live object to match the contents of a file",
    flags: &[
        PRINT,
        FILES,
        &[
            DRY_RUN,
            boolean(
                "create-annotation",
                "Will create 'last-applied-configuration' annotations if current objects doesn't have one",
            ),
        ],
    ],
    run: Some(set),
    ..Command::EMPTY
};

pub static EDIT: Command = Command {
    name: "edit-last-applied",
    usage: "apply edit-last-applied (RESOURCE/NAME | -f FILENAME) [options]",
    short: "Edit latest last-applied-configuration annotations of a resource/object",
    flags: &[PRINT, FILES, &[FIELD_MANAGER, RECORD, VALIDATE, WINDOWS_LINE_ENDINGS]],
    run: Some(edit),
    ..Command::EMPTY
};

fn absent(target: &Target) -> Failure {
    Failure::message(format!("no last-applied-configuration annotation found on resource: {}", target.name))
}

fn recorded(object: &Value) -> Option<Value> {
    serde_json::from_str(last_applied::of(object)?).ok()
}

fn view(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let as_json = match args.text("output") {
            "yaml" => false,
            "json" => true,
            other => {
                return Err(Failure::usage(
                    &session.path,
                    format!("Unexpected -o output mode: {other}, the flag 'output' must be one of yaml|json"),
                ));
            }
        };
        for (_, object) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            // Nothing is shown of what was never applied.
            let Some(found) = recorded(&object) else { continue };
            if as_json {
                // Two blanks a level here, unlike everywhere else.
                let text = serde_json::to_string_pretty(&found).map_err(|why| Failure::message(why.to_string()))?;
                line(&crate::print::json::escape(&text));
            } else {
                out(&wire::yaml::to_string(&found));
            }
        }
        Ok(())
    })
}

async fn write(session: &Session, write: &Write, target: &Target, mut wanted: Value) -> Outcome<Value> {
    last_applied::record(&mut wanted);
    let text = last_applied::of(&wanted).unwrap_or_default();
    let patch = json!({"metadata": {"annotations": {KEY: text}}});
    write.patch(session, target.path(None), MERGE, patch.to_string()).await
}

fn set(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let teller = Teller::of(&args)?;
        let change = Write::of(&args, "")?;
        let all = from_files(session, &args).await?;
        if all.is_empty() {
            return Err(Failure::message("no objects passed to set-last-applied"));
        }
        for target in all {
            let Some(wanted) = target.object.clone() else { continue };
            let live = target.get(session).await?;
            if last_applied::of(&live).is_none() && !args.bool("create-annotation") {
                return Err(Failure::message(format!(
                    "no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation",
                    target.name
                )));
            }
            let mut marked = wanted.clone();
            last_applied::record(&mut marked);
            if last_applied::of(&marked) == last_applied::of(&live) {
                line(&format!("set-last-applied {}: no changes required.", target.name));
                continue;
            }
            let done =
                if change.dry_run == DryRun::Client { live } else { write(session, &change, &target, wanted).await? };
            teller.tell(&done, &target.resource.shown(), "configured")?;
        }
        Ok(())
    })
}

const HEADER: &str = "# Please edit the 'last-applied-configuration' annotations below.
# Lines beginning with a '#' will be ignored, and an empty file will abort the edit.
#
";

fn edit(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let teller = Teller::of(&args)?;
        let change = Write::of(&args, "kubectl-client-side-apply")?;
        for (target, object) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            let found = recorded(&object).ok_or_else(|| absent(&target))?;
            let before = wire::yaml::to_string(&found);
            let body = without_comments(&edited(&args, &format!("{HEADER}{before}"))?);
            if body.trim().is_empty() {
                error_line("Edit cancelled, saved file was empty.");
                continue;
            }
            if body == before {
                error_line("Edit cancelled, no changes made.");
                continue;
            }
            let wanted = wire::yaml::parse(&body).map_err(|why| Failure::message(why.to_string()))?;
            let done = write(session, &change, &target, wanted).await?;
            teller.tell(&done, &target.resource.shown(), "edited")?;
        }
        Ok(())
    })
}
