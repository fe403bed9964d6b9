//! Changing: contexts, clusters, users, and single properties.

use super::file::{File, has};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean, list, text};
use crate::output::{error_line, line};
use crate::session::{Session, io_text};
use base64::Engine;
use serde_json::{Value, json};

/// The field of a user that names a credential plugin.
const EXEC: &str = "exec";

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

pub static SET_CONTEXT: Command = Command {
    name: "set-context",
    usage: "config set-context [NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace] [options]",
    short: "Set a context entry in kubeconfig",
    flags: &[&[
        boolean("current", "Modify the current context"),
        text("cluster", "", "cluster for the context entry in kubeconfig"),
        text("user", "", "user for the context entry in kubeconfig"),
        text("namespace", "", "namespace for the context entry in kubeconfig").short('n'),
    ]],
    run: Some(set_context),
    ..Command::EMPTY
};

pub static SET_CLUSTER: Command = Command {
    name: "set-cluster",
    usage: "config set-cluster NAME [--server=server] [--certificate-authority=path/to/certificate/authority] [--insecure-skip-tls-verify=true] [--tls-server-name=example.com] [options]",
    short: "Set a cluster entry in kubeconfig",
    flags: &[&[
        text("server", "", "server for the cluster entry in kubeconfig"),
        text("tls-server-name", "", "tls-server-name for the cluster entry in kubeconfig"),
        boolean("insecure-skip-tls-verify", "insecure-skip-tls-verify for the cluster entry in kubeconfig"),
        text("certificate-authority", "", "Path to certificate-authority file for the cluster entry in kubeconfig"),
        boolean("embed-certs", "embed-certs for the cluster entry in kubeconfig"),
        text("proxy-url", "", "proxy-url for the cluster entry in kubeconfig"),
    ]],
    run: Some(set_cluster),
    ..Command::EMPTY
};

pub static SET_CREDENTIALS: Command = Command {
    name: "set-credentials",
    usage: "config set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [options]",
    short: "Set a user entry in kubeconfig",
    flags: &[&[
        text("client-certificate", "", "Path to client-certificate file for the user entry in kubeconfig"),
        text("client-key", "", "Path to client-key file for the user entry in kubeconfig"),
        boolean("embed-certs", "Embed client cert/key for the user entry in kubeconfig"),
        text("token", "", "token for the user entry in kubeconfig"),
        text("username", "", "username for the user entry in kubeconfig"),
        text("password", "", "password for the user entry in kubeconfig"),
        text("exec-command", "", "Command for the exec credential plugin for the user entry in kubeconfig"),
        text("exec-api-version", "", "API version of the exec credential plugin for the user entry in kubeconfig"),
        list("exec-arg", "New arguments for the exec credential plugin command for the user entry in kubeconfig"),
        list("exec-env", "'key=value' environment values for the exec credential plugin"),
        text(
            "exec-interactive-mode",
            "",
            "InteractiveMode of the exec credentials plugin for the user entry in kubeconfig",
        ),
        boolean(
            "exec-provide-cluster-info",
            "ProvideClusterInfo of the exec credentials plugin for the user entry in kubeconfig",
        ),
    ]],
    run: Some(set_credentials),
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

pub static SET: Command = Command {
    name: "set",
    usage: "config set PROPERTY_NAME PROPERTY_VALUE [options]",
    short: "Set an individual value in a kubeconfig file",
    flags: &[&[boolean(
        "set-raw-bytes",
        "When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding.",
    )]],
    run: Some(|session, args| property(session, args, true)),
    ..Command::EMPTY
};

pub static UNSET: Command = Command {
    name: "unset",
    usage: "config unset PROPERTY_NAME [options]",
    short: "Unset an individual value in a kubeconfig file",
    run: Some(|session, args| property(session, args, false)),
    ..Command::EMPTY
};

/// Exactly `N` words.
fn words<'a, const N: usize>(session: &Session, args: &'a Args) -> Outcome<[&'a str; N]> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    words.try_into().map_err(|_| Failure::usage(&session.path, format!("unexpected args: {:?}", args.words)))
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

fn set_context(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = if args.bool("current") {
            let current = session.config()?.current_context;
            if current.is_empty() {
                return Err(Failure::message("no current context is set"));
            }
            current
        } else {
            let [name] = words(session, &args)?;
            name.to_owned()
        };
        let created = change(session, &args, "context", &name, &["cluster", "namespace", "user"])?;
        let told = if created { "created" } else { "modified" };
        line(&format!("Context {name:?} {told}."));
        Ok(())
    })
}

/// Sets the given flags as fields of an entry; says whether it is new.
fn change(session: &Session, args: &Args, key: &str, name: &str, fields: &[&str]) -> Outcome<bool> {
    let list = format!("{key}s");
    let mut file = File::of(session, |content| has(content, &list, name))?;
    let created = {
        let Some((entry, created)) = file.entry(&list, key, name) else { return Ok(false) };
        for field in fields {
            if *field == EXEC {
                set_exec(args, entry)?;
            } else if args.has(field) {
                set_field(args, entry, field)?;
            }
        }
        created
    };
    file.write()?;
    Ok(created)
}

fn set_field(args: &Args, entry: &mut Value, field: &str) -> Outcome {
    let value = args.text(field);
    let is_file = ["certificate-authority", "client-certificate", "client-key"].contains(&field);
    let data = format!("{field}-data");
    if let Some(map) = entry.as_object_mut()
        && is_file
    {
        map.remove(&data);
        map.remove(field);
    }
    if is_file && args.bool("embed-certs") {
        let bytes = std::fs::read(value)
            .map_err(|why| Failure::message(format!("could not stat {field} file {value}: {}", io_text(&why))))?;
        entry[data] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    } else if is_file {
        let absolute = std::path::absolute(value).map_err(|why| Failure::message(why.to_string()))?;
        entry[field] = json!(absolute.display().to_string());
    } else if field == "insecure-skip-tls-verify" {
        entry[field] = json!(args.bool(field));
    } else {
        entry[field] = json!(value);
    }
    if value.is_empty()
        && let Some(map) = entry.as_object_mut()
    {
        map.remove(field);
    }
    Ok(())
}

/// A user's plugin. Only its command makes one; the other flags change one that is there.
fn set_exec(args: &Args, user: &mut Value) -> Outcome {
    if args.has("exec-command") {
        if !user[EXEC].is_object() {
            user[EXEC] = json!({"apiVersion": "", "args": null, "env": null, "provideClusterInfo": false});
        }
        user[EXEC]["command"] = json!(args.text("exec-command"));
    }
    let Some(exec) = user.get_mut(EXEC).filter(|exec| exec.is_object()) else { return Ok(()) };
    for (flag, field) in [("exec-api-version", "apiVersion"), ("exec-interactive-mode", "interactiveMode")] {
        if args.has(flag) {
            exec[field] = json!(args.text(flag));
        }
    }
    if args.has("exec-arg") {
        exec["args"] = json!(args.list("exec-arg"));
    }
    if args.has("exec-provide-cluster-info") {
        exec["provideClusterInfo"] = json!(args.bool("exec-provide-cluster-info"));
    }
    if args.has("exec-env") {
        let mut env = exec["env"].as_array().cloned().unwrap_or_default();
        for pair in args.list("exec-env") {
            // `key-` takes it away.
            let (key, value) = match (pair.split_once('='), pair.strip_suffix('-')) {
                (Some((key, value)), _) => (key, Some(value)),
                (None, Some(key)) => (key, None),
                _ => return Err(Failure::message(format!("invalid exec-env format: {pair}"))),
            };
            let known = env.iter().position(|one| one["name"] == key);
            match (known, value) {
                (Some(at), Some(value)) => env[at]["value"] = json!(value),
                (Some(at), None) => drop(env.remove(at)),
                (None, Some(value)) => env.push(json!({"name": key, "value": value})),
                (None, None) => {}
            }
        }
        exec["env"] = json!(env);
    }
    Ok(())
}

fn set_cluster(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        let fields = ["server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority", "proxy-url"];
        change(session, &args, "cluster", name, &fields)?;
        line(&format!("Cluster {name:?} set."));
        Ok(())
    })
}

fn set_credentials(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        let fields = ["client-certificate", "client-key", "token", "username", "password", EXEC];
        change(session, &args, "user", name, &fields)?;
        line(&format!("User {name:?} set."));
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

fn property<'a>(session: &'a Session, args: Args, sets: bool) -> Done<'a> {
    Box::pin(async move {
        let (path, value) = if sets {
            let [path, value] = words(session, &args)?;
            (path, Some(value))
        } else {
            let [path] = words(session, &args)?;
            (path, None)
        };
        let mut file = File::of(session, |_| true)?;
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        let key = first.strip_suffix('s').filter(|_| ["clusters", "contexts", "users"].contains(&first));
        match (key, parts.next()) {
            (Some(key), Some(name)) => {
                let rest: Vec<&str> = parts.collect();
                match rest.as_slice() {
                    [] => file.remove(first, name),
                    fields => {
                        let Some((entry, _)) = file.entry(first, key, name) else { return Ok(()) };
                        put(entry, &fields.join("."), value);
                    }
                }
            }
            _ => put(&mut file.content, path, value),
        }
        file.write()?;
        line(&format!("Property {path:?} {}.", if sets { "set" } else { "unset" }));
        Ok(())
    })
}

fn put(map: &mut Value, field: &str, value: Option<&str>) {
    let Some(map) = map.as_object_mut() else { return };
    match value {
        Some(value @ ("true" | "false")) => map.insert(field.to_owned(), json!(value == "true")),
        Some(value) => map.insert(field.to_owned(), json!(value)),
        None => map.remove(field),
    };
}
