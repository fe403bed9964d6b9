//! `kubectl set serviceaccount`.

use super::change::{FLAGS, change, require_spec};
use crate::command::{Command, Done, FILES, PRINT};
use crate::failure::Failure;
use crate::flags::Args;
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "serviceaccount",
    aliases: &["sa"],
    usage: "set serviceaccount (-f FILENAME | TYPE NAME) SERVICE_ACCOUNT [options]",
    short: "Update the service account of a resource",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let Some((account, words)) = args.words.split_last() else {
            return Err(Failure::message("serviceaccount is required"));
        };
        change(session, &args, words, "serviceaccount updated", &|object| {
            let spec = require_spec(object)?;
            spec["serviceAccountName"] = json!(account);
            // Written by the server for those who still read the old name.
            if spec.get("serviceAccount").is_some() {
                spec["serviceAccount"] = json!(account);
            }
            Ok(())
        })
        .await
    })
}
