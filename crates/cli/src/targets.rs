//! What a command line is about: objects in files, or resources and names in words.

use crate::discovery::Resource;
use crate::download;
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::session::{Call, Session, io_text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A manifest may be as long as a request body, and a file hold many.
const FILE_LIMIT: usize = 64 << 20;

/// One object, or all of a resource where `name` is empty.
#[derive(Debug, Clone)]
pub struct Target {
    pub resource: Resource,
    /// None: cluster-scoped, or in all namespaces.
    pub namespace: Option<String>,
    pub name: String,
    /// As the file has it.
    pub object: Option<Value>,
    /// The file it came from.
    pub source: String,
}

impl Target {
    pub fn path(&self, subresource: Option<&str>) -> String {
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        self.resource.path(self.namespace.as_deref(), name, subresource)
    }

    /// The path that objects of its kind are created at.
    pub fn collection(&self) -> String {
        self.resource.path(self.namespace.as_deref(), None, None)
    }

    /// `deployment.apps/web`
    pub fn shown(&self) -> String {
        format!("{}/{}", self.resource.shown(), self.name)
    }

    pub async fn get(&self, session: &Session) -> Outcome<Value> {
        session.json(Call::get(self.path(None))).await
    }
}

const NOTHING_GIVEN: &str = "You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'";

/// The targets of a command that takes files or words. Words without names mean all objects, for
/// which commands ask with `--all` or a selector.
pub async fn targets(session: &Session, args: &Args, words: &[String]) -> Outcome<Vec<Target>> {
    if gives_files(args)? {
        if !words.is_empty() {
            let text =
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well";
            return Err(Failure::message(text));
        }
        return from_files(session, args).await;
    }
    if words.is_empty() {
        return Err(Failure::message(NOTHING_GIVEN));
    }
    from_words(session, words, args.bool("all-namespaces")).await
}

/// Whether objects are given by files or a kustomization.
pub fn gives_files(args: &Args) -> Outcome<bool> {
    let (files, folder) = (!args.list("filename").is_empty(), !args.text("kustomize").is_empty());
    if files && folder {
        return Err(Failure::message("only one of -f or -k can be specified"));
    }
    Ok(files || folder)
}

/// `pods`, `pods a b`, `pods,services`, `pod/a service/b`.
pub async fn from_words(session: &Session, words: &[String], all_namespaces: bool) -> Outcome<Vec<Target>> {
    let namespace = if all_namespaces { None } else { Some(session.namespace().await?) };
    let of = |resource: Resource, name: &str| Target {
        namespace: namespace.clone().filter(|_| resource.namespaced),
        resource,
        name: name.to_owned(),
        object: None,
        source: String::new(),
    };
    let mut targets = Vec::new();
    if words.iter().any(|word| word.contains('/')) {
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                let text = "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'";
                return Err(Failure::message(text));
            };
            if name.contains('/') {
                let text = "arguments in resource/name form may not have more than one slash";
                return Err(Failure::message(text));
            }
            if kind.is_empty() || name.is_empty() {
                let text = "arguments in resource/name form must have a single resource and name";
                return Err(Failure::message(text));
            }
            targets.push(of(session.resource(kind).await?, name));
        }
        return Ok(targets);
    }
    let Some((kinds, names)) = words.split_first() else { return Ok(targets) };
    for kind in kinds.split(',') {
        let category = session.discovery().await?.category(kind);
        let resources = match category.is_empty() {
            true => vec![session.resource(kind).await?],
            false => category.into_iter().cloned().collect(),
        };
        for resource in resources {
            if names.is_empty() {
                targets.push(of(resource, ""));
            } else {
                targets.extend(names.iter().map(|name| of(resource.clone(), name)));
            }
        }
    }
    Ok(targets)
}

/// All objects of the files, folders and standard input given.
pub async fn from_files(session: &Session, args: &Args) -> Outcome<Vec<Target>> {
    let validates = !["", "false", "ignore"].contains(&args.text("validate"));
    let check = if validates { Check::Validate } else { Check::Decode };
    let mut targets = Vec::new();
    for (source, object) in given(session, args, check).await? {
        targets.push(of_object(session, object, source).await?);
    }
    Ok(targets)
}

/// Where an object is served, with the namespace it goes to.
pub async fn of_object(session: &Session, mut object: Value, source: String) -> Outcome<Target> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let name = crate::print::name_of(&object).to_owned();
    let own_namespace = crate::print::namespace_of(&object).to_owned();
    let Some(resource) = session.discovery().await?.of_kind(&api_version, &kind).cloned() else {
        return Err(Failure::message(format!(
            "resource mapping not found for name: {name:?} namespace: {own_namespace:?} from {source:?}: no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first"
        )));
    };
    let mut namespace = None;
    if resource.namespaced {
        let given = session.given_namespace();
        if let Some(given) = given.filter(|given| !own_namespace.is_empty() && *given != own_namespace) {
            return Err(Failure::message(format!(
                "the namespace from the provided object {own_namespace:?} does not match the namespace {given:?}. You must pass '--namespace={own_namespace}' to perform this operation."
            )));
        }
        let chosen = if own_namespace.is_empty() { session.namespace().await? } else { own_namespace };
        if let Some(map) = object.as_object_mut() {
            let metadata = map.entry("metadata").or_insert_with(|| json!({}));
            if metadata.is_object() {
                metadata["namespace"] = json!(chosen);
            }
        }
        namespace = Some(chosen);
    }
    Ok(Target { resource, namespace, name, object: Some(object), source })
}

/// The objects of `-f` and `-k` with their sources, lists taken apart.
pub async fn objects(session: &Session, args: &Args) -> Outcome<Vec<(String, Value)>> {
    given(session, args, Check::Decode).await
}

async fn given(session: &Session, args: &Args, check: Check) -> Outcome<Vec<(String, Value)>> {
    let folder = args.text("kustomize");
    if folder.is_empty() {
        return read_objects(session, &args.list("filename"), args.bool("recursive"), check).await;
    }
    let mut found = Vec::new();
    for object in crate::kustomize::build(folder)? {
        take_apart(folder, object, check, &mut found)?;
    }
    Ok(found)
}

/// What is done about objects that are none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// They cannot be read.
    Decode,
    /// They are told to be invalid, as before a create.
    Validate,
}

fn validate(source: &str, value: &Value) -> Outcome {
    let lacks = |field: &str| value[field].as_str().is_none_or(str::is_empty);
    let why = match (value.is_object(), lacks("apiVersion"), lacks("kind")) {
        (false, ..) => "invalid object to validate",
        (_, true, true) => "[apiVersion not set, kind not set]",
        (_, true, false) => "apiVersion not set",
        (_, false, true) => "kind not set",
        _ => return Ok(()),
    };
    Err(Failure::message(format!(
        "error validating {source:?}: error validating data: {why}; if you choose to ignore these errors, turn validation off with --validate=false"
    )))
}

async fn read_objects(
    session: &Session,
    files: &[String],
    recursive: bool,
    check: Check,
) -> Outcome<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for file in files {
        for (source, text) in texts(session, file, recursive).await? {
            for document in documents(&source, &text)? {
                take_apart(&source, document, check, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn documents(source: &str, text: &str) -> Outcome<Vec<Value>> {
    if text.trim_start().starts_with('{') {
        let stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let parsed: Result<Vec<Value>, _> = stream.collect();
        if let Ok(values) = parsed {
            return Ok(values);
        }
    }
    let read = |document: &str| {
        let parsed = wire::yaml::parse_document(document)
            .map_err(|why| Failure::message(format!("error parsing {source}: error converting YAML to JSON: {why}")))?;
        Ok(parsed.value)
    };
    wire::yaml::documents(text).map(read).filter(|value| !matches!(value, Ok(Value::Null))).collect()
}

fn take_apart(source: &str, value: Value, check: Check, found: &mut Vec<(String, Value)>) -> Outcome {
    if check == Check::Validate {
        validate(source, &value)?;
    }
    let decode = |what: &str, value: &Value| {
        Failure::message(format!(
            "unable to decode {source:?}: Object '{what}' is missing in '{}'",
            crate::print::json::compact(value)
        ))
    };
    if !value.is_object() {
        let text = "json: cannot unmarshal into Go value of type map[string]interface {}";
        return Err(Failure::message(format!("unable to decode {source:?}: {text}")));
    }
    if value["kind"].as_str().is_none_or(str::is_empty) {
        return Err(decode("Kind", &value));
    }
    if value["apiVersion"].as_str().is_none_or(str::is_empty) {
        return Err(decode("apiVersion", &value));
    }
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(Value::as_array) {
        Some(items) if is_list => {
            for item in items {
                take_apart(source, item.clone(), check, found)?;
            }
        }
        _ => found.push((source.to_owned(), value)),
    }
    Ok(())
}

/// The texts behind one `-f`: a file, a folder's manifests, a URL, or standard input.
async fn texts(session: &Session, file: &str, recursive: bool) -> Outcome<Vec<(String, String)>> {
    if file == "-" {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|why| Failure::message(format!("cannot read standard input: {why}")))?;
        return Ok(vec![("STDIN".to_owned(), text)]);
    }
    if download::is_url(file) {
        return Ok(vec![(file.to_owned(), download::text(file, FILE_LIMIT, &session.env).await?)]);
    }
    let path = Path::new(file);
    if !path.exists() {
        return Err(Failure::message(format!("the path {file:?} does not exist")));
    }
    let paths = if path.is_dir() { manifests(path, recursive)? } else { vec![path.to_owned()] };
    let mut texts = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        texts.push((shown, read(&path)?));
    }
    Ok(texts)
}

/// Reads a file of bounded length.
pub fn read(path: &Path) -> Outcome<String> {
    let failed = |why: &std::io::Error| Failure::message(format!("open {}: {}", path.display(), io_text(why)));
    let length = std::fs::metadata(path).map_err(|why| failed(&why))?.len();
    if length > FILE_LIMIT as u64 {
        return Err(Failure::message(format!("{} is longer than {FILE_LIMIT} bytes", path.display())));
    }
    std::fs::read_to_string(path).map_err(|why| failed(&why))
}

fn manifests(folder: &Path, recursive: bool) -> Outcome<Vec<PathBuf>> {
    let failed = |why: std::io::Error| Failure::message(format!("open {}: {}", folder.display(), io_text(&why)));
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        let is_manifest = path.extension().and_then(|end| end.to_str());
        if path.is_dir() {
            if recursive {
                found.extend(manifests(&path, true)?);
            }
        } else if is_manifest.is_some_and(|end| ["json", "yaml", "yml"].contains(&end)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Targets that stand for all objects become those objects, as the selectors narrow them; the
/// others are fetched. Each comes with its object.
pub async fn fetched(session: &Session, args: &Args, targets: Vec<Target>) -> Outcome<Vec<(Target, Value)>> {
    let mut found = Vec::new();
    for target in targets {
        if !target.name.is_empty() {
            let object = target.get(session).await?;
            found.push((target, object));
            continue;
        }
        let selected = !args.text("selector").is_empty() || !args.text("field-selector").is_empty();
        if !selected && !args.bool("all") {
            return Err(Failure::message("resource(s) were provided, but no name was specified"));
        }
        found.extend(listed(session, args, target).await?);
    }
    Ok(found)
}

/// The objects of a resource, as the selectors narrow them.
pub async fn listed(session: &Session, args: &Args, target: Target) -> Outcome<Vec<(Target, Value)>> {
    let mut call = Call::get(target.collection());
    call = call.query("labelSelector", args.text("selector")).query("fieldSelector", args.text("field-selector"));
    let list = session.json(call).await.map_err(|failure| selecting(failure, args, &target.resource))?;
    Ok(items(&target, &list))
}

/// The objects of a resource with certain labels.
pub async fn listed_by(session: &Session, target: Target, labels: &str) -> Outcome<Vec<(Target, Value)>> {
    let list = session.json(Call::get(target.collection()).query("labelSelector", labels)).await?;
    Ok(items(&target, &list))
}

fn items(target: &Target, list: &Value) -> Vec<(Target, Value)> {
    let own = |mut item: Value| {
        // Items of a list go without what the list says already.
        if let Some(map) = item.as_object_mut() {
            map.entry("apiVersion").or_insert_with(|| json!(target.resource.api_version()));
            map.entry("kind").or_insert_with(|| json!(target.resource.kind));
        }
        let namespace = Some(crate::print::namespace_of(&item).to_owned()).filter(|name| !name.is_empty());
        let name = crate::print::name_of(&item).to_owned();
        (Target { namespace, name, ..target.clone() }, item)
    };
    list["items"].as_array().cloned().unwrap_or_default().into_iter().map(own).collect()
}

/// What kubectl says before the server's reason why a selection cannot be listed.
pub fn selecting(failure: Failure, args: &Args, resource: &Resource) -> Failure {
    let selectors = (args.text("selector"), args.text("field-selector"));
    match failure {
        Failure::Status(mut status) if status.reason == "BadRequest" && selectors != ("", "") => {
            let what = format!("{}/{}, Resource={}", resource.group, resource.version, resource.name);
            status.message = format!(
                "Unable to find {what:?} that match label selector {:?}, field selector {:?}: {}",
                selectors.0, selectors.1, status.message
            );
            Failure::Status(status)
        }
        other => other,
    }
}
