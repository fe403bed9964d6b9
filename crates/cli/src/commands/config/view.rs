//! Looking: `view`, `current-context`, `get-contexts`, `get-clusters`, `get-users`.

use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::output::{line, out};
use crate::print::Format;
use crate::print::table::aligned;
use crate::session::Session;
use base64::Engine;
use client::Kubeconfig;
use serde_json::{Value, json};

const VIEW_FLAGS: &[Flag] = &[
    boolean(
        "flatten",
        "Flatten the resulting kubeconfig file into self-contained output (useful for creating portable kubeconfig files)",
    ),
    Flag { default: "true", ..boolean("merge", "Merge the full hierarchy of kubeconfig files") },
    boolean("minify", "Remove all information not used by current-context from the output"),
    boolean("raw", "Display raw byte data and sensitive data"),
];

pub static VIEW: Command = Command {
    name: "view",
    usage: "config view [flags] [options]",
    short: "Display merged kubeconfig settings or a specified kubeconfig file",
    flags: &[PRINT, VIEW_FLAGS],
    run: Some(view),
    ..Command::EMPTY
};

pub static CURRENT_CONTEXT: Command = Command {
    name: "current-context",
    usage: "config current-context [flags] [options]",
    short: "Display the current-context",
    run: Some(current_context),
    ..Command::EMPTY
};

pub static GET_CONTEXTS: Command = Command {
    name: "get-contexts",
    usage: "config get-contexts [(-o|--output=)name)] [options]",
    short: "Describe one or many contexts",
    flags: &[&[
        boolean(
            "no-headers",
            "When using the default or custom-column output format, don't print headers (default print headers).",
        ),
        text("output", "", "Output format. One of: (name).").short('o'),
    ]],
    run: Some(get_contexts),
    ..Command::EMPTY
};

pub static GET_CLUSTERS: Command = Command {
    name: "get-clusters",
    usage: "config get-clusters [flags] [options]",
    short: "Display clusters defined in the kubeconfig",
    run: Some(|session, _| {
        Box::pin(async move {
            let config = session.config()?;
            names(config.clusters.iter().map(|entry| entry.name.as_str()));
            Ok(())
        })
    }),
    ..Command::EMPTY
};

pub static GET_USERS: Command = Command {
    name: "get-users",
    usage: "config get-users [flags] [options]",
    short: "Display users defined in the kubeconfig",
    run: Some(|session, _| {
        Box::pin(async move {
            let config = session.config()?;
            names(config.users.iter().map(|entry| entry.name.as_str()));
            Ok(())
        })
    }),
    ..Command::EMPTY
};

fn names<'n>(names: impl Iterator<Item = &'n str>) {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    line("NAME");
    names.into_iter().for_each(line);
}

/// Bytes and secrets that are not shown unless asked for.
const HIDDEN: [(&str, &str, &str, &str); 5] = [
    ("clusters", "cluster", "certificate-authority-data", "DATA+OMITTED"),
    ("users", "user", "client-certificate-data", "DATA+OMITTED"),
    ("users", "user", "client-key-data", "DATA+OMITTED"),
    ("users", "user", "token", "REDACTED"),
    ("users", "user", "password", "REDACTED"),
];

fn view(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let mut config = session.config()?;
        if args.bool("minify") {
            minify(&mut config)?;
        }
        let mut value = serde_json::to_value(&config).map_err(|why| Failure::message(why.to_string()))?;
        value["apiVersion"] = json!("v1");
        value["kind"] = json!("Config");
        if value["preferences"].is_null() {
            value["preferences"] = json!({});
        }
        if args.bool("flatten") {
            flatten(&mut value)?;
        }
        for list in ["clusters", "contexts", "users"] {
            if let Some(entries) = value[list].as_array_mut() {
                entries.sort_by_key(|entry| entry["name"].as_str().unwrap_or_default().to_owned());
            }
            if value[list].as_array().is_none_or(Vec::is_empty) {
                value[list] = Value::Null;
            }
        }
        if !args.bool("raw") && !args.bool("flatten") {
            for (list, key, field, shown) in HIDDEN {
                for entry in value[list].as_array_mut().into_iter().flatten() {
                    if entry[key].get(field).is_some() {
                        entry[key][field] = json!(shown);
                    }
                }
            }
        }
        match Format::of(&args, false)? {
            Format::Default => out(&wire::yaml::to_string(&value)),
            format => format.print(&value, "")?,
        }
        Ok(())
    })
}

/// Files that entries name, and the fields that hold what is in them.
const FILES: [(&str, &str, &str); 3] = [
    ("clusters", "cluster", "certificate-authority"),
    ("users", "user", "client-certificate"),
    ("users", "user", "client-key"),
];

/// Puts files into the configuration itself.
fn flatten(value: &mut Value) -> Outcome {
    for (list, key, field) in FILES {
        for entry in value[list].as_array_mut().into_iter().flatten() {
            let Some(path) = entry[key][field].as_str().filter(|path| !path.is_empty()).map(str::to_owned) else {
                continue;
            };
            let bytes = std::fs::read(&path)
                .map_err(|why| Failure::message(format!("open {path}: {}", crate::session::io_text(&why))))?;
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            entry[key][format!("{field}-data")] = json!(encoded);
            if let Some(map) = entry[key].as_object_mut() {
                map.remove(field);
            }
        }
    }
    Ok(())
}

fn minify(config: &mut Kubeconfig) -> Outcome {
    let name = config.current_context.clone();
    let Some(context) = config.context(&name).cloned() else {
        return Err(Failure::message("current-context must exist in order to minify"));
    };
    config.contexts.retain(|entry| entry.name == name);
    config.clusters.retain(|entry| entry.name == context.cluster);
    config.users.retain(|entry| entry.name == context.user);
    Ok(())
}

fn current_context(session: &Session, _args: Args) -> Done<'_> {
    Box::pin(async move {
        let current = session.config()?.current_context;
        if current.is_empty() {
            return Err(Failure::message("current-context is not set"));
        }
        line(&current);
        Ok(())
    })
}

fn get_contexts(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let config = session.config()?;
        let mut contexts: Vec<_> =
            config.contexts.iter().filter(|entry| args.words.is_empty() || args.words.contains(&entry.name)).collect();
        contexts.sort_by_key(|entry| entry.name.clone());
        let missing = args.words.iter().find(|word| config.context(word).is_none());
        let failure = missing.map(|name| Failure::message(format!("context {name} not found")));
        if args.text("output") == "name" {
            contexts.iter().for_each(|entry| line(&entry.name));
            return failure.map_or(Ok(()), Err);
        }
        let mut rows: Vec<Vec<String>> = Vec::new();
        if !args.bool("no-headers") {
            rows.push(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
        }
        for entry in contexts {
            let mark = if entry.name == config.current_context { "*" } else { "" };
            let context = &entry.context;
            rows.push(vec![
                mark.to_owned(),
                entry.name.clone(),
                context.cluster.clone(),
                context.user.clone(),
                context.namespace.clone().unwrap_or_default(),
            ]);
        }
        out(&aligned(&rows));
        failure.map_or(Ok(()), Err)
    })
}
