//! `kubectl create rolebinding` and `clusterrolebinding`.

use super::generate::{FLAGS, finish, metadata, name, require};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, repeat, text};
use crate::session::Session;
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

const OWN: &[Flag] = &[
    text("clusterrole", "", "ClusterRole this binding should reference"),
    repeat("user", "Usernames to bind to the role. The flag can be repeated to add multiple users."),
    repeat("group", "Groups to bind to the role. The flag can be repeated to add multiple groups."),
    repeat(
        "serviceaccount",
        "Service accounts to bind to the role, in the format <namespace>:<name>. The flag can be repeated to add multiple service accounts.",
    ),
];

pub static COMMAND: Command = Command {
    name: "rolebinding",
    usage: "create rolebinding NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [options]",
    short: "Create a role binding for a particular role or cluster role",
    flags: &[PRINT, FLAGS, OWN, &[text("role", "", "Role this RoleBinding should reference")]],
    run: Some(|session, args| run(session, args, "RoleBinding")),
    ..Command::EMPTY
};

pub static CLUSTER_ROLE_BINDING: Command = Command {
    name: "clusterrolebinding",
    usage: "create clusterrolebinding NAME --clusterrole=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [options]",
    short: "Create a cluster role binding for a particular cluster role",
    flags: &[PRINT, FLAGS, OWN],
    run: Some(|session, args| run(session, args, "ClusterRoleBinding")),
    ..Command::EMPTY
};

fn run<'a>(session: &'a Session, args: Args, kind: &'static str) -> Done<'a> {
    Box::pin(async move {
        if kind == "ClusterRoleBinding" {
            require(&args, &["clusterrole"])?;
        }
        let name = name(session, &args)?;
        let (role, cluster_role) = (args.text("role"), args.text("clusterrole"));
        if role.is_empty() == cluster_role.is_empty() {
            return Err(Failure::message("exactly one of clusterrole or role must be specified"));
        }
        let (role_kind, role) = if role.is_empty() { ("ClusterRole", cluster_role) } else { ("Role", role) };
        let mut object = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata(name, &[]),
            "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
        });
        let subjects = subjects(&args)?;
        if !subjects.is_empty() {
            object["subjects"] = json!(subjects);
        }
        finish(session, &args, object, &format!("failed to create {}:", kind.to_lowercase())).await
    })
}

/// The subjects that flags name.
pub fn subjects(args: &Args) -> Outcome<Vec<Value>> {
    let named = |kind: &'static str| move |name: String| json!({"apiGroup": GROUP, "kind": kind, "name": name});
    let mut subjects: Vec<Value> = args.list("user").into_iter().map(named("User")).collect();
    subjects.extend(args.list("group").into_iter().map(named("Group")));
    for account in args.list("serviceaccount") {
        let Some((namespace, name)) = account.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
            return Err(Failure::message("serviceaccount must be <namespace>:<name>"));
        };
        subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
    }
    Ok(subjects)
}
