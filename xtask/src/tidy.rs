//! House rules: layers, file headers, sizes, words that have no place in the project, and that
//! every file of a room stands in the room's `ALL` table.
//!
//! Reads sources as text; what it cannot judge from text is clippy's.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates by layer; each may use only lower ones. Listed here on purpose: a new edge is a decision.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["base"]),
    (1, &["meta", "wire", "cron", "keys"]),
    (2, &["kinds", "store", "client", "sys", "streams", "quota", "expressions", "flowcontrol"]),
    (3, &["strategy", "auth", "admission", "audit", "images", "container", "volumes"]),
    (4, &["apiserver", "controllers", "scheduler", "kubelet", "network", "service_proxy", "dns", "cli", "cluster"]),
    (5, &["kutter"]),
];

/// Edges inside a layer, from user to used.
const SAME_LAYER: &[(&str, &str)] =
    &[("wire", "meta"), ("cron", "meta"), ("client", "kinds"), ("volumes", "container"), ("images", "auth")];

/// Crates that only the named ones may use.
const RESERVED: &[(&str, &[&str])] = &[
    ("store", &["apiserver", "kutter"]),
    ("strategy", &["apiserver", "cli"]),
    ("container", &["kubelet", "volumes", "kutter"]),
    ("volumes", &["kubelet", "kutter"]),
];

/// Rooms whose files must each be named in the table that lists them.
const ROOMS: &[(&str, &str)] = &[
    ("crates/admission/src", "crates/admission/src/lib.rs"),
    ("crates/controllers/src", "crates/controllers/src/lib.rs"),
    ("crates/apiserver/src/subresources", "crates/apiserver/src/subresources/mod.rs"),
];

const MAX_LINES: usize = 600;
const MAX_FUNCTION: usize = 70;

pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for file in sources(root)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        check_file(&shown, &text, &mut problems);
    }
    check_layers(root, &mut problems)?;
    check_rooms(root, &mut problems)?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    anyhow::bail!("{} things to tidy", problems.len())
}

fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "tests", "xtask"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(shown: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") {
        problems.push(format!("{shown}: does not open with //!"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !is_table(text) {
        problems.push(format!("{shown}: {lines} lines, more than {MAX_LINES}"));
    }
    for word in ["utils", "common", "helpers"] {
        if shown.ends_with(&format!("/{word}.rs")) || shown.contains(&format!("/{word}/")) {
            problems.push(format!("{shown}: {word} is no name for a module"));
        }
    }
    // Put together here so that this file does not find itself.
    for stub in [concat!("todo", "!("), concat!("unimplemented", "!(")] {
        if text.contains(stub) {
            problems.push(format!("{shown}: has {stub})"));
        }
    }
    // A test over a long table of cases is as long as its table.
    let is_test = shown.ends_with("tests.rs") || shown.contains("/tests/");
    for (line, length, name) in long_functions(text).into_iter().filter(|_| !is_test) {
        problems.push(format!("{shown}:{line}: fn {name} has {length} lines, more than {MAX_FUNCTION}"));
    }
}

/// Files that say of themselves that they are data.
fn is_table(text: &str) -> bool {
    text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("(table)"))
}

/// Functions over the limit, found by indentation: rustfmt puts a function's closing brace under
/// its `fn`.
fn long_functions(text: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let end = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[at..].iter().position(|line| *line == end) else { continue };
        // A declaration without a body ends before the next one begins.
        let is_declaration =
            lines[at..at + length].iter().any(|line| line.trim_end().ends_with(';') && !line.contains('{'))
                && !lines[at..at + length].iter().any(|line| line.trim_end().ends_with('{'));
        if !is_declaration && length + 1 > MAX_FUNCTION {
            found.push((at + 1, length + 1, name.to_owned()));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

fn check_layers(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let layer: BTreeMap<&str, u8> =
        LAYERS.iter().flat_map(|(layer, crates)| crates.iter().map(|name| (*name, *layer))).collect();
    for (name, own) in &layer {
        let manifest = root.join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        for used in dependencies(&text) {
            let Some(used_layer) = layer.get(used) else { continue };
            let is_listed = SAME_LAYER.contains(&(*name, used));
            if used_layer > own || (used_layer == own && !is_listed) {
                problems.push(format!("crates/{name}: must not use {used} (layers depend strictly downward)"));
            }
            if let Some((_, users)) = RESERVED.iter().find(|(reserved, _)| *reserved == used)
                && !users.contains(name)
            {
                problems.push(format!("crates/{name}: must not use {used} (only {} may)", users.join(", ")));
            }
        }
    }
    for entry in fs::read_dir(root.join("crates"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !layer.contains_key(name.as_str()) {
            problems.push(format!("crates/{name}: stands in no layer of xtask/src/tidy.rs"));
        }
    }
    Ok(())
}

/// Names under `[dependencies]`; what tests and build scripts use is their own affair.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split(['.', ' ', '=']).next())
}

fn check_rooms(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    for (folder, table) in ROOMS {
        let text = fs::read_to_string(root.join(table)).with_context(|| format!("cannot read {table}"))?;
        for entry in fs::read_dir(root.join(folder)).with_context(|| format!("cannot read {folder}"))? {
            let path = entry?.path();
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let is_declared = text.contains(&format!("mod {stem};"));
            if !matches!(stem, "lib" | "mod" | "tests") && !is_declared {
                problems.push(format!("{folder}/{stem}: is not in {table}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_are_found_and_short_ones_are_not() {
        let body = "    line();\n".repeat(70);
        let text = format!("fn short() {{\n    line();\n}}\n\npub async fn long() {{\n{body}}}\n");
        assert_eq!(long_functions(&text), [(5, 72, "long".to_owned())]);
    }

    #[test]
    fn only_plain_dependencies_count() {
        let manifest =
            "[dependencies]\nbase.workspace = true\nserde = \"1\"\n\n[dev-dependencies]\nstore.workspace = true\n";
        assert_eq!(dependencies(manifest).filter(|name| !name.is_empty()).collect::<Vec<_>>(), ["base", "serde"]);
    }

    #[test]
    fn the_project_itself_is_tidy_in_its_layers() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut problems = Vec::new();
        check_layers(&root, &mut problems).unwrap();
        assert_eq!(problems, Vec::<String>::new());
    }
}
