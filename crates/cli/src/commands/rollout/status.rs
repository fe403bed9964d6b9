//! `kubectl rollout status`: what a rollout waits for, until it is done.

use crate::command::{Command, Done, FILES, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, duration, int};
use crate::output::out;
use crate::print::name_of;
use crate::session::Session;
use crate::targets::{Target, fetched, targets};
use serde_json::Value;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(250);
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

const FLAGS: &[Flag] = &[
    SELECTOR,
    int("revision", "0", "Pin to a specific revision for showing its status. Defaults to 0 (last revision)."),
    duration("timeout", "0s", "The length of time to wait before ending watch, zero means never."),
    Flag { default: "true", ..boolean("watch", "Watch the status of the rollout until it's done.").short('w') },
];

pub static COMMAND: Command = Command {
    name: "status",
    usage: "rollout status (TYPE NAME | TYPE/NAME) [flags] [options]",
    short: "Show the status of the rollout",
    examples: "# Watch the rollout status of a deployment\nkubectl rollout status deployment/nginx",
    flags: &[FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        for (target, _) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            let given = args.duration("timeout");
            let limit = if given.is_zero() { FOREVER } else { given };
            let followed = follow(session, &args, &target);
            let clock = session.env.clock.clone();
            let timed_out = |_| Failure::message("timed out waiting for the condition");
            clock.timeout(limit, followed).await.map_err(timed_out)??;
        }
        Ok(())
    })
}

async fn follow(session: &Session, args: &Args, target: &Target) -> Outcome {
    let mut told = String::new();
    loop {
        let object = target.get(session).await?;
        let (text, done) = status(&object, args.int("revision"))?;
        if text != told {
            out(&text);
            told = text;
        }
        if done || !args.bool("watch") {
            return Ok(());
        }
        session.env.clock.sleep(LOOK).await;
    }
}

/// What is being waited for, and whether it is all done.
fn status(object: &Value, revision: i64) -> Outcome<(String, bool)> {
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => deployment(object, revision),
        "DaemonSet" => Ok(daemon_set(object)),
        "StatefulSet" => Ok(stateful_set(object)),
        kind => {
            let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            let kind = group.map_or_else(|| kind.to_owned(), |(group, _)| format!("{kind}.{group}"));
            Err(Failure::message(format!("no status viewer has been implemented for {kind}")))
        }
    }
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn is_observed(object: &Value) -> bool {
    count(&object["metadata"]["generation"]) <= count(&object["status"]["observedGeneration"])
}

fn deployment(object: &Value, revision: i64) -> Outcome<(String, bool)> {
    let (name, status) = (name_of(object), &object["status"]);
    if revision > 0 {
        let found = object["metadata"]["annotations"][super::revisions::REVISION].as_str().unwrap_or_default();
        if found != revision.to_string() {
            let text = format!("desired revision ({revision}) is different from the running revision ({found})");
            return Err(Failure::message(text));
        }
    }
    if !is_observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...\n".to_owned(), false));
    }
    let progressing = meta::conditions::find(&status["conditions"], "Progressing");
    if progressing.is_some_and(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        return Err(Failure::message(format!("deployment {name:?} exceeded its progress deadline")));
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let (updated, all) = (count(&status["updatedReplicas"]), count(&status["replicas"]));
    let available = count(&status["availableReplicas"]);
    let waiting = format!("Waiting for deployment {name:?} rollout to finish:");
    Ok(if updated < wanted {
        (format!("{waiting} {updated} out of {wanted} new replicas have been updated...\n"), false)
    } else if all > updated {
        (format!("{waiting} {} old replicas are pending termination...\n", all - updated), false)
    } else if available < updated {
        (format!("{waiting} {available} of {updated} updated replicas are available...\n"), false)
    } else {
        (format!("deployment {name:?} successfully rolled out\n"), true)
    })
}

fn daemon_set(object: &Value) -> (String, bool) {
    let (name, status) = (name_of(object), &object["status"]);
    if !is_observed(object) {
        return ("Waiting for daemon set spec update to be observed...\n".to_owned(), false);
    }
    let desired = count(&status["desiredNumberScheduled"]);
    let updated = count(&status["updatedNumberScheduled"]);
    let available = count(&status["numberAvailable"]);
    let waiting = format!("Waiting for daemon set {name:?} rollout to finish:");
    if updated < desired {
        (format!("{waiting} {updated} out of {desired} new pods have been updated...\n"), false)
    } else if available < desired {
        (format!("{waiting} {available} of {desired} updated pods are available...\n"), false)
    } else {
        (format!("daemon set {name:?} successfully rolled out\n"), true)
    }
}

fn stateful_set(object: &Value) -> (String, bool) {
    let status = &object["status"];
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    if !is_observed(object) || count(&status["observedGeneration"]) == 0 {
        return ("Waiting for statefulset spec update to be observed...\n".to_owned(), false);
    }
    let ready = count(&status["readyReplicas"]);
    if ready < wanted {
        return (format!("Waiting for {} pods to be ready...\n", wanted - ready), false);
    }
    let updated = count(&status["updatedReplicas"]);
    let partition = count(&object["spec"]["updateStrategy"]["rollingUpdate"]["partition"]);
    if partition > 0 {
        let due = wanted - partition;
        if updated < due {
            let text = format!(
                "Waiting for partitioned roll out to finish: {updated} out of {due} new pods have been updated...\n"
            );
            return (text, false);
        }
        return (format!("partitioned roll out complete: {updated} new pods have been updated...\n"), true);
    }
    let revision = status["updateRevision"].as_str().unwrap_or_default();
    if status["currentRevision"].as_str() != Some(revision) {
        let text =
            format!("waiting for statefulset rolling update to complete {updated} pods at revision {revision}...\n");
        return (text, false);
    }
    let current = count(&status["currentReplicas"]);
    (format!("statefulset rolling update complete {current} pods at revision {revision}...\n"), true)
}
