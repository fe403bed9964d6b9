//! `kubectl rollout restart`, `pause` and `resume`: small patches to the spec.

use crate::changes::{Write, two_way};
use crate::command::{Command, Done, FILES, PRINT, SELECTOR};
use crate::failure::Failure;
use crate::flags::{Args, Flag, text};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{fetched, targets};
use serde_json::{Value, json};

const FLAGS: &[Flag] = &[SELECTOR, text("field-manager", "", "Name of the manager used to track field ownership.")];

/// Set on the template, so that every pod is made anew.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub static RESTART: Command = Command {
    name: "restart",
    usage: "rollout restart RESOURCE [options]",
    short: "Restart a resource",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(|session, args| run(session, args, "restarted")),
    ..Command::EMPTY
};

pub static PAUSE: Command = Command {
    name: "pause",
    usage: "rollout pause RESOURCE [options]",
    short: "Mark the provided resource as paused",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(|session, args| run(session, args, "paused")),
    ..Command::EMPTY
};

pub static RESUME: Command = Command {
    name: "resume",
    usage: "rollout resume RESOURCE [options]",
    short: "Resume a paused resource",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(|session, args| run(session, args, "resumed")),
    ..Command::EMPTY
};

fn run<'a>(session: &'a Session, args: Args, told: &'static str) -> Done<'a> {
    Box::pin(async move {
        let mut teller = Teller::of(&args)?;
        teller.dry_run = DryRun::None;
        let write = Write::of(&args, "kubectl-rollout")?;
        let mut failures = Vec::new();
        for (target, old) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            let mut new = old.clone();
            let name = format!("{} {:?}", target.resource.qualified(), target.name);
            if let Err(why) = change(&mut new, told, session) {
                failures.push(Failure::message(format!("{name} {why}")));
                continue;
            }
            let (media_type, patch) = two_way(&old, &new)?;
            let patched = write.patch(session, target.path(None), media_type, patch.to_string()).await?;
            teller.tell(&patched, &target.resource.shown(), told)?;
        }
        Failure::collect(failures)
    })
}

fn change(object: &mut Value, told: &str, session: &Session) -> Result<(), String> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let paused = object["spec"]["paused"] == true;
    match (told, kind.as_str()) {
        ("restarted", "Deployment" | "DaemonSet" | "StatefulSet") => {
            if paused {
                return Err("can't restart paused deployment (run rollout resume first)".to_owned());
            }
            let now = session.env.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let metadata = &mut object["spec"]["template"]["metadata"];
            if !metadata["annotations"].is_object() {
                metadata["annotations"] = json!({});
            }
            metadata["annotations"][RESTARTED_AT] = json!(now);
            Ok(())
        }
        ("paused", "Deployment") if paused => Err("is already paused".to_owned()),
        ("resumed", "Deployment") if !paused => Err("is not paused".to_owned()),
        ("paused", "Deployment") => {
            object["spec"]["paused"] = json!(true);
            Ok(())
        }
        ("resumed", "Deployment") => {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("paused");
            }
            Ok(())
        }
        ("restarted", _) => Err("restarting is not supported".to_owned()),
        ("paused", _) => Err("pausing is not supported".to_owned()),
        _ => Err("resuming is not supported".to_owned()),
    }
}
