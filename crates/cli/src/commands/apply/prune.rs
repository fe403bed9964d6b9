//! `apply --prune`: what was applied before with the same labels and is in no file any more goes.

use crate::changes::Deletion;
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::last_applied;
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{Target, listed};
use serde_json::Value;

/// What is looked through where nothing else is asked for: cluster-wide kinds, then the others.
const DEFAULT: &[&str] = &[
    "core/v1/Namespace",
    "core/v1/PersistentVolume",
    "core/v1/ConfigMap",
    "core/v1/Endpoints",
    "core/v1/PersistentVolumeClaim",
    "core/v1/Pod",
    "core/v1/ReplicationController",
    "core/v1/Secret",
    "core/v1/Service",
    "batch/v1/Job",
    "batch/v1/CronJob",
    "networking.k8s.io/v1/Ingress",
    "apps/v1/DaemonSet",
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "apps/v1/StatefulSet",
];

pub fn check(args: &Args) -> Outcome {
    if !args.bool("prune") {
        return Ok(());
    }
    if args.bool("force") {
        return Err(Failure::message("--force cannot be used with --prune"));
    }
    if !args.text("applyset").is_empty() {
        let others = [("all", args.bool("all")), ("selector", !args.text("selector").is_empty())];
        let others = others.into_iter().chain([("prune-allowlist", args.has("prune-allowlist"))]);
        return match others.into_iter().find(|(_, given)| *given) {
            Some((other, _)) => Err(Failure::message(format!("--{other} is incompatible with --applyset"))),
            None => Ok(()),
        };
    }
    if args.text("selector").is_empty() && !args.bool("all") {
        return Err(Failure::message(
            "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector",
        ));
    }
    if args.bool("all") && !args.text("selector").is_empty() {
        return Err(Failure::message("cannot set --all and --selector at the same time"));
    }
    Ok(())
}

/// `kept` are the objects applied just now, by their uids; `namespaces` those they are in.
pub async fn prune(session: &Session, args: &Args, kept: &[String], namespaces: &[String], teller: &Teller) -> Outcome {
    let given = args.list("prune-allowlist");
    let kinds: Vec<&str> = if given.is_empty() { DEFAULT.to_vec() } else { given.iter().map(String::as_str).collect() };
    for kind in kinds {
        let parts: Vec<&str> = kind.split('/').collect();
        let [group, version, name] = parts.as_slice() else {
            return Err(Failure::message(format!(
                "invalid GroupVersionKind format: {kind}, please follow <group/version/kind>"
            )));
        };
        let api_version = if *group == "core" { (*version).to_owned() } else { format!("{group}/{version}") };
        let Some(resource) = session.discovery().await?.of_kind(&api_version, name).cloned() else {
            if given.is_empty() {
                continue;
            }
            return Err(Failure::message(format!("no matches for kind {name:?} in version {api_version:?}")));
        };
        let places: Vec<Option<String>> =
            if resource.namespaced { namespaces.iter().cloned().map(Some).collect() } else { vec![None] };
        for namespace in places {
            let all = Target {
                resource: resource.clone(),
                namespace,
                name: String::new(),
                object: None,
                source: String::new(),
            };
            for (target, object) in listed(session, args, all).await? {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                // Others than apply made it, or it was applied just now.
                if last_applied::of(&object).is_none() || kept.iter().any(|one| one == uid) {
                    continue;
                }
                delete(session, args, &target, &object, teller).await?;
            }
        }
    }
    Ok(())
}

/// Deletes one object and tells it.
pub async fn delete(session: &Session, args: &Args, target: &Target, object: &Value, teller: &Teller) -> Outcome {
    if teller.dry_run != DryRun::Client {
        let deletion = Deletion::of(args, teller.dry_run)?;
        match deletion.send(session, target.path(None)).await {
            Ok(_) => {}
            Err(failure) if failure.is_not_found() => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
    teller.tell(object, &target.resource.shown(), "pruned")
}
