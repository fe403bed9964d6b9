//! kubeconfig files as they are on disk, so that changing one entry leaves the others alone.

use crate::failure::{Failure, Outcome};
use crate::session::{Session, io_text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// One file and what it holds.
pub struct File {
    pub path: PathBuf,
    pub content: Value,
}

impl File {
    fn read(path: &Path) -> Outcome<Self> {
        let failed = |why: String| Failure::message(format!("error loading config file {:?}: {why}", path.display()));
        let content = match std::fs::read_to_string(path) {
            Ok(text) => wire::yaml::parse(&text).map_err(|why| failed(why.to_string()))?,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(why) => return Err(failed(io_text(&why))),
        };
        let content = if content.is_object() {
            content
        } else {
            json!({"apiVersion": "v1", "clusters": null, "contexts": null, "current-context": "", "kind": "Config", "preferences": {}, "users": null})
        };
        Ok(File { path: path.to_owned(), content })
    }

    /// The file that an entry stands in, or the one that new entries go to.
    pub fn of(session: &Session, has: impl Fn(&Value) -> bool) -> Outcome<Self> {
        let paths = session.config_paths();
        for path in &paths {
            let file = File::read(path)?;
            if has(&file.content) {
                return Ok(file);
            }
        }
        let existing = paths.iter().find(|path| path.exists());
        match existing.or(paths.last()) {
            Some(path) => File::read(path),
            None => Err(Failure::message("no kubeconfig file can be found: HOME is not set")),
        }
    }

    pub fn write(&self) -> Outcome {
        let written = crate::whole_file::replace(&self.path, &wire::yaml::to_string(&self.content));
        written.map_err(|why| Failure::message(format!("open {}: {}", self.path.display(), io_text(&why))))
    }

    /// The entry of a list (`clusters`, `contexts`, `users`) with that name, made where it is new.
    pub fn entry(&mut self, list: &str, key: &str, name: &str) -> Option<(&mut Value, bool)> {
        let known = has(&self.content, list, name);
        if !self.content[list].is_array() {
            self.content[list] = json!([]);
        }
        let entries = self.content[list].as_array_mut()?;
        if !known {
            // Some fields are always there.
            let empty = match key {
                "cluster" => json!({"server": ""}),
                "context" => json!({"cluster": "", "user": ""}),
                _ => json!({}),
            };
            entries.push(json!({key: empty, "name": name}));
            entries.sort_by_key(|entry| entry["name"].as_str().unwrap_or_default().to_owned());
        }
        let entry = entries.iter_mut().find(|entry| entry["name"] == name)?;
        if !entry[key].is_object() {
            entry[key] = json!({});
        }
        Some((&mut entry[key], !known))
    }

    pub fn remove(&mut self, list: &str, name: &str) {
        if let Some(entries) = self.content[list].as_array_mut() {
            entries.retain(|entry| entry["name"] != name);
            if entries.is_empty() {
                self.content[list] = Value::Null;
            }
        }
    }
}

pub fn has(content: &Value, list: &str, name: &str) -> bool {
    content[list].as_array().into_iter().flatten().any(|entry| entry["name"] == name)
}
