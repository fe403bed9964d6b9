//! Gathers the descriptions that `kubectl explain` shows, out of the sources of the k8s-openapi
//! crate, which the workspace uses anyway, into one text file in OUT_DIR.
//!
//! Reading its text takes a fraction of a second; compiling it with its `schemars` feature for the
//! build alone took 19 s (docs/decisions). A build that cannot find the sources goes on without
//! descriptions and says so. Runs again only when this file changes: touch it after moving to
//! another k8s-openapi.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Within the crate.
const TYPES: &str = "src/v1_37";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut models = BTreeMap::new();
    match sources() {
        Some(folder) => visit(&folder, &mut models)?,
        None => println!("cargo::warning=k8s-openapi's sources were not found: explain will have no descriptions"),
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptions.txt");
    Ok(fs::write(out, write(&models))?)
}

/// Where the crate's types lie.
fn sources() -> Option<PathBuf> {
    let version = locked_version()?;
    unpacked(&version).or_else(|| asked_for(&version)).map(|folder| folder.join(TYPES))
}

/// The version that is built with.
fn locked_version() -> Option<String> {
    let lock = fs::read_to_string(Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join("../../Cargo.lock")).ok()?;
    let (_, entry) = lock.split_once("name = \"k8s-openapi\"\nversion = \"")?;
    Some(entry.split_once('"')?.0.to_owned())
}

/// Where cargo unpacks what comes from a registry, which it does before it builds anything.
fn unpacked(version: &str) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?;
    let folders = registries.flatten().map(|registry| registry.path().join(format!("k8s-openapi-{version}")));
    folders.into_iter().find(|folder| folder.join(TYPES).is_dir())
}

/// Asks cargo, which knows of vendored crates too, but answers only where all of the workspace's are at
/// hand, those for other systems among them.
fn asked_for(version: &str) -> Option<PathBuf> {
    let asked = Command::new(env::var_os("CARGO")?)
        .args(["metadata", "--format-version", "1", "--offline"])
        .current_dir(env::var_os("CARGO_MANIFEST_DIR")?)
        .output()
        .ok()?;
    let answer = String::from_utf8(asked.stdout).ok()?;
    let names = ["k8s-openapi".to_owned(), format!("k8s-openapi-{version}")];
    let manifests = answer.split('"').filter_map(|text| text.strip_suffix("/Cargo.toml"));
    let named = manifests.filter(|folder| names.iter().any(|name| folder.rsplit('/').next() == Some(name)));
    named.map(PathBuf::from).find(|folder| folder.join(TYPES).is_dir())
}

/// Descriptions by field; the model's own stands under the empty name.
type Model = BTreeMap<String, String>;

fn visit(folder: &Path, models: &mut BTreeMap<String, Model>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, models)?;
        } else if let Some((name, model)) = read(&fs::read_to_string(path)?) {
            models.insert(name, model);
        }
    }
    Ok(())
}

/// Reads the `json_schema!` literal of one type: its own description at an indentation of 12,
/// properties at 16, theirs deeper or put in by `insert`.
fn read(source: &str) -> Option<(String, Model)> {
    let (_, implementation) = source.split_once("impl crate::schemars::JsonSchema for")?;
    let mut name = None;
    let mut model = Model::new();
    let mut property = String::new();
    for line in implementation.lines() {
        let text = line.trim_start();
        let indentation = line.len() - text.len();
        if name.is_none() && text.starts_with("\"io.k8s.") {
            name = text.split('"').nth(1).map(str::to_owned);
        }
        if indentation == 16 && text.starts_with('"') {
            property = text.split('"').nth(1).unwrap_or_default().to_owned();
        }
        let plain = text.strip_prefix("\"description\": \"").filter(|_| matches!(indentation, 12 | 20));
        let inserted = text.split_once(".insert(\"description\".into(), \"").map(|(_, rest)| rest);
        if let Some(literal) = plain.or(inserted).and_then(|rest| rest.rsplit_once('"')) {
            let key = if indentation == 12 { String::new() } else { property.clone() };
            model.entry(key).or_insert_with(|| unescape(literal.0));
        }
    }
    name.map(|name| (name, model))
}

/// Undoes Rust's escapes.
fn unescape(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    let mut rest = literal.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('t')) => out.push('\t'),
            (_, Some('u')) => {
                let code: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                out.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            (_, Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

/// `=model` opens a model; then `field`, a tab, the description, newlines and backslashes escaped.
/// The model's own has no field name. A description that came before is `^` and its line's number.
fn write(models: &BTreeMap<String, Model>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut first_seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, model) in models {
        lines.push(format!("={name}"));
        for (field, description) in model {
            let line = lines.len();
            let first = *first_seen.entry(description).or_insert(line);
            let text = if first == line { escape(description) } else { format!("^{first}") };
            lines.push(format!("{field}\t{text}"));
        }
    }
    lines.join("\n")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}
