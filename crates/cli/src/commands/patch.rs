//! `kubectl patch`: a patch of one's own, on the server or on a file.

use crate::changes::{JSON_PATCH, MERGE, STRATEGIC, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, text};
use crate::print::{DryRun, Teller};
use crate::session::{Call, Session};
use crate::shared_flags::{FIELD_MANAGER, LOCAL, RECORD, SUBRESOURCE};
use crate::targets::{Target, objects, targets};
use serde_json::Value;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    FIELD_MANAGER,
    LOCAL,
    RECORD,
    text("patch", "", "The patch to be applied to the resource JSON file.").short('p'),
    text("patch-file", "", "A file containing a patch to be applied to the resource."),
    SUBRESOURCE,
    text("type", "strategic", "The type of patch being provided; one of [json merge strategic]"),
];

pub static COMMAND: Command = Command {
    name: "patch",
    usage: "patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE] [options]",
    short: "Update fields of a resource",
    examples: "# Partially update a node using a strategic merge patch, specifying the patch as JSON\nkubectl patch node k8s-node-1 -p '{\"spec\":{\"unschedulable\":true}}'\n\n# Update a container's image using a JSON patch with positional arrays\nkubectl patch pod valid-pod --type='json' -p='[{\"op\": \"replace\", \"path\": \"/spec/containers/0/image\", \"value\":\"new image\"}]'",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let (inline, file) = (args.text("patch"), args.text("patch-file"));
        let text = match (inline.is_empty(), file.is_empty()) {
            (true, true) => {
                return Err(Failure::message(
                    "must specify --patch or --patch-file containing the contents of the patch",
                ));
            }
            (false, false) => return Err(Failure::message("cannot specify --patch and --patch-file together")),
            (false, true) => inline.to_owned(),
            (true, false) => crate::targets::read(file.as_ref())?,
        };
        let media_type = match args.text("type") {
            "json" => JSON_PATCH,
            "merge" => MERGE,
            "strategic" => STRATEGIC,
            other => {
                let text = format!("--type must be one of [json merge strategic], not {other:?}");
                return Err(Failure::message(text));
            }
        };
        // What looks like JSON is the server's to read.
        let patch = if text.trim_start().starts_with('{') {
            text
        } else {
            let parsed = wire::yaml::parse(&text);
            parsed.map_err(|why| Failure::message(format!("unable to parse {text:?}: {why}")))?.to_string()
        };
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-patch")?;
        if args.bool("local") {
            for (_, object) in objects(session, &args).await? {
                let patched = locally(&object, &patch, media_type)?;
                let told = if patched == object { "patched (no change)" } else { "patched" };
                let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
                teller.tell(&patched, &kind, told)?;
            }
            return Ok(());
        }
        let sub = Some(args.text("subresource")).filter(|sub| !sub.is_empty());
        for target in targets(session, &args, &args.words).await? {
            if target.name.is_empty() {
                return Err(Failure::message("resource(s) were provided, but no name was specified"));
            }
            let live = session.json(Call::get(target.path(sub))).await?;
            let mut patched = if write.dry_run == DryRun::Client {
                locally(&live, &patch, media_type)?
            } else {
                write.patch(session, target.path(sub), media_type, patch.clone()).await?
            };
            if let Some(cause) =
                crate::change_cause::patch(&session.path, &args).filter(|_| write.dry_run == DryRun::None)
            {
                patched = write.patch(session, target.path(None), MERGE, cause.to_string()).await?;
            }
            let told = if patched == live { "patched (no change)" } else { "patched" };
            teller.tell(&patched, &shown(&patched, &target), told)?;
        }
        Ok(())
    })
}

/// A subresource may be of a kind of its own.
fn shown(patched: &Value, target: &Target) -> String {
    let text = |field: &str| patched[field].as_str().unwrap_or_default();
    let kind = text("kind");
    if kind == target.resource.kind {
        return target.resource.shown();
    }
    match text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{}.{group}", kind.to_lowercase()),
        None => kind.to_lowercase(),
    }
}

fn locally(object: &Value, patch: &str, media_type: &str) -> Outcome<Value> {
    let patched = match media_type {
        JSON_PATCH => wire::patch::json_patch(object, patch.as_bytes()),
        MERGE => wire::patch::merge_patch(object, patch.as_bytes()),
        _ => {
            let text = |field: &str| object[field].as_str().unwrap_or_default();
            let Some(id) = kinds::type_of_version(text("apiVersion"), text("kind")) else {
                return Err(Failure::message("strategic merge patch is not supported for this kind; use --type=merge"));
            };
            let patch: Value = serde_json::from_str(patch)
                .map_err(|why| Failure::message(format!("unable to parse {patch:?}: {why}")))?;
            wire::patch::strategic_merge(object, &patch, &kinds::schema().cursor(id))
        }
    };
    patched.map_err(|why| Failure::message(why.to_string()))
}
