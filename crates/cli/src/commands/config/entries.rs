//! `set-context`, `set-cluster` and `set-credentials`: an entry made or changed by flags. What a flag
//! clears beside what it sets is upstream's.

use super::edit::words;
use super::file::{File, has};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean, list, repeat, text};
use crate::output::line;
use crate::session::{Session, io_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

/// The fields of a user that name what credentials are asked of.
const EXEC: &str = "exec";
const PROVIDER: &str = "auth-provider";

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
    usage: "config set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [--auth-provider=provider_name] [--auth-provider-arg=key=value] [--exec-command=exec_command] [--exec-api-version=exec_api_version] [--exec-arg=arg] [--exec-env=key=value] [options]",
    short: "Set a user entry in kubeconfig",
    flags: &[&[
        text("client-certificate", "", "Path to client-certificate file for the user entry in kubeconfig"),
        text("client-key", "", "Path to client-key file for the user entry in kubeconfig"),
        boolean("embed-certs", "Embed client cert/key for the user entry in kubeconfig"),
        text("token", "", "token for the user entry in kubeconfig"),
        text("username", "", "username for the user entry in kubeconfig"),
        text("password", "", "password for the user entry in kubeconfig"),
        text("auth-provider", "", "Auth provider for the user entry in kubeconfig"),
        list("auth-provider-arg", "'key=value' arguments for the auth provider"),
        text("exec-command", "", "Command for the exec credential plugin for the user entry in kubeconfig"),
        text("exec-api-version", "", "API version of the exec credential plugin for the user entry in kubeconfig"),
        list("exec-arg", "New arguments for the exec credential plugin command for the user entry in kubeconfig"),
        repeat("exec-env", "'key=value' environment values for the exec credential plugin"),
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

fn set_context(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = match (args.words.as_slice(), args.bool("current")) {
            ([], true) => session.config()?.current_context,
            (_, true) => return Err(Failure::message("you cannot specify both a context name and --current")),
            ([], false) => String::new(),
            (_, false) => words::<1>(session, &args)?[0].to_owned(),
        };
        if name.is_empty() {
            let why = match args.bool("current") {
                true => "no current context is set",
                false => "you must specify a non-empty context name or --current",
            };
            return Err(Failure::message(why));
        }
        let created = change(session, "context", &name, |context, _| {
            for field in ["cluster", "user"].into_iter().filter(|field| args.has(field)) {
                context[field] = json!(args.text(field));
            }
            put(&args, context, "namespace");
            Ok(())
        })?;
        let told = if created { "created" } else { "modified" };
        line(&format!("Context {name:?} {told}."));
        Ok(())
    })
}

fn set_cluster(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        if name.is_empty() {
            return Err(Failure::message("you must specify a non-empty cluster name"));
        }
        change(session, "cluster", name, |cluster, folder| cluster_fields(&args, cluster, folder))?;
        line(&format!("Cluster {name:?} set."));
        Ok(())
    })
}

fn cluster_fields(args: &Args, cluster: &mut Value, folder: &Path) -> Outcome {
    let insecure = args.bool("insecure-skip-tls-verify");
    let authority = args.text("certificate-authority");
    if insecure && !authority.is_empty() {
        return Err(Failure::message("you cannot specify a certificate authority and insecure mode at the same time"));
    }
    if args.bool("embed-certs") && authority.is_empty() {
        return Err(Failure::message("you must specify a --certificate-authority to embed"));
    }
    if args.has("server") {
        cluster["server"] = json!(args.text("server"));
        // It was another server's.
        clear(cluster, "tls-server-name");
    }
    put(args, cluster, "tls-server-name");
    // Only the flag itself keeps it.
    clear(cluster, "insecure-skip-tls-verify");
    if insecure {
        cluster["insecure-skip-tls-verify"] = json!(true);
        clear(cluster, "certificate-authority");
        clear(cluster, "certificate-authority-data");
    }
    put_file(args, cluster, "certificate-authority", folder)?;
    put(args, cluster, "proxy-url");
    Ok(())
}

fn set_credentials(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [name] = words(session, &args)?;
        if name.is_empty() {
            return Err(Failure::message("you must specify a non-empty user name"));
        }
        change(session, "user", name, |user, folder| user_fields(&args, user, folder))?;
        line(&format!("User {name:?} set."));
        Ok(())
    })
}

fn user_fields(args: &Args, user: &mut Value, folder: &Path) -> Outcome {
    let given = |field: &str| !args.text(field).is_empty();
    let (token, basic) = (given("token"), given("username") || given("password"));
    if token && basic {
        let why =
            "you cannot specify more than one authentication method at the same time: --token, --username/--password";
        return Err(Failure::message(why));
    }
    if args.bool("embed-certs") && !given("client-certificate") && !given("client-key") {
        return Err(Failure::message("you must specify a --client-certificate or --client-key to embed"));
    }
    put_file(args, user, "client-certificate", folder)?;
    put_file(args, user, "client-key", folder)?;
    for field in ["token", "username", "password"] {
        put(args, user, field);
    }
    let others: &[&str] = match (token, basic) {
        (true, _) => &["username", "password"],
        (_, true) => &["token"],
        _ => &[],
    };
    others.iter().for_each(|field| clear(user, field));
    set_provider(args, user)?;
    set_exec(args, user)
}

/// Changes an entry by what its file's folder is for; says whether it is new.
fn change(session: &Session, key: &str, name: &str, edit: impl FnOnce(&mut Value, &Path) -> Outcome) -> Outcome<bool> {
    let list = format!("{key}s");
    let mut file = File::of(session, |content| has(content, &list, name))?;
    let folder = absolute(&file.path)?.parent().map(Path::to_owned).unwrap_or_default();
    let Some((entry, created)) = file.entry(&list, key, name) else { return Ok(false) };
    edit(entry, &folder)?;
    file.write()?;
    Ok(created)
}

fn clear(entry: &mut Value, field: &str) {
    if let Some(fields) = entry.as_object_mut() {
        fields.remove(field);
    }
}

/// The flag's text, where it was given; an empty one clears the field.
fn put(args: &Args, entry: &mut Value, field: &str) {
    if !args.has(field) {
        return;
    }
    match args.text(field) {
        "" => clear(entry, field),
        value => entry[field] = json!(value),
    }
}

/// A file's name, or with `--embed-certs` what is in it; the one takes the other away.
fn put_file(args: &Args, entry: &mut Value, field: &str, folder: &Path) -> Outcome {
    if !args.has(field) {
        return Ok(());
    }
    let (data, file) = (format!("{field}-data"), args.text(field));
    clear(entry, field);
    clear(entry, &data);
    if file.is_empty() {
        return Ok(());
    }
    if args.bool("embed-certs") {
        let unreadable = |why| format!("could not stat {field} file {file}: stat {file}: {}", io_text(&why));
        let bytes = std::fs::read(file).map_err(|why| Failure::message(unreadable(why)))?;
        entry[data] = json!(STANDARD.encode(bytes));
        return Ok(());
    }
    let path = absolute(Path::new(file))?;
    // What lies beside the kubeconfig file moves with it.
    let named = path.strip_prefix(folder).unwrap_or(&path);
    entry[field] = json!(named.display().to_string());
    Ok(())
}

/// From the root, without steps back.
fn absolute(path: &Path) -> Outcome<PathBuf> {
    let whole = std::path::absolute(path).map_err(|why| Failure::message(io_text(&why)))?;
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => _ = clean.pop(),
            other => clean.push(other),
        }
    }
    Ok(clean)
}

/// `key=value`, or `key-`, which takes it away.
fn assignment<'a>(flag: &str, pair: &'a str) -> Outcome<(&'a str, Option<&'a str>)> {
    match (pair.split_once('='), pair.strip_suffix('-')) {
        (Some((key, value)), _) => Ok((key, Some(value))),
        (None, Some(key)) => Ok((key, None)),
        _ => Err(Failure::message(format!("invalid {flag} format: {pair}"))),
    }
}

/// What client libraries had before plugins: a name and settings. Only the name makes one; another
/// name begins anew.
fn set_provider(args: &Args, user: &mut Value) -> Outcome {
    let name = args.text("auth-provider");
    if args.has("auth-provider") && user[PROVIDER]["name"] != name {
        user[PROVIDER] = json!({"config": {}, "name": name});
    }
    let Some(provider) = user.get_mut(PROVIDER).filter(|provider| provider.is_object()) else { return Ok(()) };
    if !provider["config"].is_object() {
        provider["config"] = json!({});
    }
    for pair in args.list("auth-provider-arg") {
        let (key, value) = assignment("auth-provider-arg", &pair)?;
        match (value, provider["config"].as_object_mut()) {
            (Some(value), _) => provider["config"][key] = json!(value),
            (None, Some(config)) => drop(config.remove(key)),
            (None, None) => {}
        }
    }
    Ok(())
}

/// A user's plugin. Only its command makes one; the other flags change one that is there.
fn set_exec(args: &Args, user: &mut Value) -> Outcome {
    if args.has("exec-command") {
        if !user[EXEC].is_object() {
            user[EXEC] = json!({"args": null, "env": null, "provideClusterInfo": false});
        }
        user[EXEC]["command"] = json!(args.text("exec-command"));
    }
    let Some(exec) = user.get_mut(EXEC).filter(|exec| exec.is_object()) else { return Ok(()) };
    for (flag, field) in [("exec-api-version", "apiVersion"), ("exec-interactive-mode", "interactiveMode")] {
        if args.has(flag) {
            exec[field] = json!(args.text(flag));
        }
    }
    let words: Vec<_> = args.list("exec-arg").into_iter().filter(|word| !word.is_empty()).collect();
    if !words.is_empty() {
        exec["args"] = json!(words);
    }
    if args.has("exec-provide-cluster-info") {
        exec["provideClusterInfo"] = json!(args.bool("exec-provide-cluster-info"));
    }
    if args.has("exec-env") {
        let mut env = exec["env"].as_array().cloned().unwrap_or_default();
        for pair in args.list("exec-env") {
            let (key, value) = assignment("exec-env", &pair)?;
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
