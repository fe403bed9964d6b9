//! `kubectl set subject`.

use super::change::{FLAGS, change};
use crate::command::{Command, Done, FILES, PRINT};
use crate::commands::create::subjects;
use crate::failure::Failure;
use crate::flags::{Args, repeat};
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "subject",
    usage: "set subject (-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none] [options]",
    short: "Update the user, group, or service account in a role binding or cluster role binding",
    flags: &[
        PRINT,
        FILES,
        FLAGS,
        &[
            repeat("user", "Usernames to bind to the role"),
            repeat("group", "Groups to bind to the role"),
            repeat("serviceaccount", "Service accounts to bind to the role"),
        ],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let wanted = subjects(&args)?;
        if wanted.is_empty() {
            return Err(Failure::message("you must specify at least one value of user, group or serviceaccount"));
        }
        change(session, &args, &args.words, "subjects updated", &|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            if !["RoleBinding", "ClusterRoleBinding"].contains(&kind) {
                return Err(Failure::message("setting subjects is only supported for RoleBinding/ClusterRoleBinding"));
            }
            let mut all = object["subjects"].as_array().cloned().unwrap_or_default();
            for subject in &wanted {
                if !all.contains(subject) {
                    all.push(subject.clone());
                }
            }
            object["subjects"] = json!(all);
            Ok(())
        })
        .await
    })
}
