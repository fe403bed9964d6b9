//! `kubectl label` and `kubectl annotate`: `KEY=VALUE` sets, `KEY-` removes.

use crate::changes::{MERGE, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::output::line;
use crate::print::{DryRun, Teller, name_of};
use crate::session::Session;
use crate::shared_flags::{FIELD_MANAGER, LOCAL, RECORD, SELECTION};
use crate::targets::{Target, fetched, objects, targets};
use serde_json::{Map, Value, json};

const FLAGS: &[Flag] = &[
    DRY_RUN,
    FIELD_MANAGER,
    boolean("list", "If true, display the labels or annotations for a given resource."),
    LOCAL,
    boolean(
        "overwrite",
        "If true, allow values to be overwritten, otherwise reject updates that overwrite existing ones.",
    ),
    RECORD,
    text(
        "resource-version",
        "",
        "If non-empty, the update will only succeed if this is the current resource-version for the object.",
    ),
];

pub static LABEL: Command = Command {
    name: "label",
    usage: "label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]",
    short: "Update the labels on a resource",
    examples: "# Update pod 'foo' with the label 'unhealthy' and the value 'true'\nkubectl label pods foo unhealthy=true\n\n# Update pod 'foo' with the label 'status' and the value 'unhealthy', overwriting any existing value\nkubectl label --overwrite pods foo status=unhealthy\n\n# Update pod 'foo' by removing a label named 'bar' if it exists\nkubectl label pods foo bar-",
    flags: &[PRINT, FILES, SELECTION, FLAGS],
    run: Some(|session, args| run(session, args, &LABELS)),
    ..Command::EMPTY
};

pub static ANNOTATE: Command = Command {
    name: "annotate",
    usage: "annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]",
    short: "Update the annotations on a resource",
    examples: "# Update pod 'foo' with the annotation 'description' and the value 'my frontend'\nkubectl annotate pods foo description='my frontend'\n\n# Update pod 'foo' by removing an annotation named 'description' if it exists\nkubectl annotate pods foo description-",
    flags: &[PRINT, FILES, SELECTION, FLAGS],
    run: Some(|session, args| run(session, args, &ANNOTATIONS)),
    ..Command::EMPTY
};

struct Sort {
    /// The map in the metadata.
    field: &'static str,
    word: &'static str,
    manager: &'static str,
}

static LABELS: Sort = Sort { field: "labels", word: "label", manager: "kubectl-label" };
static ANNOTATIONS: Sort = Sort { field: "annotations", word: "annotation", manager: "kubectl-annotate" };

fn run<'a>(session: &'a Session, args: Args, sort: &'static Sort) -> Done<'a> {
    Box::pin(async move {
        let (words, changes) = split(&args, sort)?;
        if words.is_empty() && !crate::targets::gives_files(&args)? {
            return Err(Failure::message(
                "one or more resources must be specified as <resource> <name> or <resource>/<name>",
            ));
        }
        if changes.is_empty() && !args.bool("list") {
            return Err(Failure::message(format!("at least one {} update is required", sort.word)));
        }
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, sort.manager)?;
        if args.bool("local") {
            for (_, mut object) in objects(session, &args).await? {
                change(&mut object, &changes, &args, sort)?;
                teller.format.print(&object, "")?;
            }
            return Ok(());
        }
        let (mut chosen, mut failures) = (Vec::new(), Vec::new());
        for target in targets(session, &args, &words).await? {
            match fetched(session, &args, vec![target]).await {
                Ok(found) => chosen.extend(found),
                Err(failure) => failures.push(failure),
            }
        }
        let several = chosen.len() > 1;
        let edit = Edit { session, args: &args, sort, changes: &changes, teller: &teller, write: &write };
        for (target, old) in chosen {
            if args.bool("list") {
                list(&old, sort, several);
            } else {
                failures.extend(edit.carry_out(&target, old).await.err());
            }
        }
        Failure::collect(failures)
    })
}

/// One command's work on each of its objects.
struct Edit<'a> {
    session: &'a Session,
    args: &'a Args,
    sort: &'static Sort,
    changes: &'a Map<String, Value>,
    teller: &'a Teller,
    write: &'a Write,
}

impl Edit<'_> {
    async fn carry_out(&self, target: &Target, old: Value) -> Outcome {
        let Edit { session, args, sort, changes, teller, write } = self;
        let shown = target.resource.shown();
        let mut new = old.clone();
        change(&mut new, changes, args, sort)?;
        if !args.text("resource-version").is_empty() {
            new["metadata"]["resourceVersion"] = json!(args.text("resource-version"));
        }
        let told = told(sort, &old, &new, changes);
        if new != old {
            crate::change_cause::note(&session.path, args, &mut new);
        }
        if write.dry_run != DryRun::Client && old != new {
            let patch = wire::patch::json_merge_diff(&old, &new, &old);
            new = write.patch(session, target.path(None), MERGE, patch.to_string()).await?;
        }
        teller.tell(&new, &shown, told)
    }
}

fn told(sort: &Sort, old: &Value, new: &Value, changes: &Map<String, Value>) -> &'static str {
    if sort.word == "annotation" {
        return "annotated";
    }
    match (old == new, changes.values().all(Value::is_null)) {
        (true, _) => "not labeled",
        (false, true) => "unlabeled",
        (false, false) => "labeled",
    }
}

/// The words before the first change, and the changes; null removes.
fn split(args: &Args, sort: &Sort) -> Outcome<(Vec<String>, Map<String, Value>)> {
    let is_change = |word: &&String| word.contains('=') || word.ends_with('-');
    let words: Vec<String> = args.words.iter().take_while(|word| !is_change(word)).cloned().collect();
    let mut changes = Map::new();
    for word in &args.words[words.len()..] {
        if let Some((key, value)) = word.split_once('=') {
            if sort.word == "label" {
                let problems = meta::validation::label_value(value);
                if !problems.is_empty() {
                    return Err(Failure::message(format!("invalid label value: {word:?}: {}", problems.join("; "))));
                }
            }
            if changes.insert(key.to_owned(), json!(value)).is_some_and(|old| old.is_null()) {
                return Err(Failure::message(format!(
                    "can not both modify and remove a {} in the same command",
                    sort.word
                )));
            }
        } else if let Some(key) = word.strip_suffix('-') {
            if changes.insert(key.to_owned(), Value::Null).is_some_and(|old| !old.is_null()) {
                return Err(Failure::message(format!(
                    "can not both modify and remove a {} in the same command",
                    sort.word
                )));
            }
        } else {
            return Err(Failure::message(format!(
                "all resources must be specified before {} changes: {word}",
                sort.word
            )));
        }
    }
    Ok((words, changes))
}

fn change(object: &mut Value, changes: &Map<String, Value>, args: &Args, sort: &Sort) -> Outcome {
    let overwrites = args.bool("overwrite");
    let metadata = &mut object["metadata"];
    if !metadata[sort.field].is_object() {
        if changes.values().all(Value::is_null) {
            changes.keys().for_each(|key| absent(key, sort));
            return Ok(());
        }
        metadata[sort.field] = json!({});
    }
    let Some(map) = metadata[sort.field].as_object_mut() else { return Ok(()) };
    for (key, value) in changes {
        match (map.get(key), value) {
            (None, Value::Null) => absent(key, sort),
            (Some(_), Value::Null) => {
                map.remove(key);
            }
            (Some(old), new) if old != new && !overwrites => {
                let old = old.as_str().unwrap_or_default();
                let text = match sort.word {
                    "label" => format!("'{key}' already has a value ({old}), and --overwrite is false"),
                    _ => format!(
                        "--overwrite is false but found the following declared annotation(s): '{key}' already has a value ({old})"
                    ),
                };
                return Err(Failure::message(text));
            }
            (_, new) => {
                map.insert(key.clone(), new.clone());
            }
        }
    }
    if map.is_empty()
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove(sort.field);
    }
    Ok(())
}

fn absent(key: &str, sort: &Sort) {
    if sort.word == "label" {
        line(&format!("label {key:?} not found."));
    }
}

/// `among`: beside others, so that it must be told which these are of.
fn list(object: &Value, sort: &Sort, among: bool) {
    let blank = if among { " " } else { "" };
    if among {
        let kind = object["kind"].as_str().unwrap_or_default();
        line(&format!("Listing {} for {kind}/{}:", sort.field, name_of(object)));
    }
    let map = object["metadata"][sort.field].as_object();
    map.into_iter()
        .flatten()
        .for_each(|(key, value)| line(&format!("{blank}{key}={}", value.as_str().unwrap_or_default())));
}
