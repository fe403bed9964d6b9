//! `kubectl create serviceaccount`.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::flags::Args;
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "serviceaccount",
    aliases: &["sa"],
    usage: "create serviceaccount NAME [--dry-run=server|client|none] [options]",
    short: "Create a service account with the specified name",
    examples: "# Create a new service account named my-service-account\nkubectl create serviceaccount my-service-account",
    flags: &[PRINT, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, &[])});
        finish(session, &args, object, "failed to create serviceaccount:").await
    })
}
