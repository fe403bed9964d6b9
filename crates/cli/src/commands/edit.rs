//! `kubectl edit`: an object in an editor.

use crate::changes::{Write, two_way};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, VALIDATE};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean};
use crate::output::{error_line, line};
use crate::print::{Teller, hide_managed_fields};
use crate::session::Session;
use crate::shared_flags::{FIELD_MANAGER, RECORD, SAVE_CONFIG, SUBRESOURCE, WINDOWS_LINE_ENDINGS};
use crate::targets::{Target, fetched, targets};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;

const HEADER: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";
/// An editor that keeps saving what the server refuses is not asked for ever.
const ATTEMPTS: usize = 20;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    VALIDATE,
    FIELD_MANAGER,
    boolean("output-patch", "Output the patch if the resource is edited."),
    RECORD,
    SAVE_CONFIG,
    SUBRESOURCE,
    WINDOWS_LINE_ENDINGS,
];

pub static COMMAND: Command = Command {
    name: "edit",
    usage: "edit (RESOURCE/NAME | -f FILENAME) [options]",
    short: "Edit a resource on the server",
    long: "The editor is that of KUBE_EDITOR or EDITOR, or vi.",
    examples: "# Edit the service named 'registry'\nkubectl edit svc/registry\n\n# Use an alternative editor\nKUBE_EDITOR=\"nano\" kubectl edit svc/registry",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-edit")?;
        for (target, live) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            edit(session, &args, &teller, &write, &target, live).await?;
        }
        Ok(())
    })
}

async fn edit(
    session: &Session,
    args: &Args,
    teller: &Teller,
    write: &Write,
    target: &Target,
    mut live: Value,
) -> Outcome {
    if !args.bool("show-managed-fields") {
        hide_managed_fields(&mut live);
    }
    until_taken(args, target, &live, async |mut new| {
        if args.bool("save-config") {
            crate::last_applied::record(&mut new);
        }
        crate::change_cause::note(&session.path, args, &mut new);
        let (media_type, patch) = two_way(&live, &new)?;
        if args.bool("output-patch") {
            line(&format!("Patch: {patch}"));
        }
        let sub = Some(args.text("subresource")).filter(|sub| !sub.is_empty());
        let object = write.patch(session, target.path(sub), media_type, patch.to_string()).await?;
        teller.tell(&object, &target.resource.shown(), "edited")
    })
    .await
}

/// Hands what the editor makes of an object to `take`, and asks again with what was wrong for as long as
/// it is refused. What is left as it was is not handed on.
pub async fn until_taken(
    args: &Args,
    target: &Target,
    object: &Value,
    take: impl AsyncFn(Value) -> Outcome,
) -> Outcome {
    let mut text = wire::yaml::to_string(object);
    let mut complaint = String::new();
    for _ in 0..ATTEMPTS {
        let body = without_comments(&edited(args, &format!("{HEADER}{complaint}{text}"))?);
        if body.trim().is_empty() {
            error_line("Edit cancelled, saved file was empty.");
            return Ok(());
        }
        if body == text {
            if complaint.is_empty() {
                error_line("Edit cancelled, no changes made.");
                return Ok(());
            }
            return Err(Failure::message("Edit cancelled, no valid changes were saved."));
        }
        text = body;
        let new = match wire::yaml::parse(&text) {
            Ok(new) => new,
            Err(why) => {
                complaint = format!("# The edited file had a syntax error: {why}\n#\n");
                continue;
            }
        };
        if new == *object {
            error_line("Edit cancelled, no changes made.");
            return Ok(());
        }
        let Err(failure) = take(new).await else { return Ok(()) };
        let told = failure.to_string();
        error_line(&told);
        let (resource, name) = (target.resource.qualified(), &target.name);
        let lines: String = told.lines().map(|line| format!("# * {line}\n")).collect();
        complaint = format!("# {resource} \"{name}\" was not valid:\n{lines}#\n");
    }
    Err(Failure::message("Edit cancelled, no valid changes were saved."))
}

pub fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

/// What the editor makes of a text, with the line ends of this system.
pub fn edited(args: &Args, text: &str) -> Outcome<String> {
    let failed = |why: std::io::Error| Failure::message(format!("cannot edit: {why}"));
    let mut file = tempfile::Builder::new().prefix("kubectl-edit-").suffix(".yaml").tempfile().map_err(failed)?;
    let shown = if args.bool("windows-line-endings") { text.replace('\n', "\r\n") } else { text.to_owned() };
    file.write_all(shown.as_bytes()).map_err(failed)?;
    file.flush().map_err(failed)?;
    launch(file.path())?;
    std::fs::read_to_string(file.path()).map(|text| text.replace("\r\n", "\n")).map_err(failed)
}

/// Editors are given with arguments at times (`code --wait`), so a shell takes the words apart.
fn launch(path: &Path) -> Outcome {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let editor = set("KUBE_EDITOR").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let status = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(path)
        .status()
        .map_err(|why| Failure::message(format!("unable to launch the editor {editor:?}: {why}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::message(format!("there was a problem with the editor {editor:?}")))
}
