//! `kubectl rollout`: following and steering the changes of workloads.

mod history;
mod restart;
mod revisions;
mod status;
mod undo;

use crate::command::Command;
use crate::failure::Outcome;
use crate::session::Session;
use crate::targets::Target;
use serde_json::Value;

/// The ReplicaSets of a Deployment, oldest first.
pub async fn replica_sets(session: &Session, target: &Target, object: &Value) -> Outcome<Vec<Value>> {
    let revisions = revisions::of(session, target, object).await?;
    Ok(revisions.into_iter().map(|revision| revision.object).collect())
}

pub static COMMAND: Command = Command {
    name: "rollout",
    usage: "rollout SUBCOMMAND [options]",
    short: "Manage the rollout of one or many resources",
    long: "Valid resource types include:\n\n *  deployments\n *  daemonsets\n *  statefulsets",
    examples: "# Rollback to the previous deployment\nkubectl rollout undo deployment/abc\n\n# Check the rollout status of a daemonset\nkubectl rollout status daemonset/foo\n\n# Restart a deployment\nkubectl rollout restart deployment/abc",
    children: &[
        &history::COMMAND,
        &restart::PAUSE,
        &restart::RESTART,
        &restart::RESUME,
        &status::COMMAND,
        &undo::COMMAND,
    ],
    ..Command::EMPTY
};
