//! `kubectl create namespace`.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::flags::Args;
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "namespace",
    aliases: &["ns"],
    usage: "create namespace NAME [--dry-run=server|client|none] [options]",
    short: "Create a namespace with the specified name",
    examples: "# Create a new namespace named my-namespace\nkubectl create namespace my-namespace",
    flags: &[PRINT, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, &[]), "spec": {}, "status": {}});
        finish(session, &args, object, "").await
    })
}
