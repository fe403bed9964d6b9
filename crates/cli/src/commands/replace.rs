//! `kubectl replace`: an object as a whole.

use crate::changes::{Deletion, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, VALIDATE};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, text};
use crate::print::{DryRun, Teller};
use crate::session::{Call, JSON, Session};
use crate::shared_flags::{DELETION, FIELD_MANAGER, RECORD, SAVE_CONFIG, SUBRESOURCE};
use crate::targets::{Target, from_files};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(200);
/// What is replaced by force must be gone by then, where `--timeout` says nothing else.
const GONE_LIMIT: Duration = Duration::from_secs(300);

const FLAGS: &[Flag] = &[
    DRY_RUN,
    VALIDATE,
    FIELD_MANAGER,
    RECORD,
    SAVE_CONFIG,
    SUBRESOURCE,
    text("raw", "", "Raw URI to PUT to the server."),
];

pub static COMMAND: Command = Command {
    name: "replace",
    usage: "replace -f FILENAME [options]",
    short: "Replace a resource by file name or stdin",
    examples: "# Replace a pod using the data in pod.json\nkubectl replace -f ./pod.json\n\n# Force replace, delete and then re-create the resource\nkubectl replace --force -f ./pod.json",
    flags: &[PRINT, FILES, DELETION, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !crate::targets::gives_files(&args)? {
            return Err(Failure::usage(&session.path, "must specify --filename to replace"));
        }
        if !args.text("raw").is_empty() {
            let files = args.list("filename");
            let [file] = files.as_slice() else {
                return Err(Failure::message("--raw can only use a single local file or stdin"));
            };
            let body = if file == "-" {
                std::io::read_to_string(std::io::stdin()).map_err(|why| Failure::message(why.to_string()))?
            } else {
                crate::targets::read(file.as_ref())?
            };
            let call = Call::new(http::Method::PUT, args.text("raw")).body(JSON, body);
            crate::output::out_bytes(&session.send(call).await?);
            return Ok(());
        }
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-replace")?;
        let targets = from_files(session, &args).await?;
        if targets.is_empty() {
            return Err(Failure::message("no objects passed to replace"));
        }
        let mut failures = Vec::new();
        for target in targets {
            failures.extend(replace(session, &args, &teller, &write, target).await.err());
        }
        Failure::collect(failures)
    })
}

async fn replace(session: &Session, args: &Args, teller: &Teller, write: &Write, target: Target) -> Outcome {
    let Some(mut object) = target.object.clone() else { return Ok(()) };
    if args.bool("save-config") {
        crate::last_applied::record(&mut object);
    }
    crate::change_cause::note(&session.path, args, &mut object);
    let shown = target.resource.shown();
    if args.bool("force") {
        remove(session, args, &target).await?;
        let made = write.create(session, target.collection(), &object).await;
        let made = made.map_err(|failure| failure.during("replacing", &target.source))?;
        return teller.tell(&made, &shown, "replaced");
    }
    if write.dry_run != DryRun::Client {
        let sub = Some(args.text("subresource")).filter(|sub| !sub.is_empty());
        // Whatever is there is replaced, also where the server asks which version that is.
        if object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty)
            && let Ok(live) = session.json(Call::get(target.path(sub))).await
        {
            object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        }
        let replaced = write.replace(session, target.path(sub), &object).await;
        object = replaced.map_err(|failure| failure.during("replacing", &target.source))?;
    }
    teller.tell(&object, &shown, "replaced")
}

async fn remove(session: &Session, args: &Args, target: &Target) -> Outcome {
    let grace = args.int("grace-period");
    let deletion = Deletion { grace_seconds: Some(grace.max(0)), ..Deletion::of(args, DryRun::None)? };
    match deletion.send(session, target.path(None)).await {
        Ok(_) => crate::output::line(&format!("{} {:?} deleted", target.resource.shown(), target.name)),
        Err(failure) if failure.is_not_found() => return Ok(()),
        Err(failure) => return Err(failure),
    }
    let clock = session.env.clock.clone();
    let gone = async {
        while target.get(session).await.is_ok() {
            clock.sleep(LOOK).await;
        }
    };
    let timed_out = |_| Failure::message("timed out waiting for the condition");
    let limit = Some(args.duration("timeout")).filter(|limit| !limit.is_zero()).unwrap_or(GONE_LIMIT);
    clock.timeout(limit, gone).await.map_err(timed_out)
}
