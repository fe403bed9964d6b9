//! `kubectl drain`: closes nodes to new pods and has the ones there evicted, as budgets allow.

use super::cordon;
use crate::changes::{Deletion, Write};
use crate::command::{Command, DRY_RUN, Done, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, duration, int, text};
use crate::output::{error_line, line};
use crate::print::DryRun;
use crate::session::{Call, JSON, Session};
use crate::shared_flags::CHUNK_SIZE;
use crate::targets::{fetched, from_words};
use base::Timestamp;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    SELECTOR,
    boolean("force", "Continue even if there are pods that do not declare a controller."),
    boolean("ignore-daemonsets", "Ignore DaemonSet-managed pods."),
    boolean(
        "delete-emptydir-data",
        "Continue even if there are pods using emptyDir (local data that will be deleted when the node is drained).",
    ),
    boolean("disable-eviction", "Force drain to use delete, even if eviction is supported."),
    int("grace-period", "-1", "Period of time in seconds given to each pod to terminate gracefully."),
    int(
        "skip-wait-for-delete-timeout",
        "0",
        "If pod DeletionTimestamp older than N seconds, skip waiting for the pod.",
    ),
    CHUNK_SIZE,
    text("pod-selector", "", "Label selector to filter pods on the node"),
    duration("timeout", "0s", "The length of time to wait before giving up, zero means infinite"),
];

pub static COMMAND: Command = Command {
    name: "drain",
    usage: "drain NODE [options]",
    short: "Drain node in preparation for maintenance",
    examples: "# Drain node \"foo\", even if there are pods not managed by a replication controller, replica set, job, daemon set, or stateful set on it\nkubectl drain foo --force\n\n# As above, but abort if there are pods not managed by a controller, and use a grace period of 15 minutes\nkubectl drain foo --grace-period=900",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// How long a refused eviction waits for its next try.
const AGAIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);

const DAEMONS: &str = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)";
const LOCAL: &str = "cannot delete Pods with local storage (use --delete-emptydir-data to override)";
/// Upstream's words, twice the same ones included.
const ALONE: &str = "cannot delete cannot delete Pods that declare no controller (use --force to override)";

fn run<'a>(session: &'a Session, args: Args) -> Done<'a> {
    Box::pin(async move {
        if args.words.is_empty() && args.text("selector").is_empty() {
            return Err(Failure::usage(&session.path, "USAGE: drain NODE [options]"));
        }
        let write = Write { manager: String::new(), ..Write::of(&args, "")? };
        let words: Vec<String> = ["nodes".to_owned()].into_iter().chain(args.words.iter().cloned()).collect();
        let nodes = fetched(session, &args, from_words(session, &words, false).await?).await?;
        for (target, node) in &nodes {
            cordon::close(session, &write, target, node, true).await?;
        }
        let mut failed: Vec<(String, Failure)> = Vec::new();
        for (target, _) in &nodes {
            match drain(session, &args, &write, &target.name).await {
                Ok(()) => line(&format!("node/{} drained{}", target.name, write.dry_run.suffix())),
                Err(failure) => {
                    let Some(why) = in_words(&failure) else { return Err(failure) };
                    error_line(&format!(
                        "error: unable to drain node {:?} due to error: {why}, continuing command...",
                        target.name
                    ));
                    failed.push((target.name.clone(), failure));
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        error_line("There are pending nodes to be drained:");
        failed.iter().for_each(|(name, _)| error_line(&format!(" {name}")));
        // As upstream, told as a list even of one.
        Err(Failure::Many(failed.into_iter().map(|(_, failure)| failure).collect()))
    })
}

/// Why a node could not be drained, in one line; None: for a reason that ends the command.
fn in_words(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Message(why) => Some(why.clone()),
        Failure::Many(all) => Some(format!("[{}]", all.iter().filter_map(in_words).collect::<Vec<_>>().join(", "))),
        _ => None,
    }
}

/// What is to become of the pods of a node.
#[derive(Debug, Default, PartialEq)]
struct Sorted {
    /// Namespace and name.
    go: Vec<(String, String)>,
    /// By what is wrong with them.
    errors: BTreeMap<&'static str, Vec<String>>,
    warnings: BTreeMap<&'static str, Vec<String>>,
}

/// What the flags let go.
#[derive(Debug, Clone, Copy, Default)]
struct Allowed {
    alone: bool,
    daemons: bool,
    local: bool,
    /// Pods going for longer than this are not waited for.
    skip_after: i64,
}

fn sort(pods: &[Value], allowed: Allowed, now: Timestamp) -> Sorted {
    let mut sorted = Sorted::default();
    for pod in pods {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let shown = format!("{}/{}", text("namespace"), text("name"));
        let since = meta::time::parse(&text("deletionTimestamp")).ok();
        let is_old = since.is_some_and(|since| now.duration_since(since).as_secs() > allowed.skip_after);
        if (allowed.skip_after > 0 && is_old)
            || !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
        {
            continue;
        }
        let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let owners = pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        let owner = owners.iter().find(|owner| owner["controller"] == true);
        let mut warn = |why, shown: &str| sorted.warnings.entry(why).or_default().push(shown.to_owned());
        if owner.is_some_and(|owner| owner["kind"] == "DaemonSet") && !over {
            match allowed.daemons {
                true => warn("ignoring DaemonSet-managed Pods", &shown),
                false => sorted.errors.entry(DAEMONS).or_default().push(shown),
            }
            continue;
        }
        let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let has_data = !over && volumes.iter().any(|volume| !volume["emptyDir"].is_null());
        let is_alone = !over && owner.is_none();
        if has_data && allowed.local {
            warn("deleting Pods with local storage", &shown);
        }
        if is_alone && allowed.alone {
            warn("deleting Pods that declare no controller", &shown);
        }
        if has_data && !allowed.local {
            sorted.errors.entry(LOCAL).or_default().push(shown);
        } else if is_alone && !allowed.alone {
            sorted.errors.entry(ALONE).or_default().push(shown);
        } else {
            sorted.go.push((text("namespace"), text("name")));
        }
    }
    sorted
}

fn told(found: &BTreeMap<&'static str, Vec<String>>) -> Vec<String> {
    found.iter().map(|(why, pods)| format!("{why}: {}", pods.join(", "))).collect()
}

async fn drain(session: &Session, args: &Args, write: &Write, node: &str) -> Outcome {
    let call = Call::get("/api/v1/pods")
        .query("fieldSelector", format!("spec.nodeName={node}"))
        .query("labelSelector", args.text("pod-selector"));
    let list = session.json(call).await?;
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let allowed = Allowed {
        alone: args.bool("force"),
        daemons: args.bool("ignore-daemonsets"),
        local: args.bool("delete-emptydir-data"),
        skip_after: args.int("skip-wait-for-delete-timeout"),
    };
    let sorted = sort(&pods, allowed, session.env.clock.now());
    Failure::collect(told(&sorted.errors).into_iter().map(Failure::message).collect())?;
    if !sorted.warnings.is_empty() {
        error_line(&format!("Warning: {}", told(&sorted.warnings).join("; ")));
    }
    if write.dry_run == DryRun::Client {
        for (namespace, name) in &sorted.go {
            line(&format!("evicting pod {namespace}/{name}{}", write.dry_run.suffix()));
        }
        return Ok(());
    }
    let eviction = Evictor { session, args, write };
    let limit = args.duration("timeout");
    if limit.is_zero() {
        return eviction.all(sorted.go).await;
    }
    match session.env.clock.timeout(limit, eviction.all(sorted.go)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::message(
            "drain did not complete within the allotted duration: global timeout reached: ".to_owned()
                + args.text("timeout"),
        )),
    }
}

struct Evictor<'a> {
    session: &'a Session,
    args: &'a Args,
    write: &'a Write,
}

impl Evictor<'_> {
    /// Asks for all, again for those refused by a budget, and waits until all are gone.
    async fn all(&self, mut waiting: Vec<(String, String)>) -> Outcome {
        let deletes = self.args.bool("disable-eviction");
        let verb = if deletes { "deleting" } else { "evicting" };
        while !waiting.is_empty() {
            let (mut refused, mut going) = (Vec::new(), Vec::new());
            for (namespace, name) in waiting {
                line(&format!("{verb} pod {namespace}/{name}{}", self.write.dry_run.suffix()));
                match self.one(&namespace, &name, deletes).await {
                    Ok(_) => going.push((namespace, name)),
                    Err(failure) if failure.is_not_found() => {}
                    Err(failure) if failure.status().is_some_and(|status| status.code == 429) => {
                        let why = failure.status().map(|status| status.message.clone()).unwrap_or_default();
                        error_line(&format!(
                            "error when evicting pods/{name:?} -n {namespace:?} (will retry after 5s): {why}"
                        ));
                        refused.push((namespace, name));
                    }
                    Err(failure) => {
                        let why =
                            failure.status().map_or_else(|| format!("{failure:?}"), |status| status.message.clone());
                        return Err(Failure::message(format!(
                            "error when {verb} pods/{name:?} -n {namespace:?}: {why}"
                        )));
                    }
                }
            }
            if self.write.dry_run == DryRun::None {
                self.gone(going, deletes).await?;
            }
            if !refused.is_empty() {
                self.session.env.clock.sleep(AGAIN).await;
            }
            waiting = refused;
        }
        Ok(())
    }

    async fn one(&self, namespace: &str, name: &str, deletes: bool) -> Outcome<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let grace = self.args.int("grace-period");
        let grace_seconds = Some(grace).filter(|seconds| *seconds >= 0);
        let dry_run = self.write.dry_run == DryRun::Server;
        if deletes {
            return Deletion { grace_seconds, dry_run, ..Deletion::default() }.send(self.session, path).await;
        }
        let mut options = json!({});
        if let Some(seconds) = grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
            "metadata": {"name": name, "namespace": namespace},
        });
        let call = Call::new(Method::POST, format!("{path}/eviction")).body(JSON, eviction.to_string());
        self.session.json(call).await
    }

    async fn gone(&self, mut going: Vec<(String, String)>, deletes: bool) -> Outcome {
        let verb = if deletes { "deleted" } else { "evicted" };
        while !going.is_empty() {
            let mut left = Vec::new();
            for (namespace, name) in going {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
                match self.session.json(Call::get(path)).await {
                    Err(failure) if failure.is_not_found() => line(&format!("pod/{name} {verb}")),
                    // One of the same name that is not going is another.
                    Ok(pod) if pod["metadata"]["deletionTimestamp"].is_null() => line(&format!("pod/{name} {verb}")),
                    Ok(_) => left.push((namespace, name)),
                    Err(failure) => return Err(failure),
                }
            }
            going = left;
            if !going.is_empty() {
                self.session.env.clock.sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_stay_or_stand_in_the_way() {
        let pod = |name: &str, more: Value| {
            let mut pod = json!({"metadata": {"namespace": "ns", "name": name}});
            for (key, value) in more.as_object().unwrap() {
                for (field, value) in value.as_object().unwrap() {
                    pod[key][field] = value.clone();
                }
            }
            pod
        };
        let owned = |kind: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "controller": true}]}});
        let pods = [
            pod("set", owned("ReplicaSet")),
            pod("daemon", owned("DaemonSet")),
            pod("alone", json!({})),
            pod("over", json!({"status": {"phase": "Succeeded"}})),
            pod("mirror", json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})),
            pod("data", json!({"metadata": owned("ReplicaSet")["metadata"], "spec": {"volumes": [{"emptyDir": {}}]}})),
        ];
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let strict = sort(&pods, Allowed::default(), now);
        let pair = |name: &str| ("ns".to_owned(), name.to_owned());
        assert_eq!(strict.go, [pair("set"), pair("over")]);
        assert_eq!(
            told(&strict.errors),
            [format!("{DAEMONS}: ns/daemon"), format!("{LOCAL}: ns/data"), format!("{ALONE}: ns/alone")]
        );
        let all = Allowed { alone: true, daemons: true, local: true, skip_after: 0 };
        let loose = sort(&pods, all, now);
        assert_eq!(loose.go, [pair("set"), pair("alone"), pair("over"), pair("data")]);
        assert_eq!(
            told(&loose.warnings),
            [
                "deleting Pods that declare no controller: ns/alone",
                "deleting Pods with local storage: ns/data",
                "ignoring DaemonSet-managed Pods: ns/daemon",
            ]
        );
    }
}
