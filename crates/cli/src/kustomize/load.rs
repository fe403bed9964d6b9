//! Layers: what a folder's kustomization names, generates and changes.

use super::file::Kustomization;
use super::resource::Resource;
use super::{generate, names, patch, replace, transform};
use crate::failure::{Failure, Outcome};
use crate::session::io_text;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Bases of bases end somewhere.
const MAX_DEPTH: usize = 100;

pub struct Made {
    pub resources: Vec<Resource>,
    /// Whether they are put into the order of applying.
    pub sorts: bool,
}

/// `root` is a folder's canonical path.
pub fn load(root: &Path) -> Outcome<Made> {
    let kustomization = Kustomization::read(root)?;
    let sorts = kustomization.get("sortOptions")["order"] != "fifo";
    let mut loader = Loader { visiting: vec![root.to_owned()] };
    let resources = loader.layer(root, &kustomization, Vec::new())?;
    Ok(Made { resources, sorts })
}

struct Loader {
    /// The folders being loaded, outermost first.
    visiting: Vec<PathBuf>,
}

impl Loader {
    fn layer(&mut self, root: &Path, file: &Kustomization, mut all: Vec<Resource>) -> Outcome<Vec<Resource>> {
        for name in file.texts("resources").into_iter().chain(file.texts("bases")) {
            let found = self.resources(root, name)?;
            append(&mut all, found)?;
        }
        generate::generate(root, file, &mut all)?;
        for name in file.texts("components") {
            all = self.component(root, name, all)?;
        }
        patch::strategic(root, file, &mut all)?;
        patch::targeted(root, file, &mut all)?;
        names::namespace(file, &mut all);
        names::affixes(file, &mut all);
        transform::labels(file, &mut all);
        transform::annotations(file, &mut all);
        patch::json(root, file, &mut all)?;
        transform::replicas(file, &mut all)?;
        transform::images(file, &mut all);
        replace::replace(root, file, &mut all)?;
        Ok(all)
    }

    /// A file of manifests, or a folder with a kustomization of its own.
    fn resources(&mut self, root: &Path, name: &str) -> Outcome<Vec<Resource>> {
        if name.contains("://") || name.starts_with("git@") || name.starts_with("github.com/") {
            return Err(Failure::message(format!(
                "accumulating resources from {name:?}: only files and folders are read; fetch it first"
            )));
        }
        let path = root.join(name);
        let canonical = path.canonicalize().map_err(|why| {
            let failure =
                format!("evalsymlink failure on '{0}' : lstat {0}: {1}", clean(&path).display(), io_text(&why));
            Failure::message(format!(
                "accumulating resources: accumulation err='accumulating resources from '{name}': {failure}': must build at directory: not a valid directory: {failure}"
            ))
        })?;
        if canonical.is_dir() {
            return self.folder(&canonical, Vec::new(), false);
        }
        let text = read(root, name).map_err(|failure| match failure {
            Failure::Message(why) => Failure::message(format!(
                "accumulating resources: accumulation err='accumulating resources from '{name}': {why}': must build at directory: '{}': file is not directory",
                canonical.display()
            )),
            other => other,
        })?;
        parse(&text, name).map(|objects| objects.into_iter().map(Resource::new).collect())
    }

    fn component(&mut self, root: &Path, name: &str, all: Vec<Resource>) -> Outcome<Vec<Resource>> {
        let path = root.join(name);
        let canonical = path.canonicalize().map_err(|why| {
            Failure::message(format!(
                "accumulating components: accumulateDirectory: \"couldn't make loader for {name}: evalsymlink failure on '{0}' : lstat {0}: {1}\"",
                clean(&path).display(),
                io_text(&why)
            ))
        })?;
        self.folder(&canonical, all, true)
    }

    fn folder(&mut self, root: &Path, all: Vec<Resource>, as_component: bool) -> Outcome<Vec<Resource>> {
        if let Some(visited) = self.visiting.iter().find(|visited| visited.starts_with(root)) {
            return Err(Failure::message(format!(
                "cycle detected: candidate root '{}' contains visited root '{}'",
                root.display(),
                visited.display()
            )));
        }
        if self.visiting.len() >= MAX_DEPTH {
            return Err(Failure::message("kustomizations are nested too deeply"));
        }
        let file = Kustomization::read(root)?;
        if file.is_component() != as_component {
            let (wanted, found) =
                if as_component { ("Component", "Kustomization") } else { ("Kustomization", "Component") };
            return Err(Failure::message(format!(
                "expected kind '{wanted}' for path '{}' but got '{found}'",
                root.display()
            )));
        }
        self.visiting.push(root.to_owned());
        let made = self.layer(root, &file, all);
        self.visiting.pop();
        made
    }
}

/// Without the `..` that leads back out of a folder just entered.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// Two of one id cannot stand beside each other.
fn append(all: &mut Vec<Resource>, more: Vec<Resource>) -> Outcome {
    for resource in more {
        let same = |one: &&Resource| {
            one.kind() == resource.kind()
                && one.api_version() == resource.api_version()
                && one.name() == resource.name()
                && super::resource::effective(one.namespace()) == super::resource::effective(resource.namespace())
        };
        if let Some(one) = all.iter().find(same) {
            return Err(Failure::message(format!(
                "accumulating resources: may not add resource with an already registered id: {}",
                one.shown()
            )));
        }
        all.push(resource);
    }
    Ok(())
}

/// A file of the kustomization, which must stand in its folder or below.
pub fn read(root: &Path, name: &str) -> Outcome<String> {
    let path = root.join(name);
    let canonical = path.canonicalize().map_err(|why| {
        let shown = clean(&path);
        Failure::message(format!("evalsymlink failure on '{0}' : lstat {0}: {1}", shown.display(), io_text(&why)))
    })?;
    if !canonical.starts_with(root) {
        return Err(Failure::message(format!(
            "security; file '{}' is not in or below '{}'",
            canonical.display(),
            root.display()
        )));
    }
    crate::targets::read(&canonical)
}

/// The bytes of such a file.
pub fn read_bytes(root: &Path, name: &str) -> Outcome<Vec<u8>> {
    // The same checks, then the bytes as they are.
    let canonical = root.join(name).canonicalize();
    match canonical {
        Ok(path) if path.starts_with(root) => {
            std::fs::read(&path).map_err(|why| Failure::message(format!("open {}: {}", path.display(), io_text(&why))))
        }
        _ => read(root, name).map(String::into_bytes),
    }
}

/// The objects of a text, lists taken apart.
pub fn parse(text: &str, source: &str) -> Outcome<Vec<Value>> {
    let mut found = Vec::new();
    for document in wire::yaml::documents(text) {
        let value = wire::yaml::parse_document(document)
            .map_err(|why| Failure::message(format!("MalformedYAMLError: {why} in File: {source}")))?
            .value;
        match value {
            Value::Null => {}
            Value::Object(mut map)
                if map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List")) =>
            {
                let items = map.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
                found.extend(items.unwrap_or_default());
            }
            value => found.push(value),
        }
    }
    for object in &found {
        let lacks = |path: &str| object.pointer(path).and_then(Value::as_str).is_none_or(str::is_empty);
        let why = match (lacks("/kind"), lacks("/metadata/name")) {
            (true, _) => "missing Resource metadata",
            // Patches that delete or match many are checked elsewhere.
            (_, true) => "missing metadata.name in object",
            _ => continue,
        };
        let shown = crate::print::json::compact(object);
        return Err(Failure::message(format!("accumulating resources from {source:?}: {why} {shown}")));
    }
    Ok(found)
}
