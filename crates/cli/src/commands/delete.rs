//! `kubectl delete`: and waiting until what was deleted is gone.

use crate::changes::Deletion;
use crate::command::{Command, DRY_RUN, Done, FILES, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, duration, int, text};
use crate::output::{line, out_bytes, warning};
use crate::print::DryRun;
use crate::session::{Call, Session};
use crate::shared_flags::{ALL, ALL_NAMESPACES, FIELD_SELECTOR};
use crate::targets::{Target, listed, targets};
use http::Method;
use serde_json::Value;
use std::time::Duration;

/// How often a deletion that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// A week stands for "as long as it takes", as in kubectl.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

const FLAGS: &[Flag] = &[
    DRY_RUN,
    SELECTOR,
    ALL,
    ALL_NAMESPACES,
    text("cascade", "background", "Must be \"background\", \"orphan\", or \"foreground\".").bare("background"),
    FIELD_SELECTOR,
    boolean("force", "If true, immediately remove resources from API and bypass graceful deletion."),
    int(
        "grace-period",
        "-1",
        "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative.",
    ),
    boolean(
        "ignore-not-found",
        "Treat \"resource not found\" as a successful delete. Defaults to \"true\" when --all is specified.",
    ),
    boolean("now", "If true, resources are signaled for immediate shutdown (same as --grace-period=1)."),
    text("output", "", "Output mode. Use \"-o name\" for shorter output (resource/name).").short('o'),
    text("raw", "", "Raw URI to DELETE to the server."),
    duration(
        "timeout",
        "0s",
        "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object",
    ),
    Flag { default: "true", ..boolean("wait", "If true, wait for resources to be gone before returning.") },
    boolean("interactive", "If true, delete resource only when user confirms.").short('i'),
];

pub static COMMAND: Command = Command {
    name: "delete",
    usage: "delete ([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)]) [options]",
    short: "Delete resources by file names, stdin, resources and names, or by resources and label selector",
    examples: "# Delete a pod using the type and name specified in pod.json\nkubectl delete -f ./pod.json\n\n# Delete pods and services with same names \"baz\" and \"foo\"\nkubectl delete pod,service baz foo\n\n# Delete pods and services with label name=myLabel\nkubectl delete pods,services -l name=myLabel",
    flags: &[FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.has("raw") {
            out_bytes(&session.send(Call::new(Method::DELETE, args.text("raw"))).await?);
            return Ok(());
        }
        if !["", "name"].contains(&args.text("output")) {
            let text = format!("unexpected -o output mode: {}. We only support '-o name'", args.text("output"));
            return Err(Failure::usage(&session.path, text));
        }
        let plan = Plan::of(&args)?;
        let mut failures = Vec::new();
        let mut gone = Vec::new();
        for target in wanted(session, &args).await? {
            match plan.delete(session, &args, &target).await {
                Ok(Some(deleted)) => gone.push(deleted),
                Ok(None) => {}
                Err(failure) => failures.push(failure),
            }
        }
        if gone.is_empty() && failures.is_empty() && plan.dry_run == DryRun::None && args.list("filename").is_empty() {
            if plan.selected {
                line("No resources found");
            }
            return Ok(());
        }
        if args.bool("wait") && plan.dry_run == DryRun::None && failures.is_empty() {
            wait(session, &args, gone).await?;
        }
        Failure::collect(failures)
    })
}

/// What is to be deleted: named objects as they are, selections as the objects they find.
async fn wanted(session: &Session, args: &Args) -> Outcome<Vec<Target>> {
    let selects = !args.text("selector").is_empty() || !args.text("field-selector").is_empty();
    let mut wanted = Vec::new();
    for target in targets(session, args, &args.words).await? {
        if !target.name.is_empty() {
            if selects && args.list("filename").is_empty() {
                return Err(Failure::message("name cannot be provided when a selector is specified"));
            }
            if args.bool("all") {
                return Err(Failure::message("setting 'all' parameter but found a non empty selector. "));
            }
            wanted.push(target);
            continue;
        }
        if !selects && !args.bool("all") {
            return Err(Failure::message("resource(s) were provided, but no name was specified"));
        }
        wanted.extend(listed(session, args, target).await?.into_iter().map(|(target, _)| target));
    }
    Ok(wanted)
}

struct Plan {
    deletion: Deletion,
    force: bool,
    dry_run: DryRun,
    ignore_absent: bool,
    selected: bool,
}

impl Plan {
    fn of(args: &Args) -> Outcome<Self> {
        let dry_run = DryRun::of(args)?;
        let mut deletion = Deletion::of(args, dry_run)?;
        let mut grace = args.int("grace-period");
        let force = args.bool("force");
        if args.bool("now") {
            if grace != -1 {
                return Err(Failure::message("--now and --grace-period cannot be specified together"));
            }
            grace = 1;
        }
        if grace == 0 && !force {
            // Deleting at once must be asked for; the shortest other grace stands in for it.
            grace = 1;
            warning("--grace-period=0 without --force waits for the resource to be gone");
        }
        if force && grace < 0 {
            grace = 0;
        }
        if force && grace == 0 {
            warning(
                "Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.",
            );
        }
        deletion.grace_seconds = (grace >= 0).then_some(grace);
        let selected = args.bool("all") || args.has("selector") || args.has("field-selector");
        let ignore_absent = args.bool("ignore-not-found") || args.bool("all") && !args.has("ignore-not-found");
        Ok(Plan { deletion, force: force && grace == 0, dry_run, ignore_absent, selected })
    }

    /// The target with its uid, where it was deleted.
    async fn delete(&self, session: &Session, args: &Args, target: &Target) -> Outcome<Option<(Target, String)>> {
        let mut answer = Value::Null;
        if self.dry_run != DryRun::Client {
            match self.deletion.send(session, target.path(None)).await {
                Ok(value) => answer = value,
                Err(failure) if failure.is_not_found() && self.ignore_absent => return Ok(None),
                Err(failure) if target.source.is_empty() => return Err(failure),
                Err(failure) => return Err(failure.during("deleting", &target.source)),
            }
        }
        if args.text("output") == "name" {
            line(&target.shown());
        } else {
            line(&format!("{} {:?} {}{}", target.resource.shown(), target.name, self.how(), self.dry_run.suffix()));
        }
        Ok(Some((target.clone(), uid_of(&answer))))
    }

    fn how(&self) -> &'static str {
        if self.force { "force deleted" } else { "deleted" }
    }
}

/// Deletes the pod that a command made for as long as it ran, as that command's flags say.
pub async fn remove_pod(session: &Session, args: &Args, path: &str, name: &str) -> Outcome {
    let plan = Plan::of(args)?;
    let answer = match plan.deletion.send(session, path.to_owned()).await {
        Err(failure) if failure.is_not_found() => return Ok(()),
        answer => answer?,
    };
    if !args.bool("quiet") {
        line(&format!("pod {name:?} {}", plan.how()));
    }
    match args.bool("wait") {
        true => wait_for(session, args, path, &uid_of(&answer), &format!("pods/{name}")).await,
        false => Ok(()),
    }
}

async fn wait(session: &Session, args: &Args, gone: Vec<(Target, String)>) -> Outcome {
    for (target, uid) in gone {
        let what = format!("{}/{}", target.resource.name, target.name);
        wait_for(session, args, &target.path(None), &uid, &what).await?;
    }
    Ok(())
}

/// Waits until an object is gone, or another of its name stands in its place.
async fn wait_for(session: &Session, args: &Args, path: &str, uid: &str, what: &str) -> Outcome {
    let given = args.duration("timeout");
    let limit = if given.is_zero() { FOREVER } else { given.min(FOREVER) };
    let clock = session.env.clock.clone();
    let watched = async {
        loop {
            match session.json(Call::get(path)).await {
                Ok(object) if uid.is_empty() || object["metadata"]["uid"] == uid => {}
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_not_found() => return Ok(()),
                // Not allowed to look: what can be done has been done.
                Err(failure) if failure.status().is_some_and(|status| status.code == 403) => return Ok(()),
                Err(failure) => return Err(failure),
            }
            clock.sleep(LOOK).await;
        }
    };
    let timed_out = |_| Failure::message(format!("timed out waiting for the condition on {what}"));
    clock.timeout(limit, watched).await.map_err(timed_out)?
}

/// A Status tells the uid of what is gone already; otherwise the object itself comes back.
fn uid_of(answer: &Value) -> String {
    let uid = answer["details"]["uid"].as_str().or(answer["metadata"]["uid"].as_str());
    uid.unwrap_or_default().to_owned()
}
