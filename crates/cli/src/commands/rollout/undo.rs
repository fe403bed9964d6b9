//! `kubectl rollout undo`: back to an earlier pod template.

use super::revisions::{self, Revision};
use crate::changes::{JSON_PATCH, STRATEGIC, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR};
use crate::describe::pod_template;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, int};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{Target, fetched, targets};
use serde_json::{Value, json};

/// Labels and annotations that tell revisions apart and are not part of any.
const HASH: &str = "pod-template-hash";

pub static COMMAND: Command = Command {
    name: "undo",
    usage: "rollout undo (TYPE NAME | TYPE/NAME) [flags] [options]",
    short: "Undo a previous rollout",
    examples: "# Roll back to the previous deployment\nkubectl rollout undo deployment/abc\n\n# Roll back to daemonset revision 3\nkubectl rollout undo daemonset/abc --to-revision=3",
    flags: &[
        PRINT,
        FILES,
        &[DRY_RUN, SELECTOR, int("to-revision", "0", "The revision to rollback to. Default to 0 (last revision).")],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let teller = Teller::of(&args)?;
        let write = Write { manager: String::new(), ..Write::of(&args, "")? };
        for (target, object) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            let told = undo(session, &write, args.int("to-revision"), &target, &object).await?;
            teller.tell(&object, &target.resource.shown(), &told)?;
        }
        Ok(())
    })
}

async fn undo(session: &Session, write: &Write, to: i64, target: &Target, object: &Value) -> Outcome<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    if object["spec"]["paused"] == true {
        let kind = kind.to_lowercase();
        let text =
            format!("you cannot rollback a paused {kind}; resume it first with 'kubectl rollout resume' and try again");
        return Err(Failure::message(text));
    }
    let all = revisions::of(session, target, object).await.map_err(|failure| match failure {
        Failure::Message(text) => Failure::message(text.replacen("retrieving history", "retrieving rollbacker", 1)),
        other => other,
    })?;
    let chosen = choose(&all, to, kind, &target.name)?;
    let mut template = chosen.template().clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    if template == object["spec"]["template"] {
        return Ok(format!("skipped rollback (current template already matches revision {})", chosen.number));
    }
    if write.dry_run == DryRun::Client {
        return Ok(pod_template(chosen.template()));
    }
    let (media_type, patch) = if kind == "Deployment" {
        let annotations = annotations(object, &chosen.object);
        let patch = json!([
            {"op": "replace", "path": "/spec/template", "value": template},
            {"op": "replace", "path": "/metadata/annotations", "value": annotations},
        ]);
        (JSON_PATCH, patch)
    } else {
        (STRATEGIC, chosen.object["data"].clone())
    };
    write.patch(session, target.path(None), media_type, patch.to_string()).await?;
    Ok("rolled back".to_owned())
}

/// The revision asked for, or the one before the last.
fn choose<'r>(all: &'r [Revision], to: i64, kind: &str, name: &str) -> Outcome<&'r Revision> {
    if to > 0 {
        let text = "unable to find specified revision";
        let found = all.iter().find(|revision| revision.number == to);
        return found.ok_or_else(|| Failure::message(format!("{text} {to} in history")));
    }
    let before = all.len().checked_sub(2).and_then(|at| all.get(at));
    before.ok_or_else(|| match kind {
        "Deployment" => Failure::message(format!("no rollout history found for deployment {name:?}")),
        _ => Failure::message("no last revision to roll back to"),
    })
}

/// The deployment's own annotations where they are its own, the revision's otherwise.
fn annotations(object: &Value, revision: &Value) -> Value {
    const OWN: [&str; 6] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.deployment.rollback.to",
    ];
    let of = |object: &Value| object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let mut kept = of(object);
    kept.retain(|key, _| OWN.contains(&key.as_str()));
    kept.extend(of(revision).into_iter().filter(|(key, _)| !OWN.contains(&key.as_str())));
    Value::Object(kept)
}
