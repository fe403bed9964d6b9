//! `kubectl diff`: what an apply would change, shown by `diff` or the program of
//! `KUBECTL_EXTERNAL_DIFF`. Exits with 1 where something would.

use super::apply::patch_of;
use crate::changes::Write;
use crate::command::{Command, Done, FILES, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, int, repeat};
use crate::last_applied;
use crate::print::{DryRun, hide_managed_fields};
use crate::session::Session;
use crate::shared_flags::FIELD_MANAGER;
use crate::targets::{Target, from_files};
use serde_json::{Value, json};
use std::path::Path;

const FLAGS: &[Flag] = &[
    SELECTOR,
    FIELD_MANAGER,
    int("concurrency", "1", "Number of objects to process in parallel when diffing against the live version."),
    boolean("force-conflicts", "If true, server-side apply will force the changes against conflicts."),
    boolean("prune", "Include resources that would be deleted by pruning."),
    repeat("prune-allowlist", "Overwrite the default allowlist with <group/version/kind> for --prune"),
    boolean("server-side", "If true, apply runs in the server instead of the client."),
    boolean("show-managed-fields", "If true, include managed fields in the diff."),
    boolean("show-secrets", "If true, do not mask the values of secrets."),
];

pub static COMMAND: Command = Command {
    name: "diff",
    usage: "diff -f FILENAME [options]",
    short: "Diff the live version against a would-be applied version",
    long: "KUBECTL_EXTERNAL_DIFF names the program that shows differences; by default \"diff\" with -u and -N.\n\nExit status: 0 No differences were found. 1 Differences were found. >1 Kubectl or diff failed with an error.",
    examples: "# Diff resources included in pod.json\nkubectl diff -f pod.json\n\n# Diff file read from stdin\ncat service.yaml | kubectl diff -f -",
    flags: &[FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// Failures of kubectl itself leave 1 to differences.
fn trouble(failure: Failure) -> Failure {
    crate::output::error_line(&failure.to_string());
    Failure::Code(2)
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !crate::targets::gives_files(&args)? {
            return Err(Failure::message("must specify one of -f and -k"));
        }
        if args.bool("prune") {
            return Err(trouble(Failure::message(
                "--prune is not supported by diff; use apply --prune --dry-run=server",
            )));
        }
        compare(session, &args).await
    })
}

async fn compare(session: &Session, args: &Args) -> Outcome {
    let folder = |name: &str| {
        let made = tempfile::Builder::new().prefix(name).tempdir();
        made.map_err(|why| trouble(Failure::message(format!("cannot make a folder to compare in: {why}"))))
    };
    let (live_folder, merged_folder) = (folder("LIVE-")?, folder("MERGED-")?);
    let selector = meta::labels::Selector::parse(args.text("selector"))
        .map_err(|why| trouble(Failure::message(why.to_string())))?;
    for target in from_files(session, args).await.map_err(trouble)? {
        let labels = target.object.as_ref().map(|object| &object["metadata"]["labels"]);
        if !selector.matches_with(|key| labels.and_then(|labels| labels[key].as_str())) {
            continue;
        }
        let (mut live, mut merged) = versions(session, args, &target).await.map_err(trouble)?;
        for object in [&mut live, &mut merged] {
            if !args.bool("show-managed-fields") {
                hide_managed_fields(object);
            }
        }
        if target.resource.kind == "Secret" && !args.bool("show-secrets") {
            mask(&mut live, &mut merged);
        }
        write(live_folder.path(), &target, &live).map_err(trouble)?;
        write(merged_folder.path(), &target, &merged).map_err(trouble)?;
    }
    show(live_folder.path(), merged_folder.path())
}

/// The object as it is (null where it is not) and as it would be.
async fn versions(session: &Session, args: &Args, target: &Target) -> Outcome<(Value, Value)> {
    let Some(wanted) = target.object.clone() else { return Ok((Value::Null, Value::Null)) };
    let live = match target.get(session).await {
        Ok(live) => live,
        Err(failure) if failure.is_not_found() => Value::Null,
        Err(failure) => return Err(failure),
    };
    let server_side = args.bool("server-side");
    let manager = if server_side { "kubectl" } else { "kubectl-client-side-apply" };
    let write = Write { dry_run: DryRun::Server, ..Write::of(args, manager)? };
    if server_side {
        let merged = write.apply(session, target.path(None), &wanted, args.bool("force-conflicts")).await?;
        return Ok((live, merged));
    }
    // Unlike apply, this leaves no note of what was applied, which would only show as a difference.
    let modified = last_applied::without(wanted);
    if live.is_null() {
        let merged = write.create(session, target.collection(), &modified).await?;
        return Ok((live, merged));
    }
    let (media_type, mut patch) = patch_of(&live, &modified)?;
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok((live.clone(), live));
    }
    if !patch["metadata"].is_object() {
        patch["metadata"] = json!({});
    }
    // The two are compared, so they must be of one revision.
    patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    let merged = write.patch(session, target.path(None), media_type, patch.to_string()).await?;
    Ok((live, merged))
}

/// Values of a Secret as stars: the same number for the same value, others told apart.
fn mask(live: &mut Value, merged: &mut Value) {
    const MASK: &str = "***";
    let keys = |object: &Value| {
        object["data"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let mut all = keys(live);
    all.extend(keys(merged));
    for key in all {
        let (old, new) = (live["data"].get(&key).cloned(), merged["data"].get(&key).cloned());
        let (shown_old, shown_new) = match (&old, &new) {
            (Some(a), Some(b)) if a != b => (format!("{MASK} (before)"), format!("{MASK} (after)")),
            _ => (MASK.to_owned(), MASK.to_owned()),
        };
        if old.is_some() {
            live["data"][&key] = json!(shown_old);
        }
        if new.is_some() {
            merged["data"][&key] = json!(shown_new);
        }
    }
    for object in [live, merged] {
        if last_applied::of(object).is_some() {
            object["metadata"]["annotations"][last_applied::KEY] = json!(MASK);
        }
    }
}

fn write(folder: &Path, target: &Target, object: &Value) -> Outcome {
    if object.is_null() {
        return Ok(());
    }
    let resource = &target.resource;
    let group = if resource.group.is_empty() { String::new() } else { format!("{}.", resource.group) };
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let name = format!("{group}{}.{}.{namespace}.{}", resource.version, resource.kind, target.name);
    let path = folder.join(name.replace('/', "_"));
    std::fs::write(&path, wire::yaml::to_string(object))
        .map_err(|why| Failure::message(format!("cannot write {}: {why}", path.display())))
}

fn show(live: &Path, merged: &Path) -> Outcome {
    let external = std::env::var("KUBECTL_EXTERNAL_DIFF").ok().filter(|program| !program.is_empty());
    let line = external.unwrap_or_else(|| "diff -u -N".to_owned());
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or("diff");
    let status = std::process::Command::new(program).args(words).arg(live).arg(merged).status();
    let status = status.map_err(|why| {
        trouble(Failure::message(format!("failed to run {program:?}: {}", crate::session::io_text(&why))))
    })?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::Code(1)),
        code => Err(trouble(Failure::message(format!("{program} failed: exit status {}", code.unwrap_or(-1))))),
    }
}
