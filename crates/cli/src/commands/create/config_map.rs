//! `kubectl create configmap`, and the sources of data that Secrets have too.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, list, repeat};
use crate::session::{Session, io_text};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub const SOURCES: &[Flag] = &[
    list(
        "from-file",
        "Key file can be specified using its file path, in which case file basename will be used as key, or optionally with a key and file path.",
    ),
    repeat("from-literal", "Specify a key and literal value to insert (i.e. mykey=somevalue)"),
    list("from-env-file", "Specify the path to a file to read lines of key=val pairs."),
    APPEND_HASH,
];

pub const APPEND_HASH: Flag = boolean("append-hash", "Append a hash of the object to its name.");

pub static COMMAND: Command = Command {
    name: "configmap",
    aliases: &["cm"],
    usage: "create configmap NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none] [options]",
    short: "Create a config map from a local file, directory or literal value",
    examples: "# Create a new config map named my-config with key1=config1 and key2=config2\nkubectl create configmap my-config --from-literal=key1=config1 --from-literal=key2=config2\n\n# Create a new config map named my-config based on folder bar\nkubectl create configmap my-config --from-file=path/to/bar",
    flags: &[PRINT, FLAGS, SOURCES],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, &[])});
        for (key, bytes) in data(&args)? {
            match String::from_utf8(bytes) {
                Ok(text) => object["data"][key] = json!(text),
                Err(binary) => {
                    let packed = base64::engine::general_purpose::STANDARD.encode(binary.as_bytes());
                    object["binaryData"][key] = json!(packed);
                }
            }
        }
        append_hash(&args, &mut object);
        finish(session, &args, object, "failed to create configmap:").await
    })
}

/// Names an object after its content too, where that was asked for.
pub fn append_hash(args: &Args, object: &mut Value) {
    if args.bool("append-hash") {
        let name = crate::print::name_of(object).to_owned();
        object["metadata"]["name"] = json!(format!("{name}-{}", crate::kustomize::hash(object, &name)));
    }
}

/// Keys and values of all sources given.
pub fn data(args: &Args) -> Outcome<BTreeMap<String, Vec<u8>>> {
    if args.has("from-env-file") && (args.has("from-file") || args.has("from-literal")) {
        return Err(Failure::message("from-env-file cannot be combined with from-file or from-literal"));
    }
    let mut data = BTreeMap::new();
    let mut add = |key: &str, value: Vec<u8>| {
        let problems = meta::validation::config_map_key(key);
        if !problems.is_empty() {
            let text = format!("{key:?} is not a valid key name for a ConfigMap: {}", problems.join(","));
            return Err(Failure::message(text));
        }
        if data.insert(key.to_owned(), value).is_some() {
            return Err(Failure::message(format!("cannot add key {key:?}, another key by that name already exists")));
        }
        Ok(())
    };
    for literal in args.list("from-literal") {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            let text = format!("invalid literal source {literal}, expected key=value");
            return Err(Failure::message(text));
        };
        let value = value.trim_matches(['"', '\'']);
        add(key, value.as_bytes().to_vec())?;
    }
    for source in args.list("from-file") {
        let (key, path) = match source.split_once('=') {
            Some((key, path)) => (Some(key), path),
            None => (None, source.as_str()),
        };
        for (found, bytes) in files(Path::new(path))? {
            add(key.unwrap_or(&found), bytes)?;
        }
    }
    for path in args.list("from-env-file") {
        let text = crate::targets::read(Path::new(&path))?;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key, value.to_owned()),
                // A name alone takes its value from the environment.
                None => (line, std::env::var(line).unwrap_or_default()),
            };
            add(key, value.into_bytes())?;
        }
    }
    Ok(data)
}

/// A file by its name, or the files of a folder.
fn files(path: &Path) -> Outcome<Vec<(String, Vec<u8>)>> {
    let failed = |path: &Path, why: std::io::Error| {
        Failure::message(format!("error reading {}: {}", path.display(), io_text(&why)))
    };
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !path.is_dir() {
        let bytes = std::fs::read(path).map_err(|why| failed(path, why))?;
        return Ok(vec![(name(path), bytes)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|why| failed(path, why))? {
        let path = entry.map_err(|why| failed(path, why))?.path();
        if path.is_file() && meta::validation::config_map_key(&name(&path)).is_empty() {
            found.push((name(&path), std::fs::read(&path).map_err(|why| failed(&path, why))?));
        }
    }
    Ok(found)
}

/// The same data as a Secret holds it.
pub fn encoded(data: BTreeMap<String, Vec<u8>>) -> Value {
    let engine = base64::engine::general_purpose::STANDARD;
    data.into_iter().map(|(key, bytes)| (key, json!(engine.encode(bytes)))).collect()
}
