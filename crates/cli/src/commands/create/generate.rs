//! What all generators share: their name argument, their flags, and sending the object.

use crate::changes::Write;
use crate::command::{DRY_RUN, VALIDATE};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::Target;
use serde_json::{Value, json};

pub const FLAGS: &[Flag] = &[
    DRY_RUN,
    VALIDATE,
    text("field-manager", "kubectl-create", "Name of the manager used to track field ownership."),
    boolean("save-config", "If true, the configuration of current object will be saved in its annotation."),
];

/// The one word that names the object.
pub fn name<'a>(session: &Session, args: &'a Args) -> Outcome<&'a str> {
    let words = &args.words[..args.before_dash.unwrap_or(args.words.len())];
    match words {
        [name] => Ok(name),
        _ => Err(Failure::usage(&session.path, format!("exactly one NAME is required, got {}", words.len()))),
    }
}

/// The words behind the name: a container's command.
pub fn command(args: &Args) -> Vec<String> {
    args.words.iter().skip(args.before_dash.unwrap_or(1)).cloned().collect()
}

pub fn require(args: &Args, flags: &[&str]) -> Outcome {
    let missing: Vec<String> = flags.iter().filter(|flag| !args.has(flag)).map(|flag| format!("{flag:?}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::message(format!("required flag(s) {} not set", missing.join(", "))))
}

/// Metadata as Go writes it for an object not yet created.
pub fn metadata(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut metadata = json!({"creationTimestamp": null, "name": name});
    if !labels.is_empty() {
        metadata["labels"] = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    }
    metadata
}

/// Creates the object, or only shows it; `failed` begins the sentence where the server refuses.
pub async fn finish(session: &Session, args: &Args, mut object: Value, failed: &str) -> Outcome {
    let teller = Teller::of(args)?;
    let write = Write::of(args, "kubectl-create")?;
    let (target, shown) = place(session, &mut object, write.dry_run).await?;
    if args.bool("save-config") {
        crate::last_applied::record(&mut object);
    }
    if let Some(path) = target {
        let created = write.create(session, path, &object).await;
        object = created.map_err(|failure| match failure.status() {
            Some(status) if !failed.is_empty() => Failure::message(format!("{failed} {}", status.message)),
            _ => failure,
        })?;
    }
    teller.tell(&object, &shown, "created")
}

/// The path to create at (None where nothing is sent) and how the resource is shown.
async fn place(session: &Session, object: &mut Value, dry_run: DryRun) -> Outcome<(Option<String>, String)> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let Some(row) = kinds::find_kind(group, version, &kind) else {
        return Err(Failure::message(format!("no matches for kind {kind:?} in version {api_version:?}")));
    };
    let shown = if group.is_empty() { row.singular.to_string() } else { format!("{}.{group}", row.singular) };
    if row.namespaced
        && let Some(namespace) = session.given_namespace()
    {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if dry_run == DryRun::Client {
        return Ok((None, shown));
    }
    let namespace = if row.namespaced { Some(session.namespace().await?) } else { None };
    let target = Target {
        resource: crate::discovery::Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            name: row.resource.to_string(),
            singular: row.singular.to_string(),
            short_names: Vec::new(),
            kind,
            namespaced: row.namespaced,
            verbs: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
        },
        namespace,
        name: String::new(),
        object: None,
        source: String::new(),
    };
    Ok((Some(target.collection()), shown))
}
