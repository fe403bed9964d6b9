//! Choosing, renaming and deleting entries.

use super::file::{File, has};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::output::{error_line, line};
use crate::session::Session;
use serde_json::json;

pub static USE_CONTEXT: Command = Command {
    name: "use-context",
    aliases: &["use"],
    usage: "config use-context CONTEXT_NAME [options]",
    short: "Set the current-context in a kubeconfig file",
    run: Some(use_context),
    ..Command::EMPTY
};

pub static RENAME_CONTEXT: Command = Command {
    name: "rename-context",
    usage: "config rename-context CONTEXT_NAME NEW_NAME [options]",
    short: "Rename a context from the kubeconfig file",
    run: Some(rename_context),
    ..Command::EMPTY
};

pub static DELETE_CONTEXT: Command = Command {
    name: "delete-context",
    usage: "config delete-context NAME [options]",
    short: "Delete the specified context from the kubeconfig",
    run: Some(|session, args| delete(session, args, "context")),
    ..Command::EMPTY
};

pub static DELETE_CLUSTER: Command = Command {
    name: "delete-cluster",
    usage: "config delete-cluster NAME [options]",
    short: "Delete the specified cluster from the kubeconfig",
    run: Some(|session, args| delete(session, args, "cluster")),
    ..Command::EMPTY
};

pub static DELETE_USER: Command = Command {
    name: "delete-user",
    usage: "config delete-user NAME [options]",
    short: "Delete the specified user from the kubeconfig",
    run: Some(|session, args| delete(session, args, "user")),
    ..Command::EMPTY
};

/// Exactly `N` words.
pub(super) fn words<'a, const N: usize>(session: &Session, args: &'a Args) -> Outcome<[&'a str; N]> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    words.try_into().map_err(|_| Failure::usage(&session.path, format!("Unexpected args: [{}]", args.words.join(" "))))
}

fn use_context(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        if session.config()?.context(name).is_none() {
            return Err(Failure::message(format!("no context exists with the name: {name:?}")));
        }
        let mut file =
            File::of(session, |content| content["current-context"].as_str().is_some_and(|name| !name.is_empty()))?;
        file.content["current-context"] = json!(name);
        file.write()?;
        line(&format!("Switched to context {name:?}."));
        Ok(())
    })
}

fn rename_context(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [old, new] = words(session, &args)?;
        let mut file = File::of(session, |content| has(content, "contexts", old))?;
        if !has(&file.content, "contexts", old) {
            let text = format!("cannot rename the context {old:?}, it's not in {}", file.path.display());
            return Err(Failure::message(text));
        }
        if has(&file.content, "contexts", new) {
            let text = format!(
                "cannot rename the context {old:?}, the context {new:?} already exists in {}",
                file.path.display()
            );
            return Err(Failure::message(text));
        }
        for entry in file.content["contexts"].as_array_mut().into_iter().flatten() {
            if entry["name"] == old {
                entry["name"] = json!(new);
            }
        }
        if file.content["current-context"] == old {
            file.content["current-context"] = json!(new);
        }
        file.write()?;
        line(&format!("Context {old:?} renamed to {new:?}."));
        Ok(())
    })
}

fn delete<'a>(session: &'a Session, args: Args, key: &'static str) -> Done<'a> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        let list = format!("{key}s");
        let mut file = File::of(session, |content| has(content, &list, name))?;
        let path = file.path.display().to_string();
        if !has(&file.content, &list, name) {
            return Err(Failure::message(format!("cannot delete {key} {name}, not in {path}")));
        }
        if key == "context" && file.content["current-context"] == name {
            error_line(
                "warning: this removed your active context, use \"kubectl config use-context\" to select a different one",
            );
        }
        file.remove(&list, name);
        file.write()?;
        line(&format!("deleted {key} {name} from {path}"));
        Ok(())
    })
}
